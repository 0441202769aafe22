"""What a study would cost: a rough number of device-hours, from the published counts of rows.

Assumptions of ours, said with every number: sub-words of a row by the task's shape, 6 x parameters x sub-words
floating-point operations for learning and 2 x for predicting, and a device that sustains 10^14 of them a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xstilts.hyperparameters import Training
from xstilts.study import Arm, Study
from xstilts.tasks import load
from xstilts.tasks.task import Task

PARAMETERS = 303e6
"""Of XLM-R Large without its embeddings, which is what compute follows (derived from its configuration)."""
SUSTAINED = 1e14
"""Floating-point operations a second."""
SUBWORDS = {"classification": 50, "tagging": 30, "span": 200, "multiple_choice": 240, "retrieval": 30}
"""Of one row, by shape."""
BUCC_SENTENCES = 2_660_000
"""In the four pairs of test pools (derived from recalled sizes)."""


@dataclass(frozen=True)
class Cost:
    """Device-hours, and training rows to have."""

    device_hours: float
    rows: int

    @property
    def text(self) -> str:
        """With its assumption."""
        return (
            f"about {self.device_hours:.0f} device-hours at 10^14 operations a second sustained, "
            f"on {self.rows:,} training rows"
        )


def cost(study: Study, arms: Iterable[Arm]) -> Cost:
    """Of these arms (with the baseline arm) on all targets and seeds of ``study``, with XLM-R Large.

    Rows in another language are rows to have too, as many as the English ones. Text of masked LM is left out.
    """
    targets = [load(name) for name in study.targets]
    learned: dict[tuple[str, str], int] = {}
    operations = 0.0
    for arm in [Arm(), *(arm for arm in arms if arm.tasks)]:
        for name in arm.tasks:
            task = load(name)
            rows = learned[name, arm.source or study.source] = _rows(task)
            if len(arm.learned) > 1:
                rows = min(rows, arm.mixture.cap or rows)
                epochs = study.training_of("mixture", "intermediate", Training()).epochs
            else:
                epochs = study.training_of(name, "intermediate", task.training).epochs
            operations += 6 * PARAMETERS * rows * epochs * SUBWORDS[task.type.name]
        for target in targets:
            operations += 2 * PARAMETERS * _scored(target) * SUBWORDS[target.type.name]
            if target.trains_on is not None:
                source = load(target.trains_on)
                learned[source.name, arm.target_source or study.source] = _rows(source)
                epochs = study.training_of(target.name, "target", target.training).epochs
                operations += 6 * PARAMETERS * _rows(source) * epochs * SUBWORDS[source.type.name]
    hours = operations * len(study.seeds) / SUSTAINED / 3600
    return Cost(hours, sum(learned.values()))


def _rows(task: Task) -> int:
    return (task.counts.get("train") or {}).get("en", 0)


def _scored(target: Task) -> int:
    if target.name == "bucc2018":
        return BUCC_SENTENCES
    return sum(sum(of.values()) for split, of in target.counts.items() if split != "train")
