"""Percentiles of latency, and how many queries a tail percentile needs: MLPerf Inference's rules.

A percentile seen in a run may be better than the system's by luck. MLPerf's early-stopping rule allows as many slow
queries as would be fewer, with 99 % confidence, than a system at the percentile's edge shows: a run of n queries with t
over the limit passes if P(X <= t) <= 0.01 for X binomial with n and 1 - p. (Read in LoadGen, ``early_stopping.cc`` and
``results.cc``, and recomputed.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from xstilts.errors import StatisticsError
from xstilts.statistics.samples import check_share, checked

CONFIDENCE = 0.99


@dataclass(frozen=True)
class EarlyStopping:
    """A tail percentile that is right or too high with the confidence asked, never too low by luck.

    Attributes:
        estimate: the latency, in the unit it came in; ``None`` when there are too few queries for any.
        percentile: the share of the run's queries below the estimate, what was really reported: above the ``p`` asked.
        over: how many queries count as over the estimate, itself included (MLPerf's t); 0 when there are too few.
        queries: how many there were.
        needed: the fewest that give an estimate.
    """

    estimate: float | None
    percentile: float | None
    over: int
    queries: int
    needed: int


def percentile(values: Sequence[float], p: float) -> float:
    """The value that LoadGen prints as this percentile: of n sorted values the one at place floor(n * p), from 0.

    Args:
        values: at least one, in any order.
        p: between 0 and 1: 0.9 for p90.

    Raises:
        StatisticsError: there is no value, one is not finite, or ``p`` is not between 0 and 1.
    """
    check_share(p, "the percentile")
    ordered = np.sort(checked(values, "values", at_least=1))
    return float(ordered[int(len(ordered) * p)])


def queries_needed(over: int, p: float, confidence: float = CONFIDENCE) -> int:
    """The fewest queries of which ``over`` may be over the limit: 64 for p90 and 662 for p99 at ``over`` = 1.

    Raises:
        StatisticsError: ``over`` is below 0, or ``p`` or ``confidence`` is not between 0 and 1.
    """
    check_share(p, "the percentile")
    check_share(confidence, "the confidence")
    if over < 0:
        raise StatisticsError(f"{over} queries over the limit: the number cannot be below 0")
    too_few, enough = over, over + 1
    while not _suffice(enough, over, p, confidence):
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _suffice(middle, over, p, confidence):
            enough = middle
        else:
            too_few = middle
    return enough


def early_stopping(latencies: Sequence[float], p: float, confidence: float = CONFIDENCE) -> EarlyStopping:
    """The estimate that MLPerf reports for single-stream: drop the t - 1 slowest, report the slowest of the rest.

    t is the largest number of slow queries that the rule allows among so many. With 1,000 queries "p90" is therefore
    really the 92.2nd percentile, with 24,576 the 90.4th.

    Raises:
        StatisticsError: there is no latency, one is not finite, or ``p`` or ``confidence`` is not between 0 and 1.
    """
    ordered = np.sort(checked(latencies, "latencies", at_least=1))
    needed, queries = queries_needed(1, p, confidence), len(ordered)
    if queries < needed:
        return EarlyStopping(None, None, 0, queries, needed)
    allowed, too_many = 1, queries
    while too_many - allowed > 1:
        middle = (allowed + too_many) // 2
        if _suffice(queries, middle, p, confidence):
            allowed = middle
        else:
            too_many = middle
    return EarlyStopping(float(ordered[queries - allowed]), (queries - allowed) / queries, allowed, queries, needed)


def _suffice(queries: int, over: int, p: float, confidence: float) -> bool:
    """P(X <= over) <= 1 - confidence, X binomial with ``queries`` and 1 - p: the incomplete beta function gives it."""
    return float(betainc(queries - over, over + 1, p)) <= 1 - confidence
