"""Texts as a course: what a text-to-text model learns from, so many sub-words of input a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xstilts.batching import epoch_order
from xstilts.batching.texts import TextBatch, TextFeatures, gather_texts, padded_batches
from xstilts.errors import TrainingError
from xstilts.models.text_model import TextModel
from xstilts.task_types.base import IntArray
from xstilts.text_hyperparameters import TextTraining
from xstilts.training.course import MicroBatch, Step, Trainable, evaluates_after


@dataclass(frozen=True)
class TextCourse:
    """Epochs stand end to end; step n learns from the rows whose inputs begin in its ``batch_tokens`` sub-words of them.

    So a step is so many sub-words on average whatever their lengths, every epoch shows every row once, and which rows a
    step has follows from its number.

    Args:
        features: inputs and targets.
        settings: hyper-parameters.
        seed: of the order (and, in the loop, of dropout).
        padding_id: of the model that learns.

    Raises:
        TrainingError: no rows, missing gold, or a row that is longer than a step.
    """

    features: TextFeatures
    settings: TextTraining
    seed: int
    padding_id: int

    def __post_init__(self) -> None:
        if len(self.features) == 0:
            raise TrainingError(
                "no training rows are left", hint="xstilts data check shows the rows found for every task"
            )
        if self.features.targets is None:
            raise TrainingError("a training row has no gold: every row of a training set needs it")
        if (longest := int(self.lengths.max())) > self.settings.batch_tokens:
            raise TrainingError(
                f"a step of {self.settings.batch_tokens} sub-words of input is shorter than the longest row, {longest}",
                hint="raise training's batch_tokens or lower encoding's max_input_length (both under text_to_text)",
            )

    @cached_property
    def lengths(self) -> IntArray:
        """Sub-words of every input."""
        return self.features.inputs.lengths

    @cached_property
    def target_lengths(self) -> IntArray:
        """Sub-words of every target."""
        assert self.features.targets is not None
        return self.features.targets.lengths

    @cached_property
    def tokens(self) -> int:
        """Sub-words of input of one epoch."""
        return int(self.lengths.sum())

    @property
    def per_epoch(self) -> int:
        """Steps of one epoch, rounded."""
        return max(1, round(self.tokens / self.settings.batch_tokens))

    @property
    def total(self) -> int:
        """Steps of the training."""
        epochs = -(-self.settings.epochs * self.tokens // self.settings.batch_tokens)
        return self.settings.max_steps or max(1, int(epochs))

    def rows(self, number: int) -> IntArray:
        """The rows of step ``number`` (from 0), in their order."""
        first, last = number * self.settings.batch_tokens, (number + 1) * self.settings.batch_tokens
        found: list[IntArray] = []
        for epoch in range(first // self.tokens, -(-last // self.tokens)):
            order, begins = self._epoch(epoch)
            start, end = np.searchsorted(begins, [first - epoch * self.tokens, last - epoch * self.tokens])
            found.append(order[start:end])
        rows: IntArray = np.concatenate(found)
        return rows

    def _epoch(self, epoch: int) -> tuple[IntArray, IntArray]:
        """The order of an epoch's rows, and where in the epoch each input begins."""
        order = epoch_order(len(self.features), self.seed, epoch)
        ordered = self.lengths[order]
        return order, np.cumsum(ordered) - ordered

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """Step ``number``, cut into padded micro-batches."""
        rows = self.rows(number)
        parts = padded_batches(rows, self.lengths, self.target_lengths, micro_batch_tokens)
        written = int(self.target_lengths[rows].sum())
        return Step(
            micro_batches=self._micro_batches(parts, device),
            items=written,
            examples=len(rows),
            windows=len(rows),
            tokens=int(self.lengths[rows].sum()) + written,
        )

    def _micro_batches(self, parts: list[IntArray], device: torch.device) -> Iterator[MicroBatch]:
        for rows in parts:
            batch = gather_texts(self.features, rows, self.padding_id, device)
            assert batch.targets is not None
            yield MicroBatch(batch, batch.targets, rows)

    def loss(self, model: Trainable, micro_batch: MicroBatch) -> Tensor:
        """Cross-entropy of the sub-words to be written."""
        assert isinstance(model, TextModel) and isinstance(micro_batch.batch, TextBatch)
        return model.loss(micro_batch.batch)

    def evaluates_after(self, done: int) -> bool:
        """Every so many steps, and at the end."""
        return evaluates_after(done, self.total, self.per_epoch, self.settings)
