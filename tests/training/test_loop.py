from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import SHAPES, Toy, ToyModel, toy

from xstilts.batching import Batch
from xstilts.errors import TrainingError
from xstilts.hyperparameters import Training
from xstilts.training import TaskCourse, TrainingSummary, train

FAST = Training(learning_rate=5e-3, batch_size=16, epochs=1, selection="last")


def run(
    model: ToyModel,
    task: Toy,
    settings: Training = FAST,
    *,
    log: Path,
    seed: int = 1,
    tokens: int = 4096,
    dev: Any = None,
) -> TrainingSummary:
    features = task.type.encode(task.examples, model.tokenizer, task.encoding)
    return train(
        model,  # type: ignore[arg-type]  # has all that training asks of a Model
        TaskCourse(task.type, features, settings, seed),
        micro_batch_tokens=tokens,
        dev=dev,
        progress=lambda *_, **__: None,
        log=log,
    )


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def difference(one: ToyModel, two: ToyModel, *, but: tuple[str, ...] = ()) -> float:
    """The largest difference of any weight, those named in ``but`` left out."""
    weights = two.state_dict()
    return max(float((w - weights[name]).abs().max()) for name, w in one.state_dict().items() if name not in but)


@pytest.mark.parametrize("shape", SHAPES)
def test_micro_batches_change_only_rounding(shape: str, tmp_path: Path) -> None:
    task = toy(shape, 40)
    models = [task.model() for _ in range(3)]
    for model, tokens in zip(models, (100_000, 150, 1), strict=True):
        run(model, task, tokens=tokens, log=tmp_path / "log")
    assert len(models[0].batches) < len(models[1].batches) < len(models[2].batches)
    # A softmax over positions or choices does not see the output bias: its gradient is rounding noise around zero, which
    # Adam scales up to full steps. It moves no probability.
    unseen = ("output.bias",) if shape in ("multiple_choice", "span") else ()
    assert max(difference(models[0], other, but=unseen) for other in models[1:]) < 1e-5
    assert difference(models[0], task.model()) > 1e-3, "something was learned"


def test_equal_runs_give_equal_weights_and_the_seed_matters(tmp_path: Path) -> None:
    task = toy("tagging", 40)
    models = [task.model(dropout=0.3) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.rand(seed + len(model.batches))  # where the global generator stands makes no difference
        run(model, task, seed=seed, log=tmp_path / "log")
    assert difference(models[0], models[1]) == 0
    assert difference(models[0], models[2]) > 0


def test_looking_at_dev_changes_no_update(tmp_path: Path) -> None:
    task, models = toy("classification", 40), []
    for selection in ("last", "dev"):
        model = task.model(dropout=0.3)
        scores = iter(range(100))  # always better: the last weights are the best

        def dev(scores: Any = scores) -> float:
            torch.rand(7)
            return float(next(scores))

        run(model, task, FAST.model_copy(update={"selection": selection}), dev=dev, log=tmp_path / "log")
        models.append(model)
    assert difference(*models) == 0


def test_an_epoch_shows_every_example_once_and_its_last_step_is_short() -> None:
    task = toy("span", 50)
    model = task.model()
    features = task.type.encode(task.examples, model.tokenizer, task.encoding)
    steps = TaskCourse(task.type, features, FAST.model_copy(update={"epochs": 2.0}), 5)
    assert (steps.per_epoch, steps.total) == (4, 8)
    sizes, orders = [], []
    for epoch in range(2):
        parts = [steps.sequences(4 * epoch + k) for k in range(4)]
        sizes.append([len(np.unique(features.example[p])) for p in parts])
        orders.append(np.concatenate(parts).tolist())
        assert sorted(orders[-1]) == list(range(features.num_sequences))
    assert sizes == [[16, 16, 16, 2]] * 2
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("epochs", "max_steps", "total"), [(1, None, 4), (0.5, None, 2), (0.6, None, 3), (9, 5, 5)])
def test_the_number_of_steps(epochs: float, max_steps: int | None, total: int, tmp_path: Path) -> None:
    task = toy("classification", 50)
    settings = FAST.model_copy(update={"epochs": epochs, "max_steps": max_steps})
    summary = run(task.model(), task, settings, log=tmp_path / "log")
    assert summary.steps == summary.planned_steps == total == len(lines_of(tmp_path / "log"))
    assert summary.epochs == total / 4


def test_sentences_without_words_are_no_training_rows(tmp_path: Path) -> None:
    task = toy("tagging", 10)
    empty = [dataclasses.replace(e, words=(), tags=()) for e in task.examples[:4]]
    mixed = dataclasses.replace(task, examples=[*empty, *task.examples])
    assert run(task.model(), mixed, log=tmp_path / "log").examples == 10
    with pytest.raises(TrainingError, match="no training rows are left"):
        run(task.model(), dataclasses.replace(task, examples=empty), log=tmp_path / "log")


@pytest.mark.parametrize("shape", SHAPES)
def test_no_rows_is_an_error(shape: str, tmp_path: Path) -> None:
    task = dataclasses.replace(toy(shape, 4), examples=[])
    with pytest.raises(TrainingError, match="no training rows are left"):
        run(task.model(), task, log=tmp_path / "log")


def test_missing_gold_is_an_error(tmp_path: Path) -> None:
    task = toy("classification", 4)
    task.examples[2] = dataclasses.replace(task.examples[2], label=None)
    with pytest.raises(TrainingError, match="no gold"):
        run(task.model(), task, log=tmp_path / "log")


def test_dev_selection_needs_dev_rows(tmp_path: Path) -> None:
    task = toy("classification", 4)
    with pytest.raises(TrainingError, match="no dev rows"):
        run(task.model(), task, FAST.model_copy(update={"selection": "dev"}), log=tmp_path / "log")


class Breaking(ToyModel):
    """Gives a logit that is not a number once a certain word is in the batch and enough forward passes are done."""

    after = 0

    def logits(self, batch: Batch) -> Tensor:
        logits = super().logits(batch)
        return logits * math.nan if len(self.batches) > self.after else logits


def test_a_loss_that_is_not_a_number_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    task = toy("classification", 40)
    model = Breaking(2)
    model.after = 2
    with pytest.raises(TrainingError, match=r"loss nan at step 3, learning rate .*training rows") as error:
        run(model, task, FAST.model_copy(update={"epochs": 2}), log=tmp_path / "log")
    named = {int(n) for n in error.value.what.split(") ")[1].split(", ")}
    assert named == set(model.batches[-1].sequences.tolist()), "one sequence an example: rows are sequences"
    assert len(named) == 8
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert [line["step"] for line in lines_of(tmp_path / "log")] == [1, 2]


def test_a_gradient_that_is_not_a_number_is_named(tmp_path: Path) -> None:
    task = toy("classification", 20)
    model = task.model()
    model.output.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingError, match=r"gradient norm (inf|nan) at step 1"):
        run(model, task, log=tmp_path / "log")


def test_dev_selection_keeps_the_best_weights_and_the_earliest_of_equals(tmp_path: Path) -> None:
    task, seen = toy("classification", 64), []
    model = task.model(dropout=0.1)
    scores = iter([50.0, 70.0, 60.0, 70.0, 10.0, 20.0])

    def dev() -> float:
        assert not model.training
        assert not torch.is_grad_enabled()
        seen.append({name: w.clone() for name, w in model.state_dict().items()})
        return next(scores)

    settings = FAST.model_copy(update={"selection": "dev", "epochs": 3, "evaluations_per_epoch": 2})
    summary = run(model, task, settings, dev=dev, log=tmp_path / "log")
    assert [(e.step, e.score) for e in summary.dev] == [(2, 50), (4, 70), (6, 60), (8, 70), (10, 10), (12, 20)]
    assert summary.best_step == 4
    assert not model.training
    assert all(torch.equal(w, seen[1][name]) for name, w in model.state_dict().items())
    logged = [line for line in lines_of(tmp_path / "log") if "dev" in line]
    assert [line["best"] for line in logged] == [True, True, False, False, False, False]


def test_last_keeps_the_last_weights_and_asks_for_no_dev_score(tmp_path: Path) -> None:
    task = toy("classification", 32)
    summary = run(task.model(), task, dev=lambda: pytest.fail("was asked"), log=tmp_path / "log")
    assert (summary.best_step, summary.dev) == (2, ())


def test_patience_ends_training(tmp_path: Path) -> None:
    task = toy("classification", 64)
    scores = iter([50.0, 40.0, 50.0, 99.0])
    settings = FAST.model_copy(update={"selection": "dev", "epochs": 10, "patience": 2})
    summary = run(task.model(), task, settings, dev=lambda: next(scores), log=tmp_path / "log")
    assert (summary.steps, summary.planned_steps, summary.best_step) == (12, 40, 4)
    assert summary.stopped_early


def test_a_dev_score_that_is_not_a_number_selects_nothing(tmp_path: Path) -> None:
    task = toy("classification", 16)
    with pytest.raises(TrainingError, match="dev score after step 1 is nan"):
        run(
            task.model(), task, FAST.model_copy(update={"selection": "dev"}), dev=lambda: math.nan, log=tmp_path / "log"
        )


def test_log_progress_and_summary_agree(tmp_path: Path) -> None:
    task = toy("tagging", 50)
    model, shown = task.model(), []
    features = task.type.encode(task.examples, model.tokenizer, task.encoding)
    summary = train(
        model,
        TaskCourse(task.type, features, FAST.model_copy(update={"epochs": 2, "warmup": 0.25}), 1),
        micro_batch_tokens=512,
        dev=None,
        progress=lambda done, total, unit, **more: shown.append((done, total, unit, more["loss"])),
        log=tmp_path / "log",
    )
    lines = lines_of(tmp_path / "log")
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert shown == [(line["step"], 8, "steps", line["loss"]) for line in lines]
    assert [line["learning_rate"] for line in lines[:4]] == pytest.approx([0, 2.5e-3, 5e-3, 5e-3 * 5 / 6])
    assert lines[-1]["epoch"] == summary.epochs == 2
    assert (summary.examples, summary.tokens, summary.windows) == (
        100,
        2 * len(features.input_ids),
        2 * features.num_sequences,
    )
    assert summary.final_loss == lines[-1]["loss"] < lines[0]["loss"]
    assert set(lines[0]) >= {"gradient_norm", "tokens_per_second", "seconds"}
    assert json.loads(json.dumps(summary.as_json()))["steps"] == 8
