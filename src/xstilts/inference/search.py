"""Exact nearest neighbours by cosine, in blocks, with ties broken by the smaller index.

Parallel corpora repeat sentences, so equal scores are common, and a matrix product rounds differently for other block
sizes. Both would make a neighbour depend on the machine. Here it does not: a float32 product proposes more candidates
than asked, each proposal is scored again in float64 row by row, and a row whose proposals cannot be told apart from
what was left out (by the error bound of the product) is searched again in float64 with every near tie kept.

Shape legend: N queries, M candidates, H hidden size, k neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from xstilts.errors import DataError, ModelError
from xstilts.task_types.base import FloatArray, IntArray

Float64 = NDArray[np.float64]

SPARE = 12
"""Proposals beyond k: enough that only rows with many near ties need the slow search."""
BLOCK_ROWS = 2048
_GATHERED = 2**22  # numbers gathered at once when proposals are scored again (32 MiB in float64)
_WIDE = 2**23  # scores held at once in the float64 search (64 MiB)


class Neighbours(NamedTuple):
    """``scores`` (N x k, cosine, falling) and ``indices`` (N x k) of the candidates."""

    scores: Float64
    indices: IntArray


def nearest(
    queries: FloatArray,
    candidates: FloatArray,
    k: int,
    *,
    block_rows: int = BLOCK_ROWS,
    device: torch.device | None = None,
) -> Neighbours:
    """The ``k`` candidates of largest cosine for every query.

    The score of a pair is the sum of the products of both rows, each divided by its length, all in float64. Among equal
    scores the smaller index comes first. The result does not depend on ``block_rows`` or on the device.

    Args:
        queries: N x H; may be memory-mapped, it need not be normalised.
        candidates: M x H, likewise.
        k: between 1 and M.
        block_rows: rows of either side held at once; memory is about ``block_rows ** 2`` scores.
        device: where the float32 products run; the CPU by default.

    Raises:
        DataError: ``k`` neighbours cannot be had, or the sides do not fit.
        ModelError: a row is not finite, or zero, so that it has no direction.
    """
    _check(queries, candidates, k, block_rows)
    left, right = _Directions(queries, "query"), _Directions(candidates, "candidate")
    scores = np.empty((len(left), k))
    indices = np.empty((len(left), k), np.int64)
    members = right.members(k)
    with _full_float32():
        for start in range(0, len(left), block_rows):
            rows = left.block(start, start + block_rows)
            found = _search_block(rows, right, min(k, len(right)), block_rows, device or torch.device("cpu"))
            here = slice(start, start + len(rows))
            scores[here], indices[here] = _as_rows(found, members, k)
    return Neighbours(scores[left.distinct_of], indices[left.distinct_of])


def _check(queries: FloatArray, candidates: FloatArray, k: int, block_rows: int) -> None:
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise DataError(f"queries {queries.shape} and candidates {candidates.shape} are not N x H and M x H")
    if not 1 <= k <= len(candidates):
        raise DataError(f"{k} neighbours were asked of {len(candidates)} candidates", hint="k is between 1 and that")
    if block_rows < 1:
        raise DataError(f"block_rows is {block_rows}; it is at least 1")


class _Directions:
    """The distinct rows of a matrix, normalised block by block, and where each of them occurs.

    Distinct rows are numbered by first occurrence, so the smaller number is also the smaller row.
    """

    def __init__(self, matrix: FloatArray, side: str) -> None:
        self.matrix, self.side = np.asarray(matrix), side  # a memory map stays one, without its slow subclass
        self.lengths = np.empty(len(matrix))
        self.distinct_of: IntArray = np.empty(len(matrix), np.int64)
        numbers: dict[bytes, int] = {}
        for start in range(0, len(matrix), BLOCK_ROWS):
            block = np.ascontiguousarray(self.matrix[start : start + BLOCK_ROWS])
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
        return len(self.first)

    def block(self, start: int, stop: int) -> Float64:
        """Distinct rows ``start`` to ``stop``, of length 1."""
        return self.at(np.arange(start, min(stop, len(self))))

    @cached_property
    def centre(self) -> Float64:
        """The mean of the distinct rows of length 1, H."""
        total = np.zeros(self.matrix.shape[1])
        for start in range(0, len(self), BLOCK_ROWS):
            total += self.block(start, start + BLOCK_ROWS).sum(axis=0)
        return total / len(self)

    def at(self, distinct: IntArray) -> Float64:
        """The given distinct rows, of length 1: the shape of ``distinct``, then H."""
        rows = self.first[distinct]
        unit: Float64 = np.ascontiguousarray(self.matrix[rows]) / self.lengths[rows][..., None]
        return unit

    def members(self, k: int) -> IntArray | None:
        """The first ``k`` rows equal to each distinct row, then -1; ``None`` if no row repeats."""
        if len(self.first) == len(self.matrix):
            return None
        order = np.argsort(self.distinct_of, kind="stable")
        numbers = self.distinct_of[order]
        place = np.arange(len(order)) - np.searchsorted(numbers, numbers)
        table = np.full((len(self), k), -1, np.int64)
        table[numbers[place < k], place[place < k]] = order[place < k]
        return table


def _as_rows(found: Neighbours, members: IntArray | None, k: int) -> Neighbours:
    """Neighbours among distinct rows (n x j, j <= k) as the ``k`` first among all rows.

    The j best distinct rows contain the k best rows: each distinct row stands for at least one.
    """
    if members is None:
        return found
    rows = members[found.indices].reshape(len(found.indices), -1)  # n x (j * k); -1 where a row has fewer
    scores = np.where(rows >= 0, np.repeat(found.scores, k, axis=1), -np.inf)
    return _best(scores, rows, k)


def _search_block(rows: Float64, right: _Directions, k: int, block_rows: int, device: torch.device) -> Neighbours:
    """The ``k`` best distinct candidates for a block of normalised queries."""
    below, indices = _propose(rows, right, min(k + SPARE, len(right)), block_rows, device)
    found = _best(_score_again(rows, right, indices), indices, k)
    if indices.shape[1] == len(right):
        return found
    crowded = np.flatnonzero(below + 4 * _error(rows.shape[1], 53) >= found.scores[:, -1])
    step = max(1, _WIDE // len(right))
    for start in range(0, len(crowded), step):
        some = crowded[start : start + step]
        found.scores[some], found.indices[some] = _search_wide(rows[some], right, k, block_rows)
    return found


def _propose(
    rows: Float64, right: _Directions, count: int, block_rows: int, device: torch.device
) -> tuple[Float64, IntArray]:
    """The ``count`` candidates of largest float32 product, and for each query a score that all others stay below.

    The candidates' mean is taken out first. That adds the same to all products of a query, and it makes the error bound
    as small as the candidates are close together: first-token embeddings often agree to three digits.
    """
    left = torch.from_numpy(rows.astype(np.float32)).to(device)
    scores = torch.empty((len(rows), 0), device=device)
    indices = torch.empty((len(rows), 0), dtype=torch.int64, device=device)
    radius = 0.0
    for start in range(0, len(right), block_rows):
        block = torch.from_numpy((right.block(start, start + block_rows) - right.centre).astype(np.float32)).to(device)
        radius = max(radius, float(torch.linalg.vector_norm(block, dim=1).max()))
        best, place = (left @ block.T).topk(min(count, len(block)), dim=1)
        scores, indices = torch.cat([scores, best], 1), torch.cat([indices, place + start], 1)
        scores, order = scores.topk(min(count, scores.shape[1]), dim=1)
        indices = indices.gather(1, order)
    last = scores[:, -1].cpu().numpy().astype(np.float64)
    return last + radius * _error(rows.shape[1], 24) + rows @ right.centre, indices.cpu().numpy()


def _score_again(rows: Float64, right: _Directions, indices: IntArray) -> Float64:
    """The score of each query with its proposals: n x p.

    Each sum runs over one row alone, so it cannot depend on its neighbours as a matrix product can.
    """
    scores = np.empty(indices.shape)
    step = max(1, _GATHERED // (indices.shape[1] * rows.shape[1]))
    for start in range(0, len(rows), step):
        here = slice(start, start + step)
        scores[here] = (right.at(indices[here]) * rows[here, None, :]).sum(axis=-1)
    return scores


def _search_wide(rows: Float64, right: _Directions, k: int, block_rows: int) -> Neighbours:
    """The same search by float64 products over all candidates, for rows with near ties."""
    products = np.empty((len(rows), len(right)))
    for start in range(0, len(right), block_rows):
        block = right.block(start, start + block_rows)
        products[:, start : start + len(block)] = rows @ block.T
    last = np.partition(products, len(right) - k, axis=1)[:, len(right) - k]
    near = products >= (last - 4 * _error(rows.shape[1], 53))[:, None]
    scores, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
    for i in range(len(rows)):
        close = np.flatnonzero(near[i])[None, :]
        best = _best(_score_again(rows[i : i + 1], right, close), close, k)
        scores[i], indices[i] = best.scores[0], best.indices[0]
    return Neighbours(scores, indices)


def _best(scores: Float64, indices: IntArray, k: int) -> Neighbours:
    """The ``k`` first of each row by falling score, then rising index."""
    order = np.lexsort((indices, -scores), axis=-1)[:, :k]
    return Neighbours(np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1))


def _error(hidden: int, bits: int) -> float:
    """Bound on the rounding of a sum of ``hidden`` products of two rows of length 1, added in any order, and of the rows."""
    return (hidden + 8) * 2.0**-bits


@contextmanager
def _full_float32() -> Iterator[Any]:
    """Products in true float32: the error bound does not hold for TF32 or autocast."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)
