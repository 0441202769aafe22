from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xstilts.calibration import best_threshold, choose_layer, kept_pairs
from xstilts.errors import GoldError, PredictionError


def rows(*margins: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"source": f"f-{name}", "target": f"e-{name}", "margin": margin} for name, margin in margins]


def gold(*names: str) -> list[tuple[str, str]]:
    return [(f"f-{name}", f"e-{name}") for name in names]


def set_f1(kept: set[tuple[str, str]], truth: set[tuple[str, str]]) -> float:
    right = len(kept & truth)
    return 100 * 2 * right / (len(kept) + len(truth)) if kept else 0.0


def test_threshold_lies_midway_below_the_last_kept_pair() -> None:
    found = best_threshold(rows(("a", 1.5), ("b", 1.25), ("x", 1.0), ("c", 0.5)), gold("a", "b", "d"))
    assert found.threshold == 1.125
    assert found.f1 == pytest.approx(80)  # 2 right of 2 kept and of 3 gold


def test_equal_f1_gives_the_higher_threshold() -> None:
    # One of one kept, and two of four kept: F1 is 2/3 both times.
    candidates = rows(("a", 5.0), ("x", 4.0), ("y", 3.0), ("b", 2.0))
    found = best_threshold(candidates, gold("a", "b"))
    assert kept_pairs(candidates, found.threshold) == gold("a")
    assert found.threshold == 4.5
    assert found.f1 == pytest.approx(200 / 3)


def test_pairs_of_equal_margin_are_kept_or_left_together() -> None:
    candidates = rows(("a", 2.0), ("b", 1.0), ("x", 1.0), ("y", 1.0), ("z", 1.0))
    assert kept_pairs(candidates, best_threshold(candidates, gold("a", "b")).threshold) == gold("a")


def test_the_last_candidate_can_be_kept() -> None:
    assert best_threshold(rows(("a", 1.5), ("b", 1.25)), gold("a", "b")) == (1.25, 100)


def test_without_a_right_candidate_the_threshold_is_zero() -> None:
    assert best_threshold(rows(("x", 1.5)), gold("a")) == (0, 0)
    assert best_threshold([], gold("a")) == (0, 0)


def test_neighbouring_floats_are_told_apart() -> None:
    low, high = 1.0, 1.0 + 2**-52
    candidates = rows(("a", high), ("x", low))
    assert kept_pairs(candidates, best_threshold(candidates, gold("a")).threshold) == gold("a")


def test_of_a_repeated_pair_the_largest_margin_counts() -> None:
    candidates = rows(("x", 1.0), ("a", 0.5), ("a", 2.0))
    found = best_threshold(candidates, gold("a"))
    assert (found.threshold, found.f1) == (1.5, 100)
    assert kept_pairs(candidates, 0.0) == gold("x", "a")


@given(
    margins=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    right=st.sets(st.integers(0, 40), min_size=1, max_size=20),
)
@settings(max_examples=200)
def test_no_other_threshold_is_better(margins: list[int], right: set[int]) -> None:
    candidates = rows(*((str(i), m / 7) for i, m in enumerate(margins)))
    truth = set(gold(*map(str, right)))
    found = best_threshold(candidates, truth)
    f1_at = {m / 7: set_f1(set(kept_pairs(candidates, m / 7)), truth) for m in margins}
    assert found.f1 == pytest.approx(max(f1_at.values()))
    if found.f1:
        kept = kept_pairs(candidates, found.threshold)
        assert set_f1(set(kept), truth) == pytest.approx(found.f1)
        highest = max(m for m, f1 in f1_at.items() if f1 == pytest.approx(found.f1))
        assert kept == kept_pairs(candidates, highest)


@pytest.mark.parametrize(("missing", "word"), [(None, "missing"), ([], "empty")])
def test_gold_is_needed(missing: list[tuple[str, str]] | None, word: str) -> None:
    with pytest.raises(GoldError, match=word):
        best_threshold(rows(("a", 1.0)), missing)


@pytest.mark.parametrize("margin", [float("nan"), float("inf")])
def test_margins_are_finite(margin: float) -> None:
    with pytest.raises(PredictionError, match="f-a"):
        best_threshold(rows(("a", margin)), gold("a"))


def test_layer_with_the_best_mean_over_languages() -> None:
    sweep = {
        "zh": {(0, "mean"): 10.0, (1, "mean"): 60.0, (2, "mean"): 70.0, (1, "first"): 99.0},
        "de": {(0, "mean"): 10.0, (1, "mean"): 80.0, (2, "mean"): 60.0, (1, "first"): 99.0},
    }
    choice = choose_layer(sweep, fixed_layer=0)
    assert choice == (1, "mean", "best mean F1 over BUCC dev (de, zh)", 70.0)
    assert choose_layer(sweep, "first", fixed_layer=0).pooling == "first"


def test_of_equal_layers_the_lowest() -> None:
    assert choose_layer({"zh": {(3, "mean"): 5.0, (2, "mean"): 5.0, (1, "mean"): 1.0}}, fixed_layer=0).layer == 2


def test_fixed_layer_without_dev_data() -> None:
    assert choose_layer({}, fixed_layer=7) == (7, "mean", "14 of 24 layers, no BUCC dev data", None)


def test_a_declared_layer_is_taken_whatever_dev_says() -> None:
    sweep = {"zh": {(1, "mean"): 90.0, (7, "mean"): 10.0}}
    declared = choose_layer(sweep, fixed_layer=7, declared=True)
    assert (declared.layer, declared.rule) == (7, "14 of 24 layers, as declared")


def test_languages_must_be_swept_alike() -> None:
    with pytest.raises(PredictionError, match="zh and de"):
        choose_layer({"zh": {(1, "mean"): 1.0}, "de": {(1, "mean"): 1.0, (2, "mean"): 2.0}}, fixed_layer=0)


def test_the_declared_pooling_must_be_there() -> None:
    with pytest.raises(PredictionError, match="'first'"):
        choose_layer({"zh": {(1, "mean"): 1.0}}, "first", fixed_layer=0)


def test_a_score_that_is_not_a_number_chooses_nothing() -> None:
    with pytest.raises(PredictionError, match="finite"):
        choose_layer({"zh": {(1, "mean"): float("nan"), (2, "mean"): 1.0}}, fixed_layer=0)


def test_needs_no_torch() -> None:
    code = "import sys, xstilts.calibration; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
