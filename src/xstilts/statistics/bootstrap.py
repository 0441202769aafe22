"""An interval for any number that can be computed again from resampled measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from xstilts.errors import StatisticsError
from xstilts.statistics.samples import check_share


def bootstrap_interval(
    draw: Callable[[np.random.Generator], float], rounds: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap: the interval that holds ``level`` of what ``draw`` gives in ``rounds`` calls.

    Args:
        draw: resamples its measurements with the generator and computes the number. It may be infinite ("not reached at
            any cost"); then a limit may be infinite too.
        rounds: at least 2 / (1 - level), so that something can lie outside: 40 for 95 %.
        seed: equal seeds give equal intervals.

    Raises:
        StatisticsError: too few rounds, a level not between 0 and 1, or a draw that is no number.
    """
    check_rounds(rounds, level)
    rng = np.random.default_rng(seed)
    return percentile_interval([float(draw(rng)) for _ in range(rounds)], level)


def percentile_interval(drawn: Sequence[float], level: float) -> tuple[float, float]:
    """The interval that holds ``level`` of the numbers drawn. Errors as ``bootstrap_interval``."""
    check_rounds(len(drawn), level)
    ordered = sorted(drawn)
    undefined = sum(map(math.isnan, ordered))
    if undefined:
        raise StatisticsError(
            f"{undefined} of {len(ordered)} draws are no number: an interval over the others would mislead"
        )
    # Rounded outwards, and no interpolation: it would spoil infinities.
    cut = math.floor(len(ordered) * (1 - level) / 2 + 1e-9) - 1
    return ordered[cut], ordered[len(ordered) - 1 - cut]


def check_rounds(rounds: int, level: float) -> None:
    """Refuse a level that is none, and so few rounds that nothing can lie outside the interval.

    Raises:
        StatisticsError: one of them.
    """
    check_share(level, "the level")
    tail = (1 - level) / 2
    if rounds * tail < 1 - 1e-9:
        raise StatisticsError(f"{rounds} rounds: a {level:.0%} interval needs at least {math.ceil(1 / tail - 1e-9)}")
