"""Attempts at one training: stopped at any step, taken up again in the same place."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from toys import ToyModel, toy

from xstilts.graph.disk import digest_file
from xstilts.hyperparameters import Training
from xstilts.training import Checkpoints, Course, TaskCourse, TrainingSummary, train
from xstilts.training.checkpoint_tensors import tensors_of

TASK = toy("tagging", 48)
SETTINGS = Training(
    learning_rate=5e-3, batch_size=8, epochs=4, dropout=0.2, attention_dropout=0.1, evaluations_per_epoch=2, patience=4
)
SCORES = {3: 40.0, 6: 50.0, 9: 70.0, 12: 60.0, 15: 50.0, 18: 69.0, 21: 0.0, 24: 100.0}
STEPS, BEST = 21, 9  # out of patience after step 21, the fourth evaluation that is no better than that of step 9
STOPS = random.Random(20).sample(range(2, STEPS), 3)
TIMES = ("seconds", "tokens_per_second", "evaluation_seconds", "checkpoint_seconds")


class StoppedError(Exception):
    """Stands for the end of the process."""


class Attempts:
    """Attempts at one training in one place.

    Args:
        home: for checkpoints, the log and the final weights.
        start: makes the model that is trained, with dropout.
        course: what it learns from.
    """

    def __init__(self, home: Path, start: Callable[[], Any], course: Callable[[Any], Course] | None = None) -> None:
        self.home, self.start, self.course = home, start, course or toy_course
        self.folder = home / "checkpoints"
        self.shown: list[dict[str, Any]] = []

    def run(self, *, stop: int | None = None, tokens: int = 60, **options: Any) -> TrainingSummary:
        """One attempt; ``stop``: it ends between the update of that step and its checkpoint."""
        model = self.start()
        step = 0

        def progress(done: int, total: int, unit: str, **shown: Any) -> None:
            nonlocal step
            step = done
            self.shown.append(shown)
            torch.rand(3)
            if done == stop:
                raise StoppedError

        places = Checkpoints(self.folder, "a node", **{"every_seconds": 0.0, **options})
        summary = train(
            model,
            self.course(model),
            micro_batch_tokens=tokens,
            dev=lambda: SCORES[step] + float(torch.rand(1)) * 0,
            progress=progress,
            log=self.home / "training.jsonl",
            checkpoints=places,
        )
        save_file(tensors_of(model), self.home / "weights")
        return summary

    def stopped_at(self, step: int, **options: Any) -> None:
        with pytest.raises(StoppedError):
            self.run(stop=step, **options)

    @property
    def kept(self) -> list[int]:
        """The steps of the checkpoints, and nothing else in their folder."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.iterdir())

    def outcome(self, summary: TrainingSummary) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
        """All that must be equal: the weights' digest, the log and the summary, but for times and resumptions."""
        lines = (self.home / "training.jsonl").read_text(encoding="utf-8").splitlines()
        log = [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]
        told = {k: v for k, v in summary.as_json().items() if k not in (*TIMES, "resumed")}
        return digest_file(self.home / "weights"), log, told


def undisturbed(home: Path, start: Callable[[], Any], course: Callable[[Any], Course] | None = None) -> Any:
    """The outcome of a training that nothing disturbed and that saved nothing."""
    calm = Attempts(home, start, course)
    summary = calm.run(every_seconds=1e9)
    assert not calm.folder.exists()
    assert (summary.steps, summary.best_step, summary.planned_steps, summary.resumed) == (STEPS, BEST, 24, ())
    assert summary.stopped_early
    return calm.outcome(summary)


def toy_course(model: Any) -> TaskCourse:
    """``TASK`` with ``SETTINGS`` as they are by then."""
    return TaskCourse(TASK.type, TASK.type.encode(TASK.examples, model.tokenizer, TASK.encoding), SETTINGS, 3)


def toy_start() -> ToyModel:
    model: ToyModel = TASK.model(dropout=0.3)
    return model
