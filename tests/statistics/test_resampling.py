"""Rows drawn again: equal draws for equal names, the right spread, and intervals that cover."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from xstilts.errors import StatisticsError
from xstilts.statistics import resampling
from xstilts.statistics.bootstrap import percentile_interval
from xstilts.statistics.resampling import resampled_sums


def test_the_same_rows_are_drawn_whatever_is_summed() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    both = resampled_sums(values, 40, "xnli de")
    assert both.shape == (40, 3)
    for column in range(3):
        assert resampled_sums(values[:, [column]], 40, "xnli de")[:, 0] == pytest.approx(both[:, column])
    assert not np.allclose(both, resampled_sums(values, 40, "xnli fr"))
    assert np.ptp(resampled_sums(np.ones((50, 1)), 40, "xnli de")) == 0, "as many rows as there are, in every draw"


def test_sums_have_the_mean_and_the_spread_of_drawn_rows() -> None:
    values = np.random.default_rng(1).normal(3, 2, (200, 1))
    drawn = resampled_sums(values, 4000, "x")[:, 0]
    error = values.std() * math.sqrt(200)
    assert drawn.mean() == pytest.approx(values.sum(), abs=4 * error / math.sqrt(4000))
    assert drawn.std() == pytest.approx(error, rel=0.05)


def test_blocks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=(30, 2))
    whole = resampled_sums(values, 25, "x")
    monkeypatch.setattr(resampling, "BLOCK", 70)  # two rounds at a time
    assert resampled_sums(values, 25, "x") == pytest.approx(whole)


def test_the_interval_of_a_paired_difference_covers_the_truth_as_often_as_it_says() -> None:
    """Two arms answer the same rows; the second is right on 6 % more of them."""
    studies, rows, confidence = 600, 150, 0.9
    rng = np.random.default_rng(4)
    covered = []
    for number in range(studies):
        hardness = rng.uniform(size=rows)
        answers = np.stack([hardness + rng.normal(0, 0.2, rows) < ease for ease in (0.6, 0.66)], axis=1)
        drawn = resampled_sums(answers.astype(float), 200, f"study {number}") / rows
        low, high = percentile_interval((drawn[:, 1] - drawn[:, 0]).tolist(), confidence)
        covered.append(low <= truth() <= high)
    # The percentile bootstrap covers a little less than it says with few rows; 2 points are allowed for that.
    error = 3 * math.sqrt(confidence * (1 - confidence) / studies)
    assert confidence - 0.02 - error <= np.mean(covered) <= confidence + 0.02 + error


@cache
def truth() -> float:
    """The difference of the two arms over all rows there could be."""
    drawn = np.random.default_rng(9)
    hardness, noise = drawn.uniform(size=400_000), drawn.normal(0, 0.2, 400_000)
    return float(np.mean(hardness + noise < 0.66) - np.mean(hardness + noise < 0.6))


@pytest.mark.parametrize(("rows", "rounds"), [(0, 10), (10, 0)])
def test_nothing_to_draw_is_refused(rows: int, rounds: int) -> None:
    with pytest.raises(StatisticsError, match="at least one of each"):
        resampled_sums(np.ones((rows, 1)), rounds, "x")
