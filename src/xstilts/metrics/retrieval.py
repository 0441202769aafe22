"""Bitext retrieval: mined pairs (BUCC 2018) and nearest neighbours (Tatoeba), as XTREME's scorer counts them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Integral

from xstilts.errors import GoldError, PredictionError, XstiltsError
from xstilts.metrics.checks import check_gold, check_rows
from xstilts.metrics.classification import accuracy
from xstilts.metrics.pairs import f1_precision_recall

Pair = tuple[str, str]


def mining_metric(golds: Collection[Pair], predictions: Collection[Pair], language: str) -> dict[str, float]:
    """``f1``, ``precision`` and ``recall`` of the mined (foreign id, English id) pairs, 0..100.

    Both sides are sets: order and repetition play no part, and the numbers of pairs may differ. Nothing mined scores 0.

    Raises:
        GoldError: there is no gold pair, or one is ``None`` or no pair.
        PredictionError: a prediction is no pair.
    """
    check_gold(golds)
    return f1_precision_recall(_pairs(golds, GoldError), _pairs(predictions, PredictionError))


def _pairs(pairs: Collection[Pair], error: type[XstiltsError]) -> set[Pair]:
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise error(f"{pair!r} is no pair of a foreign id and an English id")
    return {(foreign, english) for foreign, english in pairs}


def nearest_metric(golds: Sequence[int], predictions: Sequence[int], language: str) -> dict[str, float]:
    """``{"accuracy": 0..100}`` of the 0-based line of the foreign sentence found for each English line.

    Raises:
        GoldError: gold is missing or no whole number.
        PredictionError: the numbers of rows differ, or a prediction is no whole number.
    """
    check_rows(golds, predictions)
    _check_whole(golds, GoldError)
    _check_whole(predictions, PredictionError)
    return {"accuracy": accuracy(golds, predictions) * 100}


def _check_whole(values: Sequence[object], error: type[XstiltsError]) -> None:
    for row, value in enumerate(values):
        if not isinstance(value, Integral):
            raise error(f"row {row} is {value!r}: the 0-based number of a line is needed")
