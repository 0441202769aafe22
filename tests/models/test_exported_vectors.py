"""Modules of sentence-transformers: any layer and pooling gives the vectors of ``xstilts embed``, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from tiny_models import PACKED, tiny

from made_store import LAYER, made_store, training
from xstilts.errors import ModelError
from xstilts.exporting.sentence_transformers_folder import Pooling, export_sentence_transformers
from xstilts.inference.embed import embed
from xstilts.own_text.models import load_embedder

TEXTS = ["abc def", "word5 x", "long " * 40, "with <pad> and </s> inside", "z"]
POST_NORM = [family for family in PACKED if family != "xlm-roberta-xl"]


def ours(folder: Path, layer: int, pooling: Pooling, scratch: Path) -> np.ndarray:
    model, encoding = load_embedder(folder, precision="fp32")
    scratch.mkdir()
    found = embed(model, TEXTS, encoding, layers=[layer], poolings=[pooling], out=scratch)
    return np.array(found.matrix(layer, pooling)[found.rows])


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize(
    ("family", "layer"),
    [
        *((family, layer) for family in (*POST_NORM, "distilbert", "electra") for layer in (0, 1, 2)),
        ("xlm-roberta-xl", 2),
        ("modernbert", 2),
        ("albert", 2),
    ],
)
def test_the_library_gives_our_vectors(
    tmp_path: Path, family: str, layer: int, pooling: Pooling, capfd: pytest.CaptureFixture[str]
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers (the bench extra)")
    export_sentence_transformers(tiny(family), tmp_path / "out", layer=layer, pooling=pooling)
    capfd.readouterr()
    model = library.SentenceTransformer(str(tmp_path / "out"), device="cpu", trust_remote_code=False)
    if family != "albert":  # the class of that family always makes a pooler
        assert "MISSING" not in "".join(capfd.readouterr())
    theirs = model.encode(TEXTS)
    expected = ours(tiny(family), layer, pooling, tmp_path / "scratch")
    assert float(np.abs(expected).max()) > 0.1
    np.testing.assert_allclose(theirs, expected, atol=1e-4, rtol=0)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config.get("num_hidden_layers", config.get("n_layers")) == layer


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("xlm-roberta-xl", "more after its last layer, such as a LayerNorm"),
        ("modernbert", "more after its last layer, such as a LayerNorm"),
        ("albert", "the names of the weights show layers"),
    ],
)
def test_a_layer_that_cannot_be_cut_out_is_refused(tmp_path: Path, family: str, reason: str) -> None:
    with pytest.raises(ModelError, match=f"layer 1 of 2 cannot be cut out of '{family}'.*{reason}") as refused:
        export_sentence_transformers(tiny(family), tmp_path / "out", layer=1)
    assert "--layer 2" in refused.value.hint and list(tmp_path.iterdir()) == []


def test_there_is_no_such_layer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="layer 3 was asked of an encoder with 2 layers"):
        export_sentence_transformers(tiny("bert"), tmp_path / "out", layer=3)
    assert list(tmp_path.iterdir()) == []


def test_without_a_store_it_is_the_last_layers_mean_and_says_so(tmp_path: Path) -> None:
    found = export_sentence_transformers(tiny("bert"), tmp_path / "out")
    assert any("the last layer, unless --layer says another" in note for note in found.notes)
    assert json.loads((tmp_path / "out/1_Pooling/config.json").read_text())["pooling_mode"] == "mean"
    assert json.loads((tmp_path / "out/config.json").read_text())["num_hidden_layers"] == 2


def test_the_store_chooses_layer_and_pooling_and_only_its_scores_are_in_the_card(tmp_path: Path) -> None:
    store = made_store(tmp_path, targets=["xnli", "tatoeba"], languages=["de", "en"], retrieval={"layer_from": "fixed"})
    folder = store.path(training(store, "mnli")) / "model"
    found = export_sentence_transformers(folder, tmp_path / "chosen")
    assert any(note.startswith(f"the store chose layer {LAYER}, mean") for note in found.notes)
    assert json.loads((tmp_path / "chosen/config.json").read_text())["num_hidden_layers"] == LAYER
    chosen = ModelCard.load(tmp_path / "chosen/README.md")
    assert "**tatoeba**" in chosen.text and "**xnli**" not in chosen.text
    assert chosen.data.to_dict()["library_name"] == "sentence-transformers"
    export_sentence_transformers(folder, tmp_path / "other", layer=2)
    text = (tmp_path / "other/README.md").read_text(encoding="utf-8")
    assert "**tatoeba**" not in text and "None are recorded of what this folder holds" in text
    assert "after layer 2 of 2" in text and "trained on `mnli`" in text
