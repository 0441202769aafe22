"""Sequences sorted by length into runs that share one rectangular block.

Shape legend: T tokens of all sequences end to end; N sequences; n sequences of a run; L its longest length; m its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_WASTE = 0.25
"""Share of a block that may be padding where a whole model runs over it, or a GPU attends: calls cost more there."""
RUN_PAIRS, POSITION_PAIRS = 20_000, 60
"""What one more run costs on a CPU, and each position of a block with padding (its copies), counted in pairs of positions
that attend to each other. Measured with 64, 384 and 768 hidden units, forward and backward (``benchmarks/NOTES.md``)."""

Cut = Callable[[NDArray[np.int64]], list[tuple[int, int]]]
"""Cuts ascending lengths into stretches, each from its first sequence to behind its last."""


class _Select(torch.autograd.Function):
    """Rows at distinct ``index``. The usual gradient adds rows one by one; distinct rows need only a copy."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.count = rows.shape[0]
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        (gradient,) = gradients
        whole = gradient.new_zeros((ctx.count, *gradient.shape[1:]))
        return whole.index_copy_(0, index, gradient), None


def select(rows: Tensor, index: Tensor) -> Tensor:
    """``rows[index]`` for an index without repetitions, with a fast gradient."""
    selected: Tensor = _Select.apply(rows, index)  # type: ignore[no-untyped-call]
    return selected


class _Spread(torch.autograd.Function):
    """Rows at ``sources``, some of them more than once; ``places`` is where each row stands first.

    Nothing flows back to the copies: a block is made without being filled first, and taken apart again by one selection.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sources: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return rows.index_select(0, sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(0, places), None, None


@dataclass(frozen=True)
class Run:
    """Neighbouring sequences of the sorted row that share a block of n x L positions."""

    size: int  # m: its tokens
    count: int  # n
    longest: int  # L
    places: Tensor | None  # m: where its tokens stand in the n * L block; None when no position is padding
    sources: Tensor | None  # n * L: which of its tokens stands there; behind its end a sequence repeats its last one

    def spread(self, rows: Tensor) -> Tensor:
        """The run's tokens (m x ...) as a block n x L x ... .

        What stands behind the end of a sequence repeats its last token: it must be masked where it is read and dropped where
        it is written, and no gradient comes back from there.
        """
        if self.sources is not None:
            rows = _Spread.apply(rows, self.sources, self.places)  # type: ignore[no-untyped-call]
        return rows.reshape(self.count, self.longest, *rows.shape[1:])

    def flatten(self, block: Tensor) -> Tensor:
        """The tokens of a block n x L x ..., end to end: m x ... ."""
        rows = block.flatten(0, 1)
        return rows if self.places is None else select(rows, self.places)

    def mask(self, device: torch.device) -> Tensor | None:
        """True where the block holds a token, n x L; ``None`` when it holds one everywhere."""
        if self.places is None:
            return None
        empty = torch.zeros(self.count * self.longest, dtype=torch.bool, device=device)
        return empty.index_fill_(0, self.places, True).reshape(self.count, self.longest)


@dataclass(frozen=True)
class Layout:
    """How the tokens of a batch are sorted by the length of their sequence, and the runs of the sorted row."""

    ordered: NDArray[np.int64]  # N: lengths of the sequences of the sorted row
    cut: Cut
    positions: Tensor  # T: position of each token of the sorted row in its sequence, from 0
    order: Tensor | None  # T: which token of the batch stands where in the sorted row; None when already sorted
    inverse: Tensor | None
    bounds: Tensor  # N + 1, int32: where each sequence of the sorted row begins, and the end of the last

    @property
    def longest(self) -> int:
        """The longest sequence."""
        return int(self.ordered.max(initial=0))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Made when first asked for: a kernel that attends within all sequences at once needs none."""
        device = self.positions.device
        return tuple(_run(self.ordered[first:last], device) for first, last in self.cut(self.ordered))

    def split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows of the sorted row, run by run."""
        return torch.split(rows, [run.size for run in self.runs])

    def sort(self, rows: Tensor) -> Tensor:
        """Rows in the batch's order to rows sorted by length."""
        return rows if self.order is None else rows.index_select(0, self.order)

    def sorted_places(self, tokens: Tensor) -> Tensor:
        """Where tokens of the batch, given by their numbers, stand in the sorted row."""
        return tokens if self.inverse is None else self.inverse[tokens]

    def restore(self, rows: Tensor) -> Tensor:
        """Rows sorted by length to rows in the batch's order."""
        return rows if self.inverse is None else select(rows, self.inverse)


def arrange(lengths: Sequence[int], device: torch.device, *, whole_model: bool = False) -> Layout:
    """The layout of sequences of ``lengths`` (each at least 1).

    ``whole_model``: not attention alone runs over blocks, but the model.
    """
    given = np.asarray(lengths, np.int64)
    by_length = np.argsort(given, kind="stable")
    ordered = given[by_length]
    starts = np.cumsum(given) - given
    positions = _counting(ordered)
    order = inverse = None
    if not np.array_equal(by_length, np.arange(len(given))):
        permutation = positions + np.repeat(starts[by_length], ordered)
        order = torch.from_numpy(permutation).to(device)
        inverse = torch.from_numpy(np.argsort(permutation)).to(device)
    cut = near_lengths if whole_model or device.type != "cpu" else least_attention
    bounds = torch.from_numpy(np.concatenate([[0], np.cumsum(ordered)]).astype(np.int32)).to(device)
    return Layout(ordered, cut, torch.from_numpy(positions).to(device), order, inverse, bounds)


def _counting(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """``0, 1, ..., length - 1`` for every length, end to end."""
    ends = np.cumsum(lengths)
    result: NDArray[np.int64] = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
    return result


def near_lengths(ordered: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Stretches whose blocks waste less than ``MAX_WASTE``, each as long as it may be."""
    cuts: list[tuple[int, int]] = []
    first, tokens = 0, 0
    for i, length in enumerate(ordered.tolist()):
        if tokens + length <= (1 - MAX_WASTE) * length * (i + 1 - first):
            cuts.append((first, i))
            first, tokens = i, 0
        tokens += length
    if len(ordered):
        cuts.append((first, len(ordered)))
    return cuts


def least_attention(ordered: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Stretches whose attention costs the least in all, by ``RUN_PAIRS`` and ``POSITION_PAIRS``.

    Equal lengths stay together. The cheapest way to cut the first j lengths ends with some stretch, before which the rest
    is cut in its cheapest way.
    """
    values, counts = np.unique(ordered, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(counts)])  # behind the sequences of each length
    cheapest, begins = np.zeros(len(values) + 1), np.zeros(len(values) + 1, np.int64)
    for j, longest in enumerate(values.tolist(), start=1):
        positions = (ends[j] - ends[:j]) * longest  # of a stretch that begins with each of the lengths so far
        costs = cheapest[:j] + positions * (longest + POSITION_PAIRS) + RUN_PAIRS
        costs[-1] -= positions[-1] * POSITION_PAIRS  # one length: no padding, nothing is copied
        begins[j] = costs.argmin()
        cheapest[j] = costs[begins[j]]
    cuts, j = [], len(values)
    while j:
        cuts.append((int(ends[begins[j]]), int(ends[j])))
        j = int(begins[j])
    return cuts[::-1]


def _run(lengths: NDArray[np.int64], device: torch.device) -> Run:
    longest, count, size = int(lengths[-1]), len(lengths), int(lengths.sum())
    if int(lengths[0]) == longest:
        return Run(size, count, longest, None, None)
    block_starts = np.repeat(np.arange(count) * longest, lengths)
    places = _counting(lengths) + block_starts
    starts = np.cumsum(lengths) - lengths
    sources = (starts[:, None] + np.minimum(np.arange(longest), lengths[:, None] - 1)).reshape(-1)
    return Run(size, count, longest, torch.from_numpy(places).to(device), torch.from_numpy(sources).to(device))
