"""Rank correlations: the definitions by hand, and nothing said where there is no order."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.errors import StatisticsError
from xstilts.statistics.ranks import rank_correlation


def test_equal_and_opposite_orders() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 400]).kendall == pytest.approx(1)
    found = rank_correlation([1, 2, 3, 4], [4, 3, 2, 1])
    assert found.kendall == pytest.approx(-1)
    assert found.spearman == pytest.approx(-1)
    assert found.count == 4


@given(st.permutations(range(6)))
def test_without_ties_they_are_the_textbook_formulas(order: list[int]) -> None:
    pairs = list(combinations(range(6), 2))
    agreeing = sum(1 if order[i] < order[j] else -1 for i, j in pairs)
    squares = sum((i - order[i]) ** 2 for i in range(6))
    found = rank_correlation(range(6), order)
    assert found.kendall == pytest.approx(agreeing / len(pairs))
    assert found.spearman == pytest.approx(1 - 6 * squares / (6 * 35))


def test_three_in_order_are_weak_evidence() -> None:
    assert rank_correlation([1, 2, 3], [1, 2, 3]).p == pytest.approx(2 / 6)  # one of the six orders, and its opposite


def test_no_order_has_no_correlation() -> None:
    found = rank_correlation([1, 1, 1], [1, 2, 3])
    assert (found.kendall, found.spearman, found.p) == (None, None, None)


@pytest.mark.parametrize(
    ("one", "other"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 2, 3, 4]), ([1, 2, float("nan")], [1, 2, 3])]
)
def test_what_cannot_be_ranked_is_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(StatisticsError):
        rank_correlation(one, other)
