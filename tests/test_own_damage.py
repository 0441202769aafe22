"""A model folder that is damaged, or not of one piece: an error that says what and where, never a traceback."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tiny_world import tiny_model
from xstilts import cli, tasks
from xstilts.errors import ModelError
from xstilts.own_text.models import fitted, load_embedder, load_predictor
from xstilts.own_text.outputs import predictions, vectors
from xstilts.task_types import PairExample

PAIR = PairExample("0", "a b", "c", None)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XNLI model as training leaves it, with a random head."""
    from xstilts.models.export import export
    from xstilts.models.model import Model

    shape = tasks.load("xnli").type
    assert shape.head is not None
    folder = tmp_path_factory.mktemp("exported") / "model"
    export(Model.start(tiny_model(), shape.head, 3), folder, "xnli", shape.name, shape.head.labels)
    return folder


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "node" / "model"))


def change(path: Path, **changes: Any) -> None:
    """Replace fields of a JSON file, those of its ``head`` too."""
    content = json.loads(path.read_text())
    head = {**content["head"], **changes.pop("of_head", {})}
    path.write_text(json.dumps({**content, "head": head, **changes}))


LABELS = ["entailment", "neutral", "contradiction"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"of_head": {"labels": []}}, "pooled, 3 outputs, 0 labels; needed: one for 'classification': pooled, 3 outp"),
        ({"of_head": {"kind": "token"}}, "token, 3 outputs, 3 labels"),
        ({"type": "tagging"}, "'tagging'"),
        ({"task": "xquad"}, "needed: one for 'span': token, 2 outputs"),
        ({"task": "tatoeba"}, "needed: one for 'retrieval': none"),
        ({"of_head": {"num_outputs": 4}}, "head.labels: '3 labels'; the head has 4 outputs"),
        ({"of_head": {"num_outputs": 2, "labels": LABELS[:2]}}, "weights cannot be loaded"),
    ],
)
def test_a_head_that_does_not_fit_its_task(model: Path, changes: dict[str, Any], says: str) -> None:
    change(model / "xstilts.json", **changes)
    with pytest.raises(ModelError) as error:
        load_predictor(model)
    assert says in str(error.value)
    assert str(model) in error.value.where


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ('{"spec": []}', "spec has no encoding"),
        ('{"spec": {}}', "spec has no encoding"),
        ("[]", "no JSON object"),
        ("{half", "record is damaged"),
        ('{"spec": {"encoding": null}}', "this encoding cannot be"),
        ('{"spec": {"encoding": {"max_length": "long"}}}', "max_length"),
        ('{"spec": {"encoding": {"max_length": 3}}}', "max_length"),
        ('{"spec": {"encoding": {"max_lenght": 30}}}', "max_lenght"),
    ],
)
def test_a_record_of_the_node_that_cannot_be(model: Path, record: str, says: str) -> None:
    path = model.parent / "node.json"
    path.write_text(record)
    with pytest.raises(ModelError, match=says) as error:
        load_predictor(model)
    assert error.value.where == str(path)


def test_a_tokenizer_of_another_model(model: Path) -> None:
    content = json.loads((model / "tokenizer.json").read_text())
    size = json.loads((model / "config.json").read_text())["vocab_size"]
    content["added_tokens"].append(
        {
            "id": size,
            "content": "zzz",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": False,
        }
    )
    (model / "tokenizer.json").write_text(json.dumps(content))
    step = predictions(load_predictor(model))
    loaded, encoding = load_embedder(model)
    embed = vectors(loaded, encoding, layer=1, pooling="mean")
    assert "label" in step([PAIR])[0] and "vector" in embed(["a b"])[0], "what does not need it works"
    calls: list[Callable[[], Any]] = [lambda: step([PairExample("0", "zzz", "a", None)]), lambda: embed(["a", "a zzz"])]
    for call in calls:
        with pytest.raises(ModelError, match=f"gives sub-word {size}, but the encoder knows {size}") as error:
            call()
        assert error.value.where == str(model)


def test_weights_that_are_not_numbers(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    for name in weights:
        if "word_embeddings" in name:
            weights[name][:] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    loaded, encoding = load_embedder(model)
    with pytest.raises(ModelError, match="vectors of 2 of 2 texts are not finite"):
        vectors(loaded, encoding, layer=2, pooling="mean")(["a", "b"])
    with pytest.raises(ModelError, match="not finite"):
        predictions(load_predictor(model))([PAIR])


def test_an_encoder_of_too_few_positions() -> None:
    with pytest.raises(ModelError, match="max_length"):
        fitted(tasks.load("xnli").encoding, 5, None)


def test_the_command_line_says_it_without_a_traceback(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.tsv").write_text("a\tb\n")
    (model.parent / "node.json").write_text('{"spec": []}')
    monkeypatch.setattr(sys, "argv", ["xstilts", "predict", str(model), str(tmp_path / "own.tsv")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ") and "node.json" in said and "Traceback" not in said
