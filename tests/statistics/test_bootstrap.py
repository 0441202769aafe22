"""The percentile bootstrap."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from xstilts.errors import StatisticsError
from xstilts.statistics.bootstrap import bootstrap_interval


def test_it_agrees_with_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400)
    low, high = bootstrap_interval(lambda rng: float(rng.choice(values, len(values)).mean()), 4000, seed=2)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = []
    for study in rng.normal(0, 1, (200, 40)):
        low, high = bootstrap_interval(lambda r, s=study: float(r.choice(s, len(s)).mean()), 200, 1, 0.9)  # type: ignore[misc]
        covered.append(low < 0 < high)
    assert statistics.fmean(covered) == pytest.approx(0.9, abs=0.08)


def test_the_limits_are_draws_and_leave_the_tails_outside() -> None:
    numbers = iter(range(100))
    assert bootstrap_interval(lambda _: float(next(numbers)), 100, seed=0, level=0.9) == (4.0, 95.0)


def test_equal_seeds_give_equal_intervals() -> None:
    def of(seed: int) -> tuple[float, float]:
        return bootstrap_interval(lambda rng: float(rng.normal()), 100, seed)

    assert of(1) == of(1)
    assert of(1) != of(2)


def test_a_limit_may_be_infinite_but_no_draw_may_be_undefined() -> None:
    values = iter([*[1.0] * 90, *[math.inf] * 10])
    assert bootstrap_interval(lambda _: next(values), 100, seed=0) == (1.0, math.inf)
    values = iter([*[1.0] * 99, math.nan])
    with pytest.raises(StatisticsError, match="1 of 100 draws are no number"):
        bootstrap_interval(lambda _: next(values), 100, seed=0)


@pytest.mark.parametrize(("rounds", "level", "says"), [(39, 0.95, "at least 40"), (100, 95, "between 0 and 1")])
def test_too_few_rounds_are_refused(rounds: int, level: float, says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        bootstrap_interval(lambda _: 0.0, rounds, seed=0, level=level)
