"""What must hold before anything is scored: gold is there, and there is one prediction for each gold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xstilts.errors import GoldError, PredictionError


def check_gold(golds: Iterable[Any]) -> None:
    """Refuse gold that is missing.

    Raises:
        GoldError: there is no gold at all, or a row's gold is ``None``.
    """
    count = 0
    for row, gold in enumerate(golds):
        if gold is None:
            raise GoldError(f"the gold of row {row} is missing: missing gold cannot be scored")
        count += 1
    if count == 0:
        raise GoldError("there is no gold: at least one row is needed")


def check_rows(golds: Sequence[Any], predictions: Sequence[Any]) -> None:
    """Refuse missing gold, and predictions that are not one for each gold.

    Raises:
        GoldError: there is no gold at all, or a row's gold is ``None``.
        PredictionError: the numbers of rows differ.
    """
    check_gold(golds)
    if len(golds) != len(predictions):
        raise PredictionError(f"{len(predictions)} predictions for {len(golds)} gold rows: one for each row is needed")
