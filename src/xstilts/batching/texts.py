"""Texts that are read and texts that are written, as sub-words, and padded batches of them sorted by length.

Shape legend: N rows; n rows of a batch; L its longest input; M its longest target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xstilts.batching.batch import ranges
from xstilts.errors import TrainingError
from xstilts.task_types import Tokenizer
from xstilts.task_types.base import IntArray
from xstilts.task_types.cast import Rendered
from xstilts.task_types.classification import truncated
from xstilts.text_hyperparameters import TextEncoding

NO_TARGET = -100
"""What fills a padded target: nothing is learned there."""


@dataclass(frozen=True)
class Rows:
    """Sub-words of N texts, end to end; text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: IntArray
    offsets: IntArray

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Rows:
        """The sub-words of each text."""
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        return cls(np.fromiter((i for text in texts for i in text), np.int64, int(offsets[-1])), offsets)

    @property
    def lengths(self) -> IntArray:
        """N."""
        return np.diff(self.offsets)

    def block(self, rows: IntArray, filling: int) -> IntArray:
        """Some of them side by side, n x the longest of them."""
        lengths = self.lengths[rows]
        block: IntArray = np.full((len(rows), int(lengths.max(initial=1))), filling, np.int64)
        block[np.arange(block.shape[1]) < lengths[:, None]] = self.ids[ranges(self.offsets[rows], lengths)]
        return block


@dataclass(frozen=True)
class TextFeatures:
    """What a text-to-text model reads and, where all gold is there, should write."""

    inputs: Rows
    targets: Rows | None
    counts: dict[str, int]

    def __len__(self) -> int:
        """N."""
        return len(self.inputs.offsets) - 1


@dataclass(frozen=True)
class TextBatch:
    """Some rows, padded on the right, on one device."""

    input_ids: Tensor  # n x L
    mask: Tensor  # n x L: 1 where there is a sub-word
    targets: Tensor | None  # n x M, ``NO_TARGET`` where there is none

    @property
    def num_tokens(self) -> int:
        """Sub-words that are read, padding included."""
        return self.input_ids.numel()


def encode_texts(said: Sequence[Rendered], tokenizer: Tokenizer, encoding: TextEncoding) -> TextFeatures:
    """Sub-words of inputs and targets, cut at the lengths of ``encoding``; what was cut is counted."""
    inputs = truncated(tokenizer, [each.inputs for each in said], encoding.max_input_length)
    written = [each.target for each in said if each.target is not None]
    targets = truncated(tokenizer, written, encoding.max_target_length) if len(written) == len(said) else []
    counts = {
        "dropped_tokens": sum(dropped for _, _, dropped in inputs),
        "truncated_examples": sum(dropped > 0 for _, _, dropped in inputs),
        "truncated_targets": sum(dropped > 0 for _, _, dropped in targets),
    }
    found = Rows.of([ids for ids, _, _ in targets]) if len(targets) == len(said) else None
    return TextFeatures(Rows.of([ids for ids, _, _ in inputs]), found, counts)


def gather_texts(features: TextFeatures, rows: IntArray, padding_id: int, device: torch.device) -> TextBatch:
    """The batch that holds ``rows``, in that order."""
    lengths = features.inputs.lengths[rows]
    block = features.inputs.block(rows, padding_id)
    mask = (np.arange(block.shape[1]) < lengths[:, None]).astype(np.int64)
    targets = None if features.targets is None else features.targets.block(rows, NO_TARGET)
    return TextBatch(
        torch.from_numpy(block).to(device, non_blocking=True),
        torch.from_numpy(mask).to(device, non_blocking=True),
        None if targets is None else torch.from_numpy(targets).to(device, non_blocking=True),
    )


def padded_batches(rows: IntArray, inputs: IntArray, targets: IntArray, token_budget: int) -> list[IntArray]:
    """``rows`` with long ones first, in batches that with padding hold at most ``token_budget`` sub-words, or one row.

    Args:
        rows: to be shared out; each is in one batch.
        inputs, targets: sub-words of every row of the features.
        token_budget: at least 1.
    """
    if token_budget < 1:
        raise TrainingError(f"a token budget of {token_budget}: it must be at least 1")
    ordered = rows[np.lexsort((rows, -targets[rows], -inputs[rows]))]
    batches, start, longest = [], 0, 0
    for end, row in enumerate(ordered):
        longest = max(longest, int(targets[row]))
        if end > start and (int(inputs[ordered[start]]) + longest) * (end + 1 - start) > token_budget:
            batches.append(ordered[start:end])
            start, longest = end, int(targets[row])
    return [*batches, ordered[start:]] if len(ordered) else []
