"""A batch: sequences end to end, without padding, and where a head reads.

Shape legend: T tokens of all sequences end to end; N sequences; R positions a head reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xstilts.task_types import Features
from xstilts.task_types.base import IntArray


@dataclass(frozen=True)
class Batch:
    """Some sequences of a ``Features``, as flat tensors on one device."""

    input_ids: Tensor  # T, int64
    type_ids: Tensor  # T, int64
    lengths: tuple[int, ...]  # N
    read: Tensor  # R, int64: positions in T
    read_counts: tuple[int, ...]  # N
    sequences: IntArray  # N: which sequences of the features these are

    @property
    def num_tokens(self) -> int:
        """T."""
        return int(self.input_ids.shape[0])


def gather(features: Features, sequences: IntArray, device: torch.device) -> Batch:
    """The batch that holds ``sequences`` of ``features``, in that order."""
    starts, lengths = features.offsets[sequences], features.lengths[sequences]
    tokens = ranges(starts, lengths)
    read_starts = features.read_offsets[sequences]
    read_counts = np.diff(features.read_offsets)[sequences]
    first_token = np.cumsum(lengths) - lengths
    read = features.read[ranges(read_starts, read_counts)] + np.repeat(first_token, read_counts)
    return Batch(
        input_ids=torch.from_numpy(features.input_ids[tokens].astype(np.int64)).to(device, non_blocking=True),
        type_ids=torch.from_numpy(features.type_ids[tokens].astype(np.int64)).to(device, non_blocking=True),
        lengths=tuple(int(n) for n in lengths),
        read=torch.from_numpy(read.astype(np.int64)).to(device, non_blocking=True),
        read_counts=tuple(int(n) for n in read_counts),
        sequences=sequences,
    )


def ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """``start, start + 1, ..., start + length - 1`` of every range, end to end."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    result: IntArray = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return result
