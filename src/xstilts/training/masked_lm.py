"""Masked LM and translation LM as a course: the first phase, pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xstilts.batching import gather, micro_batches, ranges
from xstilts.batching.masking import Masking, masked
from xstilts.hyperparameters import Training
from xstilts.models.model import Model
from xstilts.task_types import Features
from xstilts.task_types.base import IntArray
from xstilts.training.course import MicroBatch, Step, evaluates_after


@dataclass(frozen=True)
class Corpus:
    """Sequences of one language, or translations between two: consecutive ones of the features.

    Args:
        first: number of its first sequence.
        size: how many there are.
        share: of all draws.
    """

    first: int
    size: int
    share: float


@dataclass(frozen=True)
class MaskedLMCourse:
    """``batch_size`` sequences a step: a corpus is drawn by its share, then a line of it, with replacement.

    Everything is drawn from (seed, step), so what a step learns from needs no cursor. Losses are means over the sub-words
    to predict; logits are computed for these only.

    Args:
        features: all sequences, corpus after corpus.
        corpora: their places and shares, which add up to 1.
        masking: what is hidden.
        settings: hyper-parameters; ``max_steps`` or ``epochs`` over all lines.
        seed: of draws, masks and dropout.
    """

    features: Features
    corpora: Sequence[Corpus]
    masking: Masking
    settings: Training
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps that draw as many sequences as there are."""
        return -(-self.features.num_sequences // self.settings.batch_size)

    @property
    def total(self) -> int:
        """Steps of the training."""
        return self.settings.max_steps or max(1, round(self.settings.epochs * self.per_epoch))

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """Step ``number``: its sequences, hidden in part before they are cut into micro-batches."""
        draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, number), spawn_key=(2,))))
        sequences = self._draw(draws)
        hidden = masked(self.features, sequences, self.masking, draws)
        parts = micro_batches(hidden.lengths, hidden.example, micro_batch_tokens)
        return Step(
            micro_batches=(self._micro_batch(hidden, part, self.features.example[sequences], device) for part in parts),
            items=len(hidden.read),
            examples=len(sequences),
            windows=len(sequences),
            tokens=int(hidden.lengths.sum()),
        )

    def _draw(self, draws: np.random.Generator) -> IntArray:
        shares = [corpus.share for corpus in self.corpora]
        chosen = draws.choice(len(shares), self.settings.batch_size, p=shares)
        firsts = np.array([corpus.first for corpus in self.corpora])[chosen]
        sizes = np.array([corpus.size for corpus in self.corpora])[chosen]
        lines: IntArray = firsts + (draws.random(len(chosen)) * sizes).astype(np.int64)
        return lines

    @staticmethod
    def _micro_batch(hidden: Features, part: IntArray, lines: IntArray, device: torch.device) -> MicroBatch:
        assert hidden.targets is not None
        reads = ranges(hidden.read_offsets[part], np.diff(hidden.read_offsets)[part])
        return MicroBatch(gather(hidden, part, device), torch.from_numpy(hidden.targets[reads]).to(device), lines[part])

    def loss(self, model: Model, micro_batch: MicroBatch) -> Tensor:
        """Cross-entropy of the hidden sub-words, summed."""
        return cross_entropy(model.logits(micro_batch.batch), micro_batch.targets, reduction="sum")

    def evaluates_after(self, done: int) -> bool:
        """As for a task; pre-training keeps the last step, so nothing asks."""
        return evaluates_after(done, self.total, self.per_epoch, self.settings)


def shares(sizes: Sequence[int], alpha: float) -> list[float]:
    """The share of each language: (number of lines) ** alpha, normalised (Conneau and Lample 2019)."""
    weights = np.array(sizes, float) ** alpha
    result: list[float] = (weights / weights.sum()).tolist()
    return result
