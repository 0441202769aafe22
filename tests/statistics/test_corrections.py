"""Corrections for many comparisons, against what defines them."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from xstilts.errors import StatisticsError
from xstilts.statistics.corrections import adjusted

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def closed_test(p_values: list[float]) -> list[float]:
    """Holm's method is the closed test with Bonferroni's: a hypothesis falls when every set that holds it does."""
    places = range(len(p_values))
    sets = [set(chosen) for size in range(1, len(p_values) + 1) for chosen in combinations(places, size)]
    return [max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets if place in s) for place in places]


@given(p_values=P_VALUES)
def test_holm_is_the_closed_bonferroni_test(p_values: list[float]) -> None:
    assert adjusted(p_values, "holm") == pytest.approx(closed_test(p_values))


@given(p_values=P_VALUES)
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    assert adjusted(p_values, "benjamini_hochberg") == pytest.approx(false_discovery_control(p_values, method="bh"))


def test_by_hand() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert adjusted(p_values, "holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted(p_values, "benjamini_hochberg") == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert adjusted(p_values, "none") == p_values


def test_one_test_and_none() -> None:
    assert adjusted([0.03], "holm") == adjusted([0.03], "benjamini_hochberg") == [0.03]
    assert adjusted([], "holm") == []


def test_false_alarms_of_a_family_without_differences() -> None:
    families, level = 2000, 0.05
    drawn = np.random.default_rng(11).uniform(size=(families, 12))
    bound = level + 3 * math.sqrt(level * (1 - level) / families)
    assert np.mean([min(adjusted(list(p), "holm")) < level for p in drawn]) <= bound
    assert np.mean([min(adjusted(list(p), "benjamini_hochberg")) < level for p in drawn]) <= bound
    assert np.mean([min(adjusted(list(p), "none")) < level for p in drawn]) > 0.3, "uncorrected, one in three is wrong"


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        adjusted([0.5, p], "holm")
