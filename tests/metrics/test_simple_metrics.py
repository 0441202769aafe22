"""Accuracy, mined pairs, nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.errors import GoldError, PredictionError
from xstilts.metrics.classification import accuracy_metric
from xstilts.metrics.retrieval import mining_metric, nearest_metric

PAIRS = st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")))


def test_accuracy_counts_equal_rows() -> None:
    assert accuracy_metric(["0", "1", "1", "0"], ["0", "1", "0", "yes"], "en") == {"accuracy": 50.0}


def test_nearest_takes_numpy_numbers() -> None:
    assert nearest_metric([2, 0, 1], list(np.array([2, 1, 1])), "de")["accuracy"] == pytest.approx(200 / 3)


@given(gold=PAIRS.filter(bool), found=PAIRS)
def test_mining_is_set_f1(gold: set[tuple[str, str]], found: set[tuple[str, str]]) -> None:
    scores = mining_metric(gold, found, "de")
    assert scores["f1"] == pytest.approx(100 * 2 * len(gold & found) / (len(gold) + len(found)))
    assert scores["recall"] == pytest.approx(100 * len(gold & found) / len(gold))
    assert scores["precision"] == pytest.approx(100 * len(gold & found) / len(found) if found else 0.0)


def test_order_and_repetition_of_pairs_play_no_part() -> None:
    gold = [("a", "x"), ("b", "y")]
    assert mining_metric(gold, [("b", "y"), ("a", "x"), ("b", "y")], "de")["f1"] == 100.0
    assert mining_metric(gold, [("x", "a"), ("y", "b")], "de")["f1"] == 0.0


@pytest.mark.parametrize(
    ("metric", "golds", "predictions", "error", "words"),
    [
        (accuracy_metric, ["a", "b"], ["a"], PredictionError, "1 predictions for 2 gold rows"),
        (accuracy_metric, ["a", None], ["a", "b"], GoldError, "row 1"),
        (accuracy_metric, [], [], GoldError, "no gold"),
        (nearest_metric, [0, 1], [0], PredictionError, "1 predictions for 2 gold rows"),
        (nearest_metric, [0], ["0"], PredictionError, "'0'"),
        (nearest_metric, [0.0], [0], GoldError, "row 0"),
        (mining_metric, [], [("a", "x")], GoldError, "no gold"),
        (mining_metric, [None], [("a", "x")], GoldError, "row 0"),
        (mining_metric, [("a", "x")], ["ax"], PredictionError, "no pair"),
        (mining_metric, [("a", "x")], [("a", "x", "1.2")], PredictionError, "no pair"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    metric: Any, golds: list[Any], predictions: list[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        metric(golds, predictions, "de")
