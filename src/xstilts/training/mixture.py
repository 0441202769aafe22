"""Several tasks that take turns on one encoder, each with its own head: one optimizer step is one task's batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xstilts.hyperparameters import Mixture, Training
from xstilts.models.heads import HeadSet
from xstilts.task_types.base import IntArray
from xstilts.training.course import Course, MicroBatch, Step, Trainable, evaluates_after


@dataclass(frozen=True)
class MixtureCourse:
    """A task is drawn for every step by its share; then it goes through its own rows as it would alone.

    Which task a step is of is drawn once for all steps from the seed, and a task's own step is the number of its steps
    before: so a step is a function of its number, and a resumed training needs no more than that.

    Args:
        courses: what each task learns from.
        shares: of the steps, by task; they add up to 1.
        total: steps of the training.
        per_epoch: steps of one epoch (see ``steps_of_an_epoch``).
        settings: hyper-parameters of the training; a task's own batch size is its course's.
        seed: of the draws and of dropout.
        heads: of the model that is trained: the one that is needed is put in use; ``None`` where every task is text.
    """

    courses: Mapping[str, Course]
    shares: Mapping[str, float]
    total: int
    per_epoch: int
    settings: Training
    seed: int
    heads: HeadSet | None

    @cached_property
    def names(self) -> list[str]:
        """The tasks, in the order of the study."""
        return list(self.courses)

    @cached_property
    def drawn(self) -> IntArray:
        """Which task each step is of."""
        draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(3,))))
        shares = [self.shares[name] for name in self.names]
        return draws.choice(len(shares), self.total, p=shares).astype(np.int64)

    @cached_property
    def own_steps(self) -> IntArray:
        """The number of each step in its own task, from 0."""
        own = np.empty(self.total, np.int64)
        for task in range(len(self.names)):
            mine = np.flatnonzero(self.drawn == task)
            own[mine] = np.arange(len(mine))
        return own

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """The next step of the task that is drawn."""
        name = self.names[self.drawn[number]]
        step = self.courses[name].step(int(self.own_steps[number]), micro_batch_tokens, device)
        return replace(step, micro_batches=(replace(batch, task=name) for batch in step.micro_batches))

    def loss(self, model: Trainable, micro_batch: MicroBatch) -> Tensor:
        """That of the task."""
        if self.heads is not None:
            self.heads.use(micro_batch.task)
        return self.courses[micro_batch.task].loss(model, micro_batch)

    def evaluates_after(self, done: int) -> bool:
        """Evenly within each epoch of the mixture, and at the end."""
        return evaluates_after(done, self.total, self.per_epoch, self.settings)


def task_shares(rows: Mapping[str, int], mixture: Mixture) -> dict[str, float]:
    """The share of steps of each task.

    Args:
        rows: training rows of each task.
        mixture: ``proportional`` goes by rows, of which ``cap`` count at most (Raffel et al. 2020; 2^17 in Phang et al.
            2020); ``temperature`` by their power 1 / T; ``uniform`` by nothing; ``fixed`` by ``weights``.
    """
    capped = {name: min(n, mixture.cap or n) for name, n in rows.items()}
    match mixture.sampling:
        case "uniform":
            weights = dict.fromkeys(rows, 1.0)
        case "proportional":
            weights = {name: float(n) for name, n in capped.items()}
        case "temperature":
            weights = {name: n ** (1 / mixture.temperature) for name, n in capped.items()}
        case "fixed":
            weights = {name: mixture.weights[name] for name in rows}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def steps_of_an_epoch(rows: Mapping[str, int], batch_sizes: Mapping[str, int], mixture: Mixture) -> int:
    """As many steps as all tasks together would need for their own rows, ``cap`` of them at most.

    Steps are shared by rows, whatever a task's batch size: in an epoch a task with a large batch is seen more than once,
    one with a small batch less.
    """
    return sum(-(-min(n, mixture.cap or n) // batch_sizes[name]) for name, n in rows.items())
