"""Which sequences each optimizer step trains on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xstilts.batching import epoch_order, ranges
from xstilts.hyperparameters import Training
from xstilts.task_types import Features
from xstilts.task_types.base import IntArray


@dataclass(frozen=True)
class Steps:
    """Which sequences each step trains on: a pure function of features, settings and seed.

    An example without any sequence (a sentence without words) has nothing to learn from and is not counted.
    """

    features: Features
    settings: Training
    seed: int

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
        return self.settings.max_steps or math.ceil(self.settings.epochs * self.per_epoch - 1e-9)

    def sequences(self, step: int) -> IntArray:
        """The sequences of step ``step`` (from 0), example after example."""
        epoch, part = divmod(step, self.per_epoch)
        size = self.settings.batch_size
        chosen = epoch_order(len(self.firsts), self.seed, epoch)[part * size : (part + 1) * size]
        return ranges(self.firsts[chosen], self.counts[chosen])

    def evaluates_after(self, done: int) -> bool:
        """Whether dev is looked at after ``done`` steps: evenly within each epoch, and at the end."""
        times = self.settings.evaluations_per_epoch
        return done == self.total or done * times // self.per_epoch > (done - 1) * times // self.per_epoch
