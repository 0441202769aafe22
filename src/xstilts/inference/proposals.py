"""Who may be among the nearest: float32 products of all pairs, in tiles, of which a few of each row (and column) are kept.

One product serves both directions: a tile of queries x candidates proposes candidates to its rows and queries to its columns.
Both means are taken out of the rows and added again as one number for each row, which leaves a product as it is but for a
constant, and its rounding error as small as the rows are close together: first-token embeddings often agree to three digits.
With the mean m of the queries q and n of the candidates c

    (q - m, 1, (q - m) n) (c - n, m (c - n), 1)  =  q c - m n

Shape legend: n rows and m columns of a tile; D distinct rows of a side; p proposals; H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xstilts.inference.directions import Directions, Float64
from xstilts.task_types.base import FloatArray, IntArray

CHUNK = 16
"""Scores of which only the largest is looked at first."""
SPARE = 4
"""Proposals beyond k: enough that only rows with several near ties need the slow search."""


@dataclass(frozen=True)
class Proposals:
    """Of each distinct row of one side: distinct rows of the other (D x p), and what every row left out stays below (D).

    Where all were proposed the limit is minus infinity.
    """

    indices: IntArray
    limit: Float64


def propose(
    left: Directions, right: Directions, counts: tuple[int, int | None], block_rows: int, device: torch.device
) -> tuple[Proposals, Proposals | None]:
    """Proposals for the left side and, unless its count is ``None``, for the right side from the same products.

    Args:
        left, right: the sides.
        counts: neighbours that are wanted by each row of the left side, and of the right side.
        block_rows: rows of a side in one tile, rounded up to whole chunks; a tile holds its square in float32.
        device: where the products run.

    Memory: one tile, a float32 copy of both sides, and ``k + SPARE`` numbers and places for each row.
    """
    size = -(-block_rows // CHUNK) * CHUNK
    rows, columns = _prepared(left, right.mean, first=True), _prepared(right, left.mean, first=False)
    of_left = _Best(len(rows), min(counts[0] + SPARE, len(right)), device)
    of_right = None if counts[1] is None else _Best(len(columns), min(counts[1] + SPARE, len(left)), device)
    with _full_float32():
        memory = torch.empty(
            min(size, len(rows)) * min(size, len(columns)), device=device
        )  # fresh memory is slow memory
        for top in range(0, len(rows), size):
            here = torch.from_numpy(rows[top : top + size]).to(device)
            for start in range(0, len(columns), size):
                there = torch.from_numpy(columns[start : start + size]).to(device)
                tile = memory[: len(here) * len(there)].view(len(here), len(there))
                torch.mm(here, there.T, out=tile)
                of_left.take(top, tile, start, tile.view(len(tile), CHUNK, -1).amax(1))
                if of_right is not None:
                    of_right.take(start, tile.T, top, tile.view(CHUNK, -1, tile.shape[1]).amax(0).T)
    shift = float(left.mean @ right.mean) + _products_error(rows, columns)
    back = None if of_right is None else of_right.proposals(right, left, shift)
    return of_left.proposals(left, right, shift), back


def rounding(hidden: int, bits: int) -> float:
    """Bound on the rounding of a sum of ``hidden`` products of two rows of length 1, added in any order, and of the rows."""
    return (hidden + 8) * 2.0**-bits


class _Best:
    """The best scores so far of each row of one side, and whose they are."""

    def __init__(self, rows: int, count: int, device: torch.device) -> None:
        self.count = count
        self.scores = torch.full((rows, count), -torch.inf, device=device)
        self.indices = torch.zeros((rows, count), dtype=torch.int64, device=device)

    def take(self, top: int, tile: Tensor, start: int, maxima: Tensor) -> None:
        """Rows from ``top`` on meet the others from ``start`` on.

        Args:
            top, start: numbers of the first row and of the first of the others.
            tile: n x m scores, possibly a transposed view.
            maxima: n x (m / CHUNK), the largest score of each chunk of a row. Chunk c is columns c, c + m / CHUNK, ...: so
                maxima are taken over whole rows of memory.
        """
        here = slice(top, top + len(tile))
        # The best scores of a row lie in the chunks of largest maximum, and in none that is below all it has already.
        better = int((maxima > self.scores[here, -1:]).sum(1).max())
        if better == 0:
            return
        chunks = maxima.topk(min(self.count, better), dim=1, sorted=False).indices
        width = maxima.shape[1]
        columns = (chunks[:, :, None] + width * torch.arange(CHUNK, device=tile.device)).flatten(1)
        scores = torch.cat([self.scores[here], tile.gather(1, columns)], 1)
        indices = torch.cat([self.indices[here], columns + start], 1)
        self.scores[here], order = scores.topk(self.count, dim=1)
        self.indices[here] = indices.gather(1, order)

    def proposals(self, own: Directions, other: Directions, shift: float) -> Proposals:
        """``shift``: what is to be added to a product, its rounding error included."""
        indices = self.indices[: len(own)].cpu().numpy()
        if self.count == len(other):
            return Proposals(indices, np.full(len(own), -np.inf))
        return Proposals(indices, self.scores[: len(own), -1].cpu().numpy().astype(np.float64) + shift)


def _prepared(side: Directions, other_mean: Float64, *, first: bool) -> FloatArray:
    """The rows of one factor of the products, in whole chunks: D x (H + 2) float32. Rows added have score minus infinity."""
    own, one = (-1, -2) if first else (-2, -1)
    prepared = np.zeros((-(-len(side) // CHUNK) * CHUNK, side.hidden_size + 2), np.float32)
    prepared[:, one] = 1
    prepared[len(side) :, own] = -np.inf
    for start, rows in side.blocks():
        centred = rows - side.mean
        prepared[start : start + len(rows), :-2] = centred
        prepared[start : start + len(rows), own] = centred @ other_mean
    return prepared


def _products_error(rows: FloatArray, columns: FloatArray) -> float:
    """Bound on the rounding of a product: that of its terms' sizes."""
    sizes = [np.sqrt(np.einsum("ij,ij->i", part, part).max()) for part in (rows[:, :-2], columns[:, :-2])]
    added = [np.abs(part[np.isfinite(part)]).max() for part in (rows[:, -1], columns[:, -2])]
    return float(sizes[0] * sizes[1] + sum(added)) * rounding(rows.shape[1], 24)


@contextmanager
def _full_float32() -> Iterator[None]:
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
