"""Span corruption and denoising: nothing of a line is lost, and a tiny model learns a text by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xstilts.batching.texts import NO_TARGET, TextBatch
from xstilts.hyperparameters import Pretraining
from xstilts.models.text_model import TextModel
from xstilts.models.text_scratch import make_text_model
from xstilts.training import train
from xstilts.training.masked_lm import Texts
from xstilts.training.span_corruption import corrupted, span_corruption_course

SENTINELS = tuple(range(900, 932))
TEXT = ["the cat sat on the mat", "a dog ran to the red house", "one two three four five six"] * 4
SETTINGS = Pretraining.model_validate(
    {
        "objective": "span_corruption",
        "languages": ["en"],
        "model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 64, "vocabulary": 150},
        "training": {"max_steps": 60, "batch_size": 8, "learning_rate": 1e-2, "warmup": 0.1, "dropout": 0.0},
    }
)


@given(st.integers(1, 400), st.floats(0.05, 0.9), st.integers(0, 99))
def test_what_is_read_and_what_is_written_are_the_line(size: int, share: float, seed: int) -> None:
    line = np.array([*range(10, 10 + size), 1])
    read, write = corrupted(line, share, SENTINELS, np.random.default_rng(seed))
    assert read[-1] == write[-1] == 1
    spans: dict[int, list[int]] = {}
    for token in write[:-1]:
        if token in SENTINELS:
            spans[token] = []
        else:
            spans[next(reversed(spans))].append(token)
    whole = [t for token in read[:-1] for t in (spans[token] if token in SENTINELS else [token])]
    assert whole == line[:-1].tolist()
    assert list(spans) == list(SENTINELS[: len(spans)]) == [t for t in read if t in SENTINELS]
    taken = sum(map(len, spans.values()))
    assert taken == min(max(round(size * share), 1), max(size - 1, 1))
    assert all(spans.values())


def test_a_model_learns_a_text_by_it(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    make_text_model(tmp_path / "start", SETTINGS.model, TEXT, 1)
    model = TextModel.load(tmp_path / "start", dropout=0.0)
    course = span_corruption_course(Texts({"en": TEXT}, {}), model, SETTINGS)
    losses: list[float] = []
    train(
        model,
        course,
        micro_batch_tokens=2000,
        dev=None,
        progress=lambda *_, loss, **__: losses.append(loss),
        log=tmp_path / "log",
    )
    assert losses[0] < 1.5 * np.log(model.config.vocab_size), "the first guesses are about alike"
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_denoising_writes_the_whole_line(tmp_path: Path) -> None:
    make_text_model(tmp_path, SETTINGS.model, TEXT, 1)
    model = TextModel.load(tmp_path, dropout=0.0)
    settings = SETTINGS.model_copy(update={"objective": "denoising", "mask": 0.3})
    denoising = span_corruption_course(Texts({"en": TEXT}, {}), model, settings)
    by_spans = replace(denoising, whole=False)
    (whole,), (spans,) = (list(c.step(3, 10_000, model.device).micro_batches) for c in (denoising, by_spans))
    assert isinstance(whole.batch, TextBatch) and isinstance(spans.batch, TextBatch)
    written = [ids[ids != NO_TARGET].tolist() for ids in whole.targets]
    assert sorted(written) == sorted(model.tokenizer.encode([TEXT[line]])[0].ids for line in whole.rows)
    assert sorted(whole.batch.input_ids.flatten().tolist()) == sorted(spans.batch.input_ids.flatten().tolist())
    sentinels = set(denoising.sentinels)
    assert all(
        sentinels & set(read) and not sentinels & set(wrote)
        for read, wrote in zip(whole.batch.input_ids.tolist(), written, strict=True)
    )
    assert all(sentinels & set(wrote) for wrote in spans.targets.tolist())


def test_translations_are_not_learned_by_it() -> None:
    with pytest.raises(ValidationError, match="spans are taken out of one text at a time"):
        Pretraining.model_validate({**SETTINGS.model_dump(), "bitext": "x.tsv", "translation": 0.5})


def test_the_objective_is_in_keys_only_where_it_is_not_masked_lm() -> None:
    masked_lm = Pretraining.model_validate({**SETTINGS.model_dump(), "objective": "masked_lm"})
    assert "objective" not in masked_lm.in_keys()
    for objective in ("span_corruption", "denoising"):
        writes = Pretraining.model_validate({**SETTINGS.model_dump(), "objective": objective})
        assert writes.in_keys()["objective"] == objective and writes.writes_text
