"""The rows of a matrix as directions: of length 1, each distinct one once.

Parallel corpora repeat sentences. Equal rows are one row in a search, and its answer is spread over them afterwards.

Shape legend: N rows of the matrix; D distinct rows; H hidden size; k neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xstilts.errors import ModelError
from xstilts.task_types.base import FloatArray, IntArray

Float64 = NDArray[np.float64]
_ROWS = 2048  # normalised at once


class Directions:
    """The distinct rows of a matrix, normalised block by block, and where each of them occurs.

    Distinct rows are numbered by first occurrence, so the smaller number is also the smaller row.

    Args:
        matrix: N x H; may be memory-mapped, it need not be normalised.
        side: names it in errors.

    Raises:
        ModelError: a row is not finite, or zero, so that it has no direction.
    """

    def __init__(self, matrix: FloatArray, side: str) -> None:
        self.matrix, self.side = np.asarray(matrix), side  # a memory map stays one, without its slow subclass
        self.lengths = np.empty(len(matrix))
        self.distinct_of: IntArray = np.empty(len(matrix), np.int64)
        numbers: dict[bytes, int] = {}
        for start in range(0, len(matrix), _ROWS):
            block = np.ascontiguousarray(self.matrix[start : start + _ROWS])
            self.lengths[start : start + len(block)] = self._measure(block, start)
            for row, values in enumerate(block, start):
                # A digest stands for the row: the rows themselves may be larger than memory.
                digest = hashlib.blake2b(values.data, digest_size=16).digest()
                self.distinct_of[row] = numbers.setdefault(digest, len(numbers))
        self.first: IntArray = np.unique(self.distinct_of, return_index=True)[1].astype(np.int64)

    def _measure(self, block: FloatArray, start: int) -> Float64:
        """Euclidean lengths; refuses rows without a direction."""
        lengths: Float64 = np.sqrt(np.square(block, dtype=np.float64).sum(axis=1))
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(bad):
            raise ModelError(
                f"{self.side} {start + bad[0]} has length {lengths[bad[0]]}: a cosine needs finite numbers, not all zero",
                hint="the encoder's output is damaged (overflow in half precision, or weights that are not finite)",
            )
        return lengths

    def __len__(self) -> int:
        """D."""
        return len(self.first)

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.matrix.shape[1])

    def at(self, distinct: IntArray) -> Float64:
        """The given distinct rows, of length 1: the shape of ``distinct``, then H."""
        rows = self.first[distinct]
        unit: Float64 = np.ascontiguousarray(self.matrix[rows]) / self.lengths[rows][..., None]
        return unit

    def block(self, start: int, stop: int) -> Float64:
        """Distinct rows ``start`` to ``stop``, of length 1."""
        return self.at(np.arange(start, min(stop, len(self))))

    def blocks(self) -> Iterator[tuple[int, Float64]]:
        """All distinct rows, some at a time, each time with the number of the first."""
        for start in range(0, len(self), _ROWS):
            yield start, self.block(start, start + _ROWS)

    @cached_property
    def mean(self) -> Float64:
        """The mean of the distinct rows of length 1, H."""
        total = np.zeros(self.hidden_size)
        for _, rows in self.blocks():
            total += rows.sum(axis=0)
        return total / len(self)

    def members(self, k: int) -> IntArray | None:
        """The first ``k`` rows equal to each distinct row, then -1: D x k; ``None`` if no row repeats."""
        if len(self.first) == len(self.matrix):
            return None
        order = np.argsort(self.distinct_of, kind="stable")
        numbers = self.distinct_of[order]
        place = np.arange(len(order)) - np.searchsorted(numbers, numbers)
        table = np.full((len(self), k), -1, np.int64)
        table[numbers[place < k], place[place < k]] = order[place < k]
        return table
