"""Real Tatoeba with a real encoder, against plain transformers and faiss: no line of xstilts on the other side.

Four languages by default; ``XSTILTS_FULL=1`` takes all whose files are there (some minutes).
"""

from __future__ import annotations

import os
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from xstilts.languages import LANGUAGES
from xstilts.tasks import load

pytestmark = [pytest.mark.real_data, pytest.mark.real_model]

FULL = os.environ.get("XSTILTS_FULL") == "1"
QUICK = ("jv", "sw", "ta", "te")
LANGUAGES_OF_TATOEBA = load("tatoeba").languages if FULL else QUICK


@pytest.fixture(scope="module")
def transformers_model(e5_small: Path):  # type: ignore[no-untyped-def]
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(e5_small), AutoModel.from_pretrained(e5_small).eval()


@pytest.fixture(scope="module")
def model(e5_small: Path):  # type: ignore[no-untyped-def]
    from xstilts.models.model import Model

    return Model.start(e5_small, None)


def plain_embeddings(transformers_model, texts: list[str]) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Padded batches of 32, the last hidden state, the mean under the attention mask, length 1."""
    tokenizer, encoder = transformers_model
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    embeddings = np.empty((len(texts), encoder.config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            some = order[start : start + 32]
            batch = tokenizer(
                [texts[i] for i in some], padding=True, truncation=True, max_length=512, return_tensors="pt"
            )
            states = encoder(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].float()
            embeddings[some] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    faiss.normalize_L2(embeddings)
    return embeddings


def laser_files(root: Path, language: str) -> tuple[Path, Path]:
    iso3 = LANGUAGES[language].iso3
    folder = root / "LASER" / "data" / "tatoeba" / "v1"
    return folder / f"tatoeba.{iso3}-eng.{iso3}", folder / f"tatoeba.{iso3}-eng.eng"


@pytest.mark.parametrize("language", LANGUAGES_OF_TATOEBA)
def test_accuracy_equals_transformers_and_faiss(  # type: ignore[no-untyped-def]
    language: str, real_data: Path, transformers_model, model, tmp_path: Path
) -> None:
    from xstilts.inference.sweep import sweep_nearest

    files = laser_files(real_data, language)
    if not files[0].is_file():
        pytest.skip(f"no Tatoeba file of {language} in the real data")
    foreign, english = (path.read_text(encoding="utf-8").removesuffix("\n").split("\n") for path in files)
    index = faiss.IndexFlatIP(384)
    index.add(plain_embeddings(transformers_model, foreign))
    _, found = index.search(plain_embeddings(transformers_model, english), 1)
    expected = 100 * float(np.mean(found[:, 0] == np.arange(len(english))))

    task = load("tatoeba")
    (bitext,) = task.read(files, language)
    sweep = sweep_nearest(model, bitext, task.encoding, layers=[model.num_layers], poolings=["mean"], scratch=tmp_path)
    predictions = [task.type.answer(row) for row in sweep.rows]
    accuracy = task.metric(task.type.gold(bitext), predictions, language)["accuracy"]
    assert accuracy == pytest.approx(expected, abs=0.1)
    assert accuracy > 20, f"{accuracy}: this encoder is far above chance in every language of Tatoeba"


def test_the_full_run_covers_at_least_twenty_languages(real_data: Path) -> None:
    here = [code for code in load("tatoeba").languages if laser_files(real_data, code)[0].is_file()]
    assert len(here) >= 20
