"""Rates of right and wrong decisions, from a recorded pool and from a normal model; the design that follows."""

from __future__ import annotations

import math
import statistics
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.errors import StatisticsError
from xstilts.statistics.equivalence import compare
from xstilts.statistics.power import Cell, Design, Rates, design, inside, rates, resampled, simulated

SLOWDOWN = math.log(1.05)


def pool(sd: float, ratio: float = 1.0, blocks: int = 40, seed: int = 1) -> list[float]:
    """Block differences with exactly this mean and standard deviation."""
    drawn = np.random.default_rng(seed).normal(size=blocks)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return [float(d) for d in drawn * sd + math.log(ratio)]


def test_rates_are_what_compare_decides_on_each_study() -> None:
    rng = np.random.default_rng(5)
    control, slowed = rng.normal(0, 0.012, (300, 6)), rng.normal(0.02, 0.012, (300, 6))
    found = rates(control, slowed, 0.02)
    a_a = [compare(study.tolist(), 0.02) for study in control]
    slow = [compare(study.tolist(), 0.02) for study in slowed]
    assert astuple(found) == pytest.approx(
        (
            statistics.fmean(c.equivalent for c in a_a),
            statistics.fmean(c.differs for c in a_a),
            statistics.fmean(c.differs and c.ratio > 1 for c in slow),
            statistics.fmean(c.equivalent for c in slow),
        )
    )
    assert 0 < found.false_alarm < found.equivalent < 1
    assert 0 < found.missed < found.slower < 1


@given(st.integers(2, 12), st.floats(0.002, 0.1), st.integers(0, 100))
def test_each_study_is_judged_as_compare_judges_it(pairs: int, margin: float, seed: int) -> None:
    studies = np.random.default_rng(seed).normal(0, 0.02, (20, pairs))
    assert inside(studies, margin).tolist() == [compare(study.tolist(), margin).equivalent for study in studies]


def test_a_quiet_machine_decides_rightly_and_a_noisy_one_cannot() -> None:
    quiet = resampled(pool(0.005), pool(0.005, 1.05), pairs=6, margin=0.02, rounds=2000, seed=1)
    noisy = resampled(pool(0.20), pool(0.20, 1.05), pairs=6, margin=0.02, rounds=2000, seed=1)
    assert quiet.reach(0.99)
    assert quiet.missed == 0
    assert noisy.equivalent < 0.05
    assert noisy.slower < 0.2
    assert noisy.false_alarm < 0.1


def test_a_pool_of_one_value_is_decided_always() -> None:
    found = resampled([0.0, 0.0], [SLOWDOWN, SLOWDOWN], pairs=2, margin=0.02, rounds=10, seed=0)
    assert found == Rates(equivalent=1.0, false_alarm=0.0, slower=1.0, missed=0.0)


def test_a_control_that_is_slower_is_found_out() -> None:
    found = resampled(pool(0.005, 1.05), pool(0.005, 1.05), pairs=6, margin=0.02, rounds=1000, seed=1)
    assert (found.equivalent, found.false_alarm) == (0.0, 1.0)


def test_equal_seeds_give_equal_rates_and_other_seeds_others() -> None:
    def of(seed: int) -> tuple[Rates, Rates]:
        drawn = resampled(pool(0.02), pool(0.02, 1.05), pairs=5, margin=0.02, rounds=500, seed=seed)
        return drawn, simulated(0.02, 5, 0.02, SLOWDOWN, 500, seed)

    assert of(1) == of(1)
    assert of(1)[0] != of(2)[0]
    assert of(1)[1] != of(2)[1]


def test_resampling_a_large_normal_pool_gives_what_the_model_gives() -> None:
    drawn = resampled(pool(0.02, blocks=5000), pool(0.02, 1.05, 5000), pairs=8, margin=0.02, rounds=8000, seed=1)
    model = simulated(0.02, 8, 0.02, SLOWDOWN, 8000, seed=2)
    assert astuple(drawn) == pytest.approx(astuple(model), abs=0.03)


def test_false_alarms_are_5_percent_whatever_the_noise() -> None:
    for sd in (0.003, 0.03):
        assert simulated(sd, 6, 0.02, SLOWDOWN, 10_000, 1).false_alarm == pytest.approx(0.05, abs=0.01)


def test_a_system_at_the_margin_is_missed_in_at_most_5_percent() -> None:
    for sd in (0.003, 0.01, 0.03):
        assert simulated(sd, 6, 0.02, math.log(1.02), 10_000, 1).missed < 0.06


def test_the_normal_formula_asks_for_too_few_pairs() -> None:
    """s = 1 %, margin 2 %: n = 3 by z quantiles; six or more are wanted because those of t are wider."""
    assert simulated(0.01, 3, 0.02, SLOWDOWN, 4000, 1).equivalent < 0.9
    assert simulated(0.01, 6, 0.02, SLOWDOWN, 4000, 1).equivalent > 0.9


def test_more_pairs_and_wider_margins_give_more_power() -> None:
    found = design(pool(0.02), pool(0.02, 1.05), margins=(0.04, 0.02), counts=(16, 4, 8), rounds=2000, seed=3)
    equivalent = {(cell.margin, cell.pairs): cell.rates.equivalent for cell in found.cells}
    assert list(equivalent) == [(0.02, 4), (0.02, 8), (0.02, 16), (0.04, 4), (0.04, 8), (0.04, 16)]
    assert equivalent[0.02, 4] < equivalent[0.02, 8] < equivalent[0.02, 16]
    assert all(equivalent[0.02, pairs] < equivalent[0.04, pairs] for pairs in (4, 8, 16))
    assert found.cells[1].rates == resampled(pool(0.02), pool(0.02, 1.05), pairs=8, margin=0.02, rounds=2000, seed=3)


def test_the_design_is_the_smallest_margin_then_the_fewest_pairs() -> None:
    good, bad = Rates(0.9, 0.05, 0.9, 0.0), Rates(0.95, 0.05, 0.89, 0.0)
    grid = {(0.01, 4): bad, (0.01, 8): bad, (0.02, 4): bad, (0.02, 8): good, (0.03, 4): good, (0.03, 8): good}
    found = Design(tuple(Cell(margin, pairs, of) for (margin, pairs), of in grid.items()), 0.9)
    assert found.smallest == Cell(0.02, 8, good)
    assert found.fewest(0.03) == Cell(0.03, 4, good)
    assert found.tightest(4) == Cell(0.03, 4, good)
    assert found.fewest(0.01) is None
    assert Design((Cell(0.01, 4, bad),), 0.9).smallest is None


def test_the_design_found_does_on_new_studies_what_it_says() -> None:
    found = design(
        pool(0.012), pool(0.012, 1.05), margins=(0.005, 0.01, 0.015, 0.02), counts=range(4, 17, 2), rounds=2000, seed=1
    )
    chosen = found.smallest
    assert chosen is not None
    fresh = simulated(0.012, chosen.pairs, chosen.margin, SLOWDOWN, 4000, seed=9)
    assert fresh.reach(0.85)
    assert fresh.missed == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"control": [0.1]}, "control: 1 given"),
        ({"slowed": [0.1, math.nan]}, "slowed: number 1 is nan"),
        ({"counts": [1]}, "rounds of 1 pairs"),
        ({"rounds": 0}, "0 rounds"),
        ({"margins": [0.0]}, "margin is 0.0"),
        ({"margins": []}, "at least one margin"),
        ({"counts": []}, "at least one margin"),
    ],
)
def test_what_cannot_be_designed_is_refused(change: dict[str, list[float]], says: str) -> None:
    asked = {"control": [0.0, 0.1], "slowed": [0.0, 0.1], "margins": [0.02], "counts": [4], "rounds": 10, **change}
    with pytest.raises(StatisticsError, match=says):
        design(asked.pop("control"), asked.pop("slowed"), **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("sd", [0.0, -1.0, math.nan])
def test_a_model_without_noise_is_refused(sd: float) -> None:
    with pytest.raises(StatisticsError, match="standard deviation"):
        simulated(sd, 4, 0.02, 0.0, 10, 1)
