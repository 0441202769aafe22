"""F1 of entities as texts: sets of (type, text) pairs, micro over sentences (FACTS 6.4)."""

from __future__ import annotations

import pytest

from xstilts.errors import GoldError, PredictionError
from xstilts.metrics.text_f1 import text_f1_metric


def test_pairs_count_once_in_each_sentence_and_micro_over_all() -> None:
    golds = [[("PER", "rick"), ("PER", "morty"), ("PER", "rick")], [("LOC", "paris")], []]
    predictions = [[("PER", "rick"), ("PER", "rick")], [("ORG", "paris"), ("LOC", "paris")], [("LOC", "rome")]]
    # right 2, predicted 1 + 2 + 1, gold 2 + 1
    assert text_f1_metric(golds, predictions, "en") == {"text_f1": pytest.approx(100 * 2 * (2 / 4) * (2 / 3) / (7 / 6))}


def test_nothing_right_is_zero_and_the_same_is_a_hundred() -> None:
    assert text_f1_metric([[("PER", "a")]], [[]], "en") == {"text_f1": 0.0}
    assert text_f1_metric([[("PER", "a")], []], [[("PER", "a")], []], "en") == {"text_f1": 100.0}


def test_rows_must_fit() -> None:
    with pytest.raises(GoldError):
        text_f1_metric([], [], "en")
    with pytest.raises(PredictionError):
        text_f1_metric([[]], [[], []], "en")
