"""Paired differences over seeds: Student's interval and test, and what cannot be tested."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xstilts.errors import StatisticsError
from xstilts.statistics.seeds import seed_difference

SCORES = st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=2, max_size=8)


@given(pairs=SCORES.filter(lambda of: np.std([a - b for a, b in of]) > 1e-3), confidence=st.floats(0.5, 0.99))
def test_equal_to_the_paired_t_test(pairs: list[tuple[float, float]], confidence: float) -> None:
    found = seed_difference([a - b for a, b in pairs], confidence)
    expected = stats.ttest_rel([a for a, _ in pairs], [b for _, b in pairs])
    interval = expected.confidence_interval(confidence)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)
    assert found.mean == pytest.approx(np.mean([a - b for a, b in pairs]))
    assert found.spread == pytest.approx(np.std([a - b for a, b in pairs], ddof=1))
    assert found.pairs == len(pairs)


def test_two_seeds_by_hand() -> None:
    found = seed_difference([1.0, 3.0], 0.95)
    quantile = math.tan(math.pi * 0.475)  # Student's t with one degree of freedom is Cauchy's
    assert found.mean == 2
    assert (found.low, found.high) == pytest.approx((2 - quantile, 2 + quantile))
    assert found.p == pytest.approx(1 - 2 * math.atan(2) / math.pi)


def test_one_seed_has_no_interval_and_no_test() -> None:
    found = seed_difference([2.5], 0.95)
    assert (found.mean, found.pairs) == (2.5, 1)
    assert (found.spread, found.low, found.high, found.p) == (None, None, None, None)


@pytest.mark.parametrize("differences", [[2.0, 2.0], [81.3 - 80.3, 61.1 - 60.1, 3.0 - 2.0], [0.0, 0.0]])
def test_equal_differences_are_no_certainty(differences: list[float]) -> None:
    found = seed_difference(differences, 0.95)
    assert (found.low, found.high, found.p) == (None, None, 1.0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    studies, confidence = 2000, 0.9
    drawn = np.random.default_rng(3).normal(1.5, 4.0, (studies, 3))
    found = [seed_difference(list(of), confidence) for of in drawn]
    covered = np.mean([f.low < 1.5 < f.high for f in found if f.low is not None and f.high is not None])
    assert covered == pytest.approx(confidence, abs=3 * math.sqrt(confidence * (1 - confidence) / studies))


@pytest.mark.parametrize("rows", [20, 100])
def test_scores_of_few_rows_raise_no_more_false_alarms(rows: int) -> None:
    """Two seeds with equal scores differ by the same number of rows quite often."""
    studies, level = 4000, 0.05
    right = np.random.default_rng(5).binomial(rows, 0.7, (2, studies, 2))
    differences = 100 * (right[0] - right[1]) / rows
    false = np.mean([(seed_difference(list(of), 1 - level).p or 0.0) < level for of in differences])
    assert false <= level + 3 * math.sqrt(level * (1 - level) / studies)
    assert np.mean(differences[:, 0] == differences[:, 1]) > 0.8 * level, "these would all be called certain"


@pytest.mark.parametrize(
    ("differences", "confidence", "says"),
    [([], 0.95, "at least 1"), ([math.nan, 1.0], 0.95, "finite"), ([1.0, 2.0], 95, "between 0 and 1")],
)
def test_what_bears_no_statistic_is_refused(differences: list[float], confidence: float, says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        seed_difference(differences, confidence)
