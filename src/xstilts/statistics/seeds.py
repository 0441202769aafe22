"""Differences between two arms over seeds. Seed s runs through both stages of both arms, so differences are paired by seed.

The interval is Student's: the truth that it speaks of is the mean over all seeds there could be, on the same rows. With two
or three seeds it is wide, and it should be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from xstilts.statistics.equivalence import interval
from xstilts.statistics.samples import check_share, checked

EQUAL = 1e-9
"""Differences whose standard deviation (in points) is below this are equal: the rest is rounding."""


@dataclass(frozen=True)
class SeedDifference:
    """One arm minus another, in points.

    Attributes:
        mean: over the pairs.
        spread: standard deviation of the differences; ``None`` with one pair.
        low, high: the t-interval of the mean; ``None`` with one pair, or when all differences are equal.
        p: two-sided, of the t-test that the mean is 0; ``None`` with one pair, 1 when all differences are equal.
        pairs: how many seeds.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    p: float | None
    pairs: int


def seed_difference(differences: Sequence[float], confidence: float) -> SeedDifference:
    """The paired t-interval and t-test.

    Equal differences have no t-test. Scores of few rows are coarse, so two seeds may differ by the very same number of rows
    by chance; that must not count as certainty, so p is 1.

    Args:
        differences: one for each seed that both arms have, in points.
        confidence: of the interval: 0.95.

    Raises:
        StatisticsError: there is no difference, one is not finite, or the confidence is not between 0 and 1.
    """
    check_share(confidence, "the confidence")
    found = checked(differences, "differences", at_least=1)
    mean, pairs = float(found.mean()), len(found)
    if pairs == 1:
        return SeedDifference(mean, None, None, None, None, pairs)
    spread = float(found.std(ddof=1))
    if spread < EQUAL:
        return SeedDifference(mean, spread, None, None, 1.0, pairs)
    low, high = interval(found, confidence)
    p = 2 * float(stdtr(pairs - 1, -abs(mean) / (spread / math.sqrt(pairs))))
    return SeedDifference(mean, spread, float(low), float(high), min(1.0, p), pairs)
