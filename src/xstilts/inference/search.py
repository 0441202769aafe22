"""Exact nearest neighbours by cosine, with ties broken by the smaller index.

Parallel corpora repeat sentences, so equal scores are common, and a matrix product rounds differently for other block
sizes. Both would make a neighbour depend on the machine. Here it does not: a float32 product proposes more candidates
than asked (``xstilts.inference.proposals``), each proposal is scored again in float64 row by row, and a row whose proposals
cannot be told apart from what was left out (by the error bound of the product) is searched again in float64 with every near
tie kept.

Shape legend: N queries, M candidates, H hidden size, k neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from xstilts.errors import DataError
from xstilts.inference.directions import Directions, Float64
from xstilts.inference.proposals import Proposals, propose, rounding
from xstilts.task_types.base import FloatArray, IntArray

BLOCK_ROWS = 4096
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
        block_rows: rows of either side in one product, which holds its square in float32. Beside it a float32 copy of both
            sides is held.
        device: where the float32 products run; the CPU by default.

    Raises:
        DataError: ``k`` neighbours cannot be had, or the sides do not fit.
        ModelError: a row is not finite, or zero, so that it has no direction.
    """
    _check(queries, candidates, k, block_rows)
    left, right = Directions(queries, "query"), Directions(candidates, "candidate")
    proposals, _ = propose(left, right, (k, None), block_rows, device or torch.device("cpu"))
    return _neighbours(left, right, proposals, k, block_rows)


def nearest_both(
    queries: FloatArray,
    candidates: FloatArray,
    k: int,
    *,
    block_rows: int = BLOCK_ROWS,
    device: torch.device | None = None,
) -> tuple[Neighbours, Neighbours]:
    """The ``k`` nearest candidates of every query and the ``k`` nearest queries of every candidate, from the same products.

    Equal to two calls of ``nearest`` for half of the products. A side with fewer than ``k`` rows gives all it has.
    """
    _check(queries, candidates, min(k, len(candidates)), block_rows)
    left, right = Directions(queries, "query"), Directions(candidates, "candidate")
    counts = min(k, len(candidates)), min(k, len(queries))
    of_left, of_right = propose(left, right, counts, block_rows, device or torch.device("cpu"))
    assert of_right is not None
    forward = _neighbours(left, right, of_left, counts[0], block_rows)
    return forward, _neighbours(right, left, of_right, counts[1], block_rows)


def _check(queries: FloatArray, candidates: FloatArray, k: int, block_rows: int) -> None:
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise DataError(f"queries {queries.shape} and candidates {candidates.shape} are not N x H and M x H")
    if not 1 <= k <= len(candidates):
        raise DataError(f"{k} neighbours were asked of {len(candidates)} candidates", hint="k is between 1 and that")
    if block_rows < 1:
        raise DataError(f"block_rows is {block_rows}; it is at least 1")


def _neighbours(own: Directions, other: Directions, proposals: Proposals, k: int, block_rows: int) -> Neighbours:
    """From proposals among distinct rows to the exact neighbours of all rows."""
    scores = np.empty((len(own), k))
    indices = np.empty((len(own), k), np.int64)
    members = other.members(k)
    for start in range(0, len(own), block_rows):
        rows = own.block(start, start + block_rows)
        here = slice(start, start + len(rows))
        among = Proposals(proposals.indices[here], proposals.limit[here])
        found = _exact(rows, other, among, min(k, len(other)), block_rows)
        scores[here], indices[here] = _as_rows(found, members, k)
    return Neighbours(scores[own.distinct_of], indices[own.distinct_of])


def _as_rows(found: Neighbours, members: IntArray | None, k: int) -> Neighbours:
    """Neighbours among distinct rows (n x j, j <= k) as the ``k`` first among all rows.

    The j best distinct rows contain the k best rows: each distinct row stands for at least one.
    """
    if members is None:
        return found
    rows = members[found.indices].reshape(len(found.indices), -1)  # n x (j * k); -1 where a row has fewer
    scores = np.where(rows >= 0, np.repeat(found.scores, k, axis=1), -np.inf)
    return _best(scores, rows, k)


def _exact(rows: Float64, other: Directions, proposals: Proposals, k: int, block_rows: int) -> Neighbours:
    """The ``k`` best distinct rows of the other side for a block of normalised rows."""
    found = _best(_score(rows, other, proposals.indices), proposals.indices, k)
    crowded = np.flatnonzero(proposals.limit + 4 * rounding(rows.shape[1], 53) >= found.scores[:, -1])
    step = max(1, _WIDE // len(other))
    for start in range(0, len(crowded), step):
        some = crowded[start : start + step]
        found.scores[some], found.indices[some] = _search_wide(rows[some], other, k, block_rows)
    return found


def _score(rows: Float64, other: Directions, indices: IntArray) -> Float64:
    """The score of each row with its proposals: n x p.

    Each sum runs over one row alone, so it cannot depend on its neighbours as a matrix product can.
    """
    scores = np.empty(indices.shape)
    step = max(1, _GATHERED // (indices.shape[1] * rows.shape[1]))
    for start in range(0, len(rows), step):
        here = slice(start, start + step)
        scores[here] = (other.at(indices[here]) * rows[here, None, :]).sum(axis=-1)
    return scores


def _search_wide(rows: Float64, other: Directions, k: int, block_rows: int) -> Neighbours:
    """The same search by float64 products over all rows of the other side, for rows with near ties."""
    products = np.empty((len(rows), len(other)))
    for start in range(0, len(other), block_rows):
        block = other.block(start, start + block_rows)
        products[:, start : start + len(block)] = rows @ block.T
    last = np.partition(products, len(other) - k, axis=1)[:, len(other) - k]
    near = products >= (last - 4 * rounding(rows.shape[1], 53))[:, None]
    scores, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
    for i in range(len(rows)):
        close = np.flatnonzero(near[i])[None, :]
        best = _best(_score(rows[i : i + 1], other, close), close, k)
        scores[i], indices[i] = best.scores[0], best.indices[0]
    return Neighbours(scores, indices)


def _best(scores: Float64, indices: IntArray, k: int) -> Neighbours:
    """The ``k`` first of each row by falling score, then rising index."""
    order = np.lexsort((indices, -scores), axis=-1)[:, :k]
    return Neighbours(np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1))
