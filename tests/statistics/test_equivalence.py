"""TOST on paired log differences: it agrees with scipy's tests, and with itself seen from the other side."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from xstilts.errors import StatisticsError
from xstilts.statistics.equivalence import Comparison, compare

DIFFERENCES = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=30).filter(lambda d: statistics.stdev(d) > 1e-6)
MARGINS = st.floats(0.001, 0.5)


def mean_of(ratio: float, noise: tuple[float, ...]) -> list[float]:
    """Log differences around ``ratio`` with this noise, whose own mean is taken out."""
    return [math.log(ratio) + n - statistics.fmean(noise) for n in noise]


def near_the_edge(found: Comparison, margin: float) -> bool:
    """A limit so close to the margin that rounding decides."""
    edges = 1 / (1 + margin), 1 + margin
    return any(math.isclose(limit, edge, rel_tol=1e-9) for limit in (found.low_90, found.high_90) for edge in edges)


@given(DIFFERENCES, MARGINS)
def test_p_is_the_larger_of_two_one_sided_tests(differences: list[float], margin: float) -> None:
    bound = math.log1p(margin)
    faster = float(ttest_1samp(differences, -bound, alternative="greater").pvalue)
    slower = float(ttest_1samp(differences, bound, alternative="less").pvalue)
    assert compare(differences, margin).p_equivalence == pytest.approx(max(faster, slower), rel=1e-6, abs=1e-12)


@given(DIFFERENCES)
def test_intervals_are_those_of_the_t_test(differences: list[float]) -> None:
    found = compare(differences, None)
    test = ttest_1samp(differences, 0.0)
    for level, low, high in ((0.90, found.low_90, found.high_90), (0.95, found.low_95, found.high_95)):
        expected = test.confidence_interval(level)
        assert (math.log(low), math.log(high)) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


@given(DIFFERENCES, MARGINS)
def test_the_90_percent_interval_lies_inside_the_margin_when_p_is_below_5_percent(
    differences: list[float], margin: float
) -> None:
    found = compare(differences, margin)
    assume(not near_the_edge(found, margin))
    assert found.p_equivalence is not None
    assert found.equivalent == (found.p_equivalence < 0.05)


@given(DIFFERENCES)
def test_it_differs_when_the_two_sided_p_is_below_5_percent(differences: list[float]) -> None:
    p = float(ttest_1samp(differences, 0.0).pvalue)
    assume(abs(p - 0.05) > 1e-9)
    assert compare(differences, None).differs == (p < 0.05)


@given(DIFFERENCES, MARGINS)
def test_swapping_the_systems_mirrors_the_ratio(differences: list[float], margin: float) -> None:
    there, back = compare(differences, margin), compare([-d for d in differences], margin)
    assume(not near_the_edge(there, margin))
    assert back.ratio == pytest.approx(1 / there.ratio)
    assert (back.low_90, back.high_90) == pytest.approx((1 / there.high_90, 1 / there.low_90))
    assert (back.low_95, back.high_95) == pytest.approx((1 / there.high_95, 1 / there.low_95))
    assert back.p_equivalence == pytest.approx(there.p_equivalence)
    assert (back.equivalent, back.differs) == (there.equivalent, there.differs)
    swapped = {"slower": "faster", "faster": "slower"}
    assert back.verdict.split(",")[0] == swapped.get(there.verdict.split(",")[0], there.verdict)


@given(DIFFERENCES, st.floats(-0.5, 0.5))
def test_shifting_moves_the_ratio_and_its_intervals(differences: list[float], shift: float) -> None:
    here, there = compare(differences, None), compare([d + shift for d in differences], None)
    moved = [limit * math.exp(shift) for limit in (here.ratio, here.low_90, here.high_90, here.low_95, here.high_95)]
    assert [there.ratio, there.low_90, there.high_90, there.low_95, there.high_95] == pytest.approx(moved)


@given(DIFFERENCES, MARGINS, st.floats(0.001, 0.5))
def test_a_wider_margin_never_takes_equivalence_away(differences: list[float], margin: float, more: float) -> None:
    assert not compare(differences, margin).equivalent or compare(differences, margin + more).equivalent


@given(DIFFERENCES)
def test_the_95_percent_interval_holds_the_90_percent_interval_and_that_the_ratio(differences: list[float]) -> None:
    found = compare(differences, None)
    assert found.low_95 < found.low_90 < found.ratio < found.high_90 < found.high_95


@pytest.mark.parametrize(
    ("ratio", "noise", "margin", "verdict"),
    [
        (1.000, (-0.002, -0.001, 0.001, 0.002), 0.02, "equivalent"),
        (1.050, (-0.002, -0.001, 0.001, 0.002), 0.02, "slower"),
        (0.950, (-0.002, -0.001, 0.001, 0.002), 0.02, "faster"),
        (1.010, (-0.002, -0.001, 0.001, 0.002), 0.02, "slower, within the margin"),
        (0.990, (-0.002, -0.001, 0.001, 0.002), 0.02, "faster, within the margin"),
        (1.000, (-0.2, -0.1, 0.1, 0.2), 0.02, "not settled"),
        (1.020, (-0.02, -0.01, 0.01, 0.02), 0.02, "not settled"),
        (1.000, (-0.002, -0.001, 0.001, 0.002), None, "not settled"),
        (1.050, (-0.002, -0.001, 0.001, 0.002), None, "slower"),
    ],
)
def test_verdicts(ratio: float, noise: tuple[float, ...], margin: float | None, verdict: str) -> None:
    found = compare(mean_of(ratio, noise), margin)
    assert found.ratio == pytest.approx(ratio)
    assert (found.verdict, found.pairs) == (verdict, len(noise))


def test_without_a_margin_nothing_is_equivalent() -> None:
    found = compare([0.0, 0.0, 0.0], None)
    assert (found.equivalent, found.p_equivalence, found.margin) == (False, None, None)


@pytest.mark.parametrize(("ratio", "p", "verdict"), [(1.0, 0.0, "equivalent"), (1.02, 1.0, "slower")])
def test_equal_differences_leave_no_doubt(ratio: float, p: float, verdict: str) -> None:
    found = compare([math.log(ratio)] * 4, 0.01)
    assert (found.p_equivalence, found.verdict) == (p, verdict)
    assert found.low_95 == pytest.approx(found.high_95)


def test_a_limit_beyond_all_floats_is_infinite() -> None:
    found = compare([-100.0, 100.0], 0.02)
    assert (found.low_95, found.high_95, found.verdict) == (0.0, math.inf, "not settled")


@pytest.mark.parametrize(
    ("differences", "margin", "says"),
    [
        ([], 0.02, "0 given, at least 2"),
        ([0.1], 0.02, "1 given, at least 2"),
        ([0.1, math.nan], 0.02, "number 1 is nan"),
        ([math.inf, 0.0], 0.02, "number 0 is inf"),
        ([0.0, 0.1], 0.0, "margin is 0.0"),
        ([0.0, 0.1], -0.02, "margin is -0.02"),
        ([0.0, 0.1], math.nan, "margin is nan"),
    ],
)
def test_what_cannot_be_tested_is_refused(differences: list[float], margin: float, says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        compare(differences, margin)


def test_at_the_edge_of_the_margin_equivalence_is_declared_in_one_study_of_twenty() -> None:
    rng = np.random.default_rng(3)
    studies = rng.normal(math.log(1.03), 0.01, size=(4000, 8))
    share = statistics.fmean(compare(study.tolist(), 0.03).equivalent for study in studies)
    assert share == pytest.approx(0.05, abs=0.015)  # four standard errors of 4,000 draws
