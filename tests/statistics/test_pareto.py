"""The front of score against cost, and what a score costs on it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.errors import StatisticsError
from xstilts.statistics.pareto import Point, cost_at, front

POINTS = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 100)), max_size=12)


def beats(one: Point, other: Point) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(POINTS)
def test_the_front_is_what_nothing_beats(points: list[Point]) -> None:
    found = front(points)
    assert sorted(found) == [i for i, point in enumerate(points) if not any(beats(other, point) for other in points)]
    assert [points[i] for i in found] == sorted(points[i] for i in found)


def test_a_front() -> None:
    points = [(4.0, 70.0), (1.0, 50.0), (2.0, 50.0), (2.0, 60.0), (8.0, 70.0), (8.0, 65.0), (16.0, 71.0)]
    assert front(points) == [1, 3, 0, 6]
    assert front([(1.0, 5.0), (1.0, 5.0)]) == [0, 1]
    assert front([]) == []


def test_between_neighbours_the_logarithm_of_cost_is_straight() -> None:
    points = [(1.0, 50.0), (4.0, 60.0), (16.0, 70.0), (3.0, 40.0)]
    assert cost_at(points, 55) == pytest.approx(2.0)
    assert cost_at(points, 65) == pytest.approx(8.0)
    assert [cost_at(points, score) for score in (50, 60, 70)] == [1.0, 4.0, 16.0]


def test_outside_its_scores_a_front_says_nothing() -> None:
    points = [(1.0, 50.0), (4.0, 60.0)]
    assert cost_at(points, 49.99) is None
    assert cost_at(points, 60.01) is None
    assert cost_at(points, math.nan) is None
    assert cost_at([], 50) is None
    assert cost_at([(2.0, 50.0)], 50) == 2.0
    assert cost_at([(2.0, 50.0), (2.0, 50.0)], 51) is None


@given(POINTS, st.floats(0, 100), st.floats(0, 100))
def test_a_better_score_never_costs_less(points: list[Point], one: float, other: float) -> None:
    less, more = cost_at(points, min(one, other)), cost_at(points, max(one, other))
    if less is not None and more is not None:
        assert less <= more * (1 + 1e-12)


@pytest.mark.parametrize("bad", [(0.0, 1.0), (-1.0, 1.0), (math.inf, 1.0), (1.0, math.nan), (math.nan, 1.0)])
def test_what_is_no_cost_and_score_is_refused(bad: Point) -> None:
    with pytest.raises(StatisticsError, match="point 1 costs"):
        front([(1.0, 1.0), bad])
