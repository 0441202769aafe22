"""Accuracy, as XTREME's scorer counts it (XNLI, PAWS-X and the multiple-choice tasks)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xstilts.metrics.additive import ROWS, Additive, Contributions
from xstilts.metrics.checks import check_rows


def right_rows(golds: Sequence[Any], predictions: Sequence[Any], language: str) -> Contributions:
    """1 for a row that is equal to its gold, else 0. A prediction that is no label at all is a wrong one.

    Raises:
        GoldError: gold is missing.
        PredictionError: the numbers of rows differ.
    """
    check_rows(golds, predictions)
    right = [float(bool(gold == prediction)) for gold, prediction in zip(golds, predictions, strict=True)]
    return Contributions({"right": right})


def share_right(sums: Mapping[str, Any]) -> dict[str, Any]:
    """``{"accuracy": 0..100}``."""
    return {"accuracy": sums["right"] / sums[ROWS] * 100}


accuracy_metric = Additive(right_rows, share_right, "example")
"""``{"accuracy": 0..100}``; the language plays no part. Errors as ``right_rows``."""
