"""Percentiles and early stopping are MLPerf's, to the query."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from xstilts.errors import StatisticsError
from xstilts.statistics.percentiles import early_stopping, percentile, queries_needed

SHARES = st.sampled_from([0.5, 0.9, 0.95, 0.97, 0.99])


@pytest.mark.parametrize(("p", "needed"), [(0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)])
def test_the_fewest_queries_that_give_an_estimate(p: float, needed: int) -> None:
    assert queries_needed(1, p) == needed
    assert early_stopping(range(needed), p).estimate == needed - 1  # the slowest of all
    few = early_stopping(range(needed - 1), p)
    assert (few.estimate, few.percentile, few.over, few.queries, few.needed) == (None, None, 0, needed - 1, needed)


@pytest.mark.parametrize(
    ("queries", "p", "really"),
    [(1000, 0.9, 92.2), (1000, 0.99, 99.8), (10_000, 0.9, 90.7), (10_000, 0.99, 99.23), (24_576, 0.99, 99.15)],
)
def test_the_percentile_really_reported(queries: int, p: float, really: float) -> None:
    found = early_stopping(range(queries), p)
    assert found.percentile is not None
    assert round(found.percentile * 100, 2) == really


def test_the_suggested_count_of_queries_comes_close_to_p90() -> None:
    found = early_stopping(range(24_576), 0.9)
    assert found.percentile == pytest.approx(0.9044, abs=1e-4)


@given(st.integers(0, 400), SHARES, st.sampled_from([0.9, 0.99]))
def test_it_is_the_exact_binomial_tail(over: int, p: float, confidence: float) -> None:
    needed = queries_needed(over, p, confidence)
    assert binom.cdf(over, needed, 1 - p) <= 1 - confidence + 1e-12
    assert binom.cdf(over, needed - 1, 1 - p) > 1 - confidence - 1e-12


@given(st.integers(64, 3000), st.sampled_from([0.5, 0.9, 0.95]), st.integers(0, 9))
def test_the_estimate_drops_all_but_one_of_the_slow_queries_allowed(queries: int, p: float, seed: int) -> None:
    latencies = [float(n) for n in range(queries)]
    random.Random(seed).shuffle(latencies)
    found = early_stopping(latencies, p)
    if queries < queries_needed(1, p):
        assert found.estimate is None
        return
    assert queries_needed(found.over, p) <= queries < queries_needed(found.over + 1, p)
    assert found.estimate == sorted(latencies)[queries - 1 - (found.over - 1)]
    assert found.percentile == sum(value < found.estimate for value in latencies) / queries
    assert found.percentile >= p
    assert found.estimate >= percentile(latencies, p)


@pytest.mark.parametrize(
    ("values", "p", "expected"),
    [
        ([3.0], 0.5, 3.0),
        ([1.0, 2.0], 0.5, 2.0),
        ([5.0, 1.0, 3.0, 2.0, 4.0], 0.5, 3.0),
        (list(range(10)), 0.9, 9),
        (list(range(100)), 0.9, 90),
        (list(range(100)), 0.99, 99),
        (list(range(1000)), 0.999, 999),
        (list(range(101)), 0.99, 99),
    ],
)
def test_percentiles_are_values_that_were_measured(values: list[float], p: float, expected: float) -> None:
    assert percentile(values, p) == expected


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_a_percentile_has_that_share_below_it_or_beside_it(values: list[float], p: float) -> None:
    found = percentile(values, p)
    assert found in values
    assert sum(v < found for v in values) <= len(values) * p < sum(v <= found for v in values)


@pytest.mark.parametrize("p", [0.0, 1.0, 90, -0.1, math.nan])
def test_a_percentile_is_written_as_a_share(p: float) -> None:
    with pytest.raises(StatisticsError, match=r"write 0\.9 for 90 %"):
        percentile([1.0], p)
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        early_stopping([1.0], p)
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        queries_needed(1, 0.9, p)


def test_what_is_no_latency_is_refused() -> None:
    with pytest.raises(StatisticsError, match="0 given"):
        percentile([], 0.9)
    with pytest.raises(StatisticsError, match="number 1 is nan"):
        early_stopping([1.0, math.nan], 0.9)
    with pytest.raises(StatisticsError, match="cannot be below 0"):
        queries_needed(-1, 0.9)
