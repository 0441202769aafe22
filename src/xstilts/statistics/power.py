"""What a comparison would decide, how often: before the margin and the number of blocks are fixed.

Two ways to the same four rates. ``resampled`` draws studies from a recorded pool of block differences, so it has the
noise of this machine, whatever its shape. ``simulated`` draws them from a normal model with a known truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.errors import StatisticsError
from xstilts.statistics.equivalence import ALPHA, check_margin, interval
from xstilts.statistics.samples import Floats, checked


@dataclass(frozen=True)
class Rates:
    """Shares of studies, 0 to 1. A control runs the reference itself (A-A); a slowed system is known to be slower.

    Attributes:
        equivalent: controls declared equivalent. The power to say "no difference".
        false_alarm: controls declared different: the 95 % interval excludes 1.
        slower: slowed systems declared slower: the 95 % interval lies above 1. The power to find a difference.
        missed: slowed systems declared equivalent. The dangerous mistake when the slowdown exceeds the margin.
    """

    equivalent: float
    false_alarm: float
    slower: float
    missed: float

    def reach(self, share: float) -> bool:
        """Both powers are at least ``share``."""
        return self.equivalent >= share and self.slower >= share


@dataclass(frozen=True)
class Cell:
    """The rates of one margin and number of pairs."""

    margin: float
    pairs: int
    rates: Rates


@dataclass(frozen=True)
class Design:
    """A table of margins and numbers of pairs, and how often each decides rightly.

    Attributes:
        cells: by margin, then by number of pairs, both rising.
        share: what both powers must reach.
    """

    cells: tuple[Cell, ...]
    share: float

    @property
    def smallest(self) -> Cell | None:
        """The cell of the smallest margin, then of the fewest pairs, that reaches the share; ``None`` if none does."""
        return next(self._reaching(), None)

    def fewest(self, margin: float) -> Cell | None:
        """The cell of the fewest pairs that reaches the share at this margin."""
        return next((cell for cell in self._reaching() if cell.margin == margin), None)

    def tightest(self, pairs: int) -> Cell | None:
        """The cell of the smallest margin that reaches the share with this many pairs."""
        return next((cell for cell in self._reaching() if cell.pairs == pairs), None)

    def _reaching(self) -> Iterator[Cell]:
        return (cell for cell in self.cells if cell.rates.reach(self.share))


def resampled(
    control: Sequence[float], slowed: Sequence[float], *, pairs: int, margin: float, rounds: int, seed: int
) -> Rates:
    """The rates of ``rounds`` studies of ``pairs`` blocks drawn with replacement from recorded block differences.

    Args:
        control: log differences of A-A blocks.
        slowed: log differences of blocks of the slowed system against A.
        seed: equal seeds and pairs give equal studies, whatever the margin.

    Raises:
        StatisticsError: a pool of fewer than two, fewer than two pairs, no round, or a margin that is not above 0.
    """
    pools = checked(control, "control", at_least=2), checked(slowed, "slowed", at_least=2)
    _check_size(pairs, rounds)
    rng = np.random.default_rng(seed)
    draws = [rng.choice(pool, size=(rounds, pairs)) for pool in pools]
    return rates(draws[0], draws[1], margin)


def simulated(sd: float, pairs: int, margin: float, true_log_ratio: float, rounds: int, seed: int) -> Rates:
    """The rates of a normal model: block differences of standard deviation ``sd`` around 0, and around the true ratio.

    Raises:
        StatisticsError: a standard deviation that is not above 0, fewer than two pairs, no round, or no margin above 0.
    """
    if not 0 < sd < math.inf:
        raise StatisticsError(f"the standard deviation of log differences is {sd}: a number above 0 is needed")
    _check_size(pairs, rounds)
    noise = np.random.default_rng(seed).normal(0.0, sd, size=(2, rounds, pairs))
    return rates(noise[0], noise[1] + true_log_ratio, margin)


def rates(control: Floats, slowed: Floats, margin: float) -> Rates:
    """What ``compare`` decides on every row, as shares: two arrays of (studies, pairs).

    Raises:
        StatisticsError: the margin is not above 0.
    """
    check_margin(margin)
    low, high = interval(control, 0.95)
    return Rates(
        equivalent=float(inside(control, margin).mean()),
        false_alarm=float(((low > 0) | (high < 0)).mean()),
        slower=float((interval(slowed, 0.95)[0] > 0).mean()),
        missed=float(inside(slowed, margin).mean()),
    )


def inside(differences: Floats, margin: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Of each study along the last axis: does its 90 % interval lie inside the margin?"""
    low, high = interval(differences, 1 - 2 * ALPHA)
    bound = math.log1p(margin)
    return (-bound < low) & (high < bound)


def design(
    control: Sequence[float],
    slowed: Sequence[float],
    *,
    margins: Sequence[float],
    counts: Sequence[int],
    rounds: int = 10_000,
    seed: int = 0,
    share: float = 0.9,
) -> Design:
    """Every margin with every number of pairs, resampled from a recorded pool.

    With 10,000 rounds a share near 0.9 has a standard error of 0.003; how well the pool itself stands for the machine is
    another matter, and grows with the size of the pool only.

    Raises:
        StatisticsError: as ``resampled``; or no margin or count is given.
    """
    if not margins or not counts:
        raise StatisticsError("a design needs at least one margin and one number of pairs")
    cells = [
        Cell(margin, pairs, resampled(control, slowed, pairs=pairs, margin=margin, rounds=rounds, seed=seed))
        for margin in sorted(margins)
        for pairs in sorted(counts)
    ]
    return Design(tuple(cells), share)


def _check_size(pairs: int, rounds: int) -> None:
    if pairs < 2 or rounds < 1:
        raise StatisticsError(f"{rounds} rounds of {pairs} pairs: at least 1 round of 2 pairs is needed")
