"""Text-to-text training: steps of so many sub-words, the loss of any cut, and exact resumption with either optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import BEST, STOPS, Attempts, undisturbed
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tiny_text_models import TEXTS, text_folder
from xstilts.batching.texts import Rows, TextFeatures, encode_texts
from xstilts.errors import TrainingError
from xstilts.hyperparameters import Mixture
from xstilts.models.text_model import TextModel
from xstilts.task_types.cast import Rendered
from xstilts.text_hyperparameters import TextEncoding, TextTraining
from xstilts.training.mixture import MixtureCourse, task_shares
from xstilts.training.optimizer import learning_rate, optimizer_of
from xstilts.training.texts import TextCourse

SAID = [
    Rendered(" ".join((TEXTS * 3)[k : k + 1 + k % 3])[: 12 + 3 * k], str(k % 3) if k % 2 else "a cat") for k in range(9)
]


def features_of(lengths: list[int]) -> TextFeatures:
    """Rows of these lengths, each with a target of two."""
    rows = Rows.of([[7] * n for n in lengths])
    return TextFeatures(rows, Rows.of([[8, 1]] * len(lengths)), {})


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(30, 90), st.integers(0, 5))
def test_every_epoch_shows_every_row_once_and_no_step_is_empty(lengths: list[int], size: int, seed: int) -> None:
    settings = TextTraining(batch_tokens=size, max_steps=None, epochs=2)
    course = TextCourse(features_of(lengths), settings, seed, 0)
    seen = [course.rows(number) for number in range(2 * course.tokens // size + 1)]
    assert all(len(rows) for rows in seen)
    flat = np.concatenate(seen).tolist()
    assert len(flat) // len(lengths) >= 2
    for epoch in range(len(flat) // len(lengths)):  # one epoch after the other
        assert sorted(flat[epoch * len(lengths) : (epoch + 1) * len(lengths)]) == list(range(len(lengths)))
    tokens = [int(course.lengths[rows].sum()) for rows in seen[:-1]]
    assert all(abs(sum(tokens[: k + 1]) - size * (k + 1)) <= max(lengths) for k in range(len(tokens)))
    assert course.total == -(-2 * course.tokens // size)


def test_a_row_longer_than_a_step_is_refused() -> None:
    with pytest.raises(TrainingError, match="a step of 20 sub-words of input is shorter than the longest row, 21"):
        TextCourse(features_of([21]), TextTraining(batch_tokens=20), 1, 0)


def text_start() -> TextModel:
    return TextModel.load(text_folder(tied=True, layers=2), dropout=0.1)


def text_course(model: TextModel, **changes: Any) -> TextCourse:
    """24 steps; dev is looked at after each third one, as ``attempts`` has it."""
    given: dict[str, Any] = {"batch_tokens": 60, "max_steps": 24, "evaluate_every": 3, "patience": 4} | changes
    features = encode_texts(SAID, model.tokenizer, TextEncoding())
    return TextCourse(features, TextTraining(**given), 3, model.padding_id)


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "adamw", "schedule": "linear", "warmup": 0.2, "weight_decay": 0.01}]
)
def test_a_stopped_training_ends_bit_for_bit_equal(tmp_path: Path, changes: dict[str, Any]) -> None:
    def course(model: TextModel) -> TextCourse:
        return text_course(model, **changes)

    (tmp_path / "calm").mkdir()
    expected = undisturbed(tmp_path / "calm", text_start, course)
    stopped = Attempts(tmp_path, text_start, course)
    for stop in sorted(STOPS):
        stopped.stopped_at(stop)
    summary = stopped.run()
    assert stopped.outcome(summary) == expected
    assert summary.best_step == BEST
    assert len(summary.resumed) == len(STOPS)


def test_a_mixture_of_casts_resumes_too(tmp_path: Path) -> None:
    def course(model: TextModel) -> MixtureCourse:
        one, other = text_course(model), text_course(model, batch_tokens=40)
        shares = task_shares({"one": 9, "other": 9}, Mixture(cap=None))
        return MixtureCourse({"one": one, "other": other}, shares, 24, 4, one.settings, 3, None)

    (tmp_path / "calm").mkdir()
    settings = {"evaluations_per_epoch": 1}

    def with_evaluations(model: TextModel) -> MixtureCourse:
        made = course(model)
        changed = made.settings.model_copy(update=settings)
        return MixtureCourse(made.courses, made.shares, 24, 3, changed, 3, None)

    expected = undisturbed(tmp_path / "calm", text_start, with_evaluations)
    stopped = Attempts(tmp_path, text_start, with_evaluations)
    stopped.stopped_at(STOPS[0])
    assert stopped.outcome(stopped.run()) == expected
    log = expected[1]
    assert {row["task"] for row in log if "task" in row} == {"one", "other"}


def norm_of(gradients: Sequence[torch.Tensor]) -> float:
    return float(torch.stack([g.double().norm() for g in gradients]).norm())


def test_micro_batches_change_rounding_only() -> None:
    model = TextModel.load(text_folder(layers=2), dropout=0.0)
    course = text_course(model)
    sums = []
    for budget in (10_000, 90, 1):
        model.zero_grad()
        step = course.step(1, budget, model.device)
        total = sum(course.loss(model, part) / step.items for part in step.micro_batches)
        assert isinstance(total, torch.Tensor)
        total.backward()  # type: ignore[no-untyped-call]
        sums.append((total.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    for loss, gradients in sums[1:]:
        assert loss == pytest.approx(sums[0][0], rel=1e-5)
        # Against the whole gradient: single small elements are sums of large ones, and rounded as those are.
        apart = [one - other for one, other in zip(gradients, sums[0][1], strict=True)]
        assert norm_of(apart) < 1e-4 * norm_of(sums[0][1])


def test_a_step_counts_what_it_reads_and_writes() -> None:
    model = TextModel.load(text_folder(layers=2))
    course = text_course(model)
    step = course.step(0, 100, model.device)
    rows = np.concatenate([part.rows for part in step.micro_batches])
    assert sorted(rows) == sorted(course.rows(0))
    assert step.items == course.target_lengths[rows].sum()
    assert step.tokens == step.items + course.lengths[rows].sum()


def test_adafactor_is_torchs_and_its_rate_is_constant() -> None:
    model = TextModel.load(text_folder(layers=2))
    optimizer = optimizer_of(model, TextTraining())
    assert isinstance(optimizer, torch.optim.Adafactor)
    assert [learning_rate(step, 100, TextTraining()) for step in (0, 50, 99)] == [1e-3] * 3
    rates = [learning_rate(step, 100, TextTraining(schedule="linear", warmup=10)) for step in (0, 10, 55, 99)]
    assert rates[0] == 0 and all(a > b for a, b in pairwise(rates[1:]))


def test_what_means_nothing_for_text_is_in_no_key() -> None:
    assert TextTraining(batch_size=8).in_keys() == TextTraining().in_keys()
    assert TextTraining(batch_tokens=8).in_keys() != TextTraining().in_keys()
    assert TextTraining.model_validate(TextTraining(max_steps=7).in_keys()) == TextTraining(max_steps=7)
    with pytest.raises(ValidationError):
        TextTraining(optimizer="sgd")
