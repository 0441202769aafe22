"""Accuracy, as XTREME's scorer counts it (XNLI, PAWS-X and the multiple-choice tasks)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xstilts.metrics.checks import check_rows


def accuracy(golds: Sequence[Any], predictions: Sequence[Any]) -> float:
    """Share of equal rows, 0 to 1. A prediction that is no label at all is a wrong one.

    Raises:
        GoldError: gold is missing.
        PredictionError: the numbers of rows differ.
    """
    check_rows(golds, predictions)
    return sum(bool(gold == prediction) for gold, prediction in zip(golds, predictions, strict=True)) / len(golds)


def accuracy_metric(golds: Sequence[Any], predictions: Sequence[Any], language: str) -> dict[str, float]:
    """``{"accuracy": 0..100}``; the language plays no part. Errors as ``accuracy``."""
    return {"accuracy": accuracy(golds, predictions) * 100}
