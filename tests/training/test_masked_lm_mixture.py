"""Masked LM among tasks: it takes its share of the steps, both are learned, and a stop in the middle leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import FILLERS, SPECIAL, WORDS, toy, xlmr_folder

from xstilts.batching.masking import Masking
from xstilts.hyperparameters import Mixture, Training
from xstilts.inference.predict import predict
from xstilts.models.heads import HeadSet
from xstilts.models.model import Model
from xstilts.task_types import Head
from xstilts.task_types.base import FeatureBuilder
from xstilts.training import Checkpoints, Course, MixtureCourse, TaskCourse, train
from xstilts.training.checkpoint_tensors import tensors_of
from xstilts.training.masked_lm import Corpus, MaskedLMCourse
from xstilts.training.mixture import steps_of_an_epoch, task_shares

VOCABULARY = len(SPECIAL) + len(WORDS)
TASK = toy("classification", 120)
MASKING = Masking(share=0.3, mask_id=3, special_ids=(0, 1, 2, 3), vocabulary=VOCABULARY)
SETTINGS = Training(learning_rate=5e-3, batch_size=8, selection="last", dropout=0.1, attention_dropout=0.1)
TIMES = ("seconds", "tokens_per_second")


class StoppedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return xlmr_folder(tmp_path_factory.mktemp("masked"))


def started(folder: Path) -> Model:
    head = TASK.type.head
    assert head is not None
    heads = {"pairs": head, "text": Head("masked_lm", VOCABULARY)}
    return Model.start(folder, heads, 5, dropout=0.1, attention_dropout=0.1)


def text_course(seed: int = 3) -> MaskedLMCourse:
    """Lines that say one word seven times, so that the others tell the hidden one; two languages, 3 : 1."""
    builder = FeatureBuilder()
    first = len(SPECIAL) + WORDS.index(FILLERS[0])
    for line in range(60):
        ids = [0, *[first + line % len(FILLERS)] * 7, 2]
        builder.add(line, ids, [0] * len(ids), ())
    corpora = [Corpus(0, 40, 0.75), Corpus(40, 20, 0.25)]
    return MaskedLMCourse(builder.build(60, None), corpora, MASKING, SETTINGS, seed)


def course(model: Model, total: int, seed: int = 3) -> MixtureCourse:
    features = TASK.type.encode(TASK.examples, model.tokenizer, TASK.encoding)
    alone: dict[str, Course] = {"pairs": TaskCourse(TASK.type, features, SETTINGS, seed), "text": text_course(seed)}
    shares = task_shares({"pairs": 120, "text": 60}, Mixture())
    assert isinstance(model.head, HeadSet)
    return MixtureCourse(alone, shares, total, total, SETTINGS, seed, model.head)


def trained(
    folder: Path, log: Path, *, total: int = 40, stop: int | None = None, places: Checkpoints | None = None
) -> Any:
    model = started(folder)

    def progress(done: int, *_: Any, **__: Any) -> None:
        torch.rand(3)
        if done == stop:
            raise StoppedError

    mixed = course(model, total)
    summary = train(model, mixed, micro_batch_tokens=50, dev=None, progress=progress, log=log, checkpoints=places)
    return model, mixed, summary


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in log.read_text().splitlines()]


def test_rows_of_text_are_its_lines_for_shares_and_for_an_epoch() -> None:
    assert task_shares({"pairs": 300, "masked_lm": 100}, Mixture()) == {"pairs": 0.75, "masked_lm": 0.25}
    capped = Mixture(cap=50)
    assert task_shares({"pairs": 300, "masked_lm": 100}, capped) == {"pairs": 0.5, "masked_lm": 0.5}
    assert steps_of_an_epoch({"pairs": 300, "masked_lm": 100}, {"pairs": 10, "masked_lm": 4}, capped) == 5 + 13


def test_a_step_of_text_is_the_one_that_masked_lm_alone_would_take(folder: Path) -> None:
    mixed, alone, seen = course(started(folder), 60), text_course(), 0
    for number in range(60):
        step = mixed.step(number, 50, torch.device("cpu"))
        batches = list(step.micro_batches)
        if batches[0].task != "text":
            continue
        other = alone.step(seen, 50, torch.device("cpu"))
        for batch, expected in zip(batches, other.micro_batches, strict=True):
            assert torch.equal(batch.batch.input_ids, expected.batch.input_ids)
            assert torch.equal(batch.targets, expected.targets)
        assert (step.items, step.tokens) == (other.items, other.tokens)
        seen += 1
    assert 5 < seen < 40, "a third of the rows are text"


def test_both_are_learned_and_the_log_says_which_step_was_of_what(folder: Path, tmp_path: Path) -> None:
    model, mixed, _ = trained(folder, tmp_path / "log", total=240)
    log = lines_of(tmp_path / "log")
    assert [line["task"] for line in log] == [mixed.names[task] for task in mixed.drawn]
    losses = [line["loss"] for line in log if line["task"] == "text"]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    model.head.use("pairs")
    outputs, _ = predict(model, TASK.type, TASK.examples, TASK.encoding, micro_batch_tokens=4096)
    assert TASK.accuracy(outputs) > 0.9


@pytest.mark.parametrize("stop", [7, 23])
def test_resumed_in_the_middle_it_ends_in_the_very_same_weights(folder: Path, tmp_path: Path, stop: int) -> None:
    calm, _, _ = trained(folder, tmp_path / "calm")
    places = Checkpoints(tmp_path / "checkpoints", "a node", 0.0)
    with pytest.raises(StoppedError):
        trained(folder, tmp_path / "log", stop=stop, places=places)
    resumed, _, summary = trained(folder, tmp_path / "log", places=places)
    assert summary.resumed[-1].step == stop - 1
    expected = tensors_of(calm)
    assert any(name.startswith("head.text.") for name in expected)
    for name, weight in expected.items():
        assert torch.equal(tensors_of(resumed)[name], weight), name
    assert lines_of(tmp_path / "log") == lines_of(tmp_path / "calm")
