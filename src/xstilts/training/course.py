"""What a training learns from, step by step.

The loop knows a ``Course`` and nothing else: no task, no shape, no file. Whatever a course gives for a step depends on the
step's number alone, so a resumed training needs no cursor into its data and no random state but that number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from xstilts.batching import Batch, epoch_order, gather, micro_batches, ranges
from xstilts.batching.texts import TextBatch
from xstilts.errors import TrainingError
from xstilts.hyperparameters import Training
from xstilts.models.model import Model
from xstilts.models.text_model import TextModel
from xstilts.task_types import Features, TaskType
from xstilts.task_types.base import IntArray
from xstilts.text_hyperparameters import TextTraining
from xstilts.training.loss import num_items, summed_loss, targets_of

Trainable: TypeAlias = Model | TextModel
"""What can learn: an encoder with a head, or a text-to-text model. A course is for one of them."""


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once.

    Args:
        batch: the sequences.
        targets: the gold of what the model says about them, on the batch's device; its shape is the course's own matter.
        rows: the examples in it, counted from 0: named when the loss is not a number.
        task: of a mixture, whose examples these are.
    """

    batch: Batch | TextBatch
    targets: Tensor
    rows: IntArray
    task: str = ""


@dataclass(frozen=True)
class Step:
    """One optimizer step.

    Args:
        micro_batches: made one by one while they are asked for, so that memory holds one; read once.
        items: what the loss is a mean over.
        examples, windows, tokens: counted in the summary: examples, their sequences, and sub-words of these.
    """

    micro_batches: Iterable[MicroBatch]
    items: int
    examples: int
    windows: int
    tokens: int


class Course(Protocol):
    """What every step of a training learns from: a pure function of the step's number."""

    @property
    def settings(self) -> Training:
        """The hyper-parameters."""

    @property
    def seed(self) -> int:
        """Of everything random in the training."""

    @property
    def total(self) -> int:
        """Steps of the training, at least 1."""

    @property
    def per_epoch(self) -> int:
        """Steps of one epoch, at least 1."""

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """Step ``number`` (from 0), cut into micro-batches of at most so many sub-words on ``device``."""

    def loss(self, model: Trainable, micro_batch: MicroBatch) -> Tensor:
        """The loss of what the model says, summed over the micro-batch's items: a float32 scalar."""

    def evaluates_after(self, done: int) -> bool:
        """Whether dev is looked at after ``done`` steps."""


@dataclass(frozen=True)
class TaskCourse:
    """The examples of one task: ``batch_size`` a step, without replacement in the order of ``epoch_order``.

    The last step of an epoch may be shorter, so every epoch shows every example once. An example without any sequence (a
    sentence without words) has nothing to learn from and is not counted.

    Args:
        task_type: decides the loss.
        features: the training set, with targets.
        settings: hyper-parameters.
        seed: of the order (and, in the loop, of dropout).

    Raises:
        TrainingError: no rows, or missing gold.
    """

    task_type: TaskType
    features: Features
    settings: Training
    seed: int

    def __post_init__(self) -> None:
        if len(self.firsts) == 0:
            raise TrainingError(
                "no training rows are left", hint="xstilts data check shows the rows found for every task"
            )
        if self.features.targets is None:
            raise TrainingError("a training row has no gold: every row of a training set needs it")

    @cached_property
    def firsts(self) -> IntArray:
        """The first sequence of each example that has any."""
        return np.flatnonzero(np.diff(self.features.example, prepend=-1))

    @cached_property
    def counts(self) -> IntArray:
        """The number of sequences of each of those examples."""
        return np.diff(np.append(self.firsts, self.features.num_sequences))

    @cached_property
    def lengths(self) -> IntArray:
        """Sub-words of every sequence."""
        return self.features.lengths

    @property
    def per_epoch(self) -> int:
        """Steps of one epoch."""
        return math.ceil(len(self.firsts) / self.settings.batch_size)

    @property
    def total(self) -> int:
        """Steps of the training."""
        return total_steps(self.settings, self.per_epoch)

    def sequences(self, number: int) -> IntArray:
        """The sequences of step ``number`` (from 0), example after example."""
        epoch, part = divmod(number, self.per_epoch)
        size = self.settings.batch_size
        chosen = epoch_order(len(self.firsts), self.seed, epoch)[part * size : (part + 1) * size]
        return ranges(self.firsts[chosen], self.counts[chosen])

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """Step ``number``; the sequences of one example (choices, windows) are never parted."""
        sequences = self.sequences(number)
        lengths, examples = self.lengths[sequences], self.features.example[sequences]
        parts = micro_batches(lengths, examples, micro_batch_tokens)
        return Step(
            micro_batches=(self._micro_batch(sequences[part], device) for part in parts),
            items=num_items(self.task_type, self.features, sequences),
            examples=len(np.unique(examples)),
            windows=len(sequences),
            tokens=int(lengths.sum()),
        )

    def _micro_batch(self, sequences: IntArray, device: torch.device) -> MicroBatch:
        batch = gather(self.features, sequences, device)
        return MicroBatch(
            batch, targets_of(self.task_type, self.features, sequences, device), self.features.example[sequences]
        )

    def loss(self, model: Trainable, micro_batch: MicroBatch) -> Tensor:
        """The loss of the task's shape."""
        assert not isinstance(model, TextModel) and isinstance(micro_batch.batch, Batch)
        logits = model.logits(micro_batch.batch)
        return summed_loss(self.task_type, micro_batch.batch, logits, micro_batch.targets)

    def evaluates_after(self, done: int) -> bool:
        """Evenly within each epoch, and at the end."""
        return evaluates_after(done, self.total, self.per_epoch, self.settings)


def total_steps(settings: Training, per_epoch: int) -> int:
    """Steps of a training with so many steps an epoch."""
    return settings.max_steps or math.ceil(settings.epochs * per_epoch - 1e-9)


def evaluates_after(done: int, total: int, per_epoch: int, settings: Training) -> bool:
    """Whether dev is looked at after ``done`` steps: ``evaluations_per_epoch`` times evenly an epoch, and at the end.

    A text-to-text model's settings say every how many steps instead.
    """
    if isinstance(settings, TextTraining):
        return done == total or done % settings.evaluate_every == 0
    times = settings.evaluations_per_epoch
    return done == total or done * times // per_epoch > (done - 1) * times // per_epoch
