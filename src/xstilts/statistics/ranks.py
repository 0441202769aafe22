"""Do two orders agree? Kendall's and Spearman's rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xstilts.errors import StatisticsError
from xstilts.statistics.samples import checked


@dataclass(frozen=True)
class RankCorrelation:
    """Agreement of two orders, -1 to 1; ``None`` where one of them has no order (all values equal).

    Attributes:
        kendall: tau-b, and its two-sided p.
        spearman: rho.
        count: how many were ranked.
    """

    kendall: float | None
    p: float | None
    spearman: float | None
    count: int


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> RankCorrelation:
    """Of the same things by two measures, at least three: two are in order or not, which says nothing.

    Raises:
        StatisticsError: fewer than three, other lengths, or a number that is not finite.
    """
    first, second = checked(one, "the first ranks", at_least=3), checked(other, "the second ranks", at_least=3)
    if len(first) != len(second):
        raise StatisticsError(f"{len(first)} and {len(second)} values: ranks are of the same things")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return RankCorrelation(None, None, None, len(first))
    tau = stats.kendalltau(first, second)
    rho = stats.spearmanr(first, second)
    return RankCorrelation(float(tau.statistic), float(tau.pvalue), float(rho.statistic), len(first))
