"""What must hold before anything is scored: gold is there and real, and there is one prediction for each gold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xstilts.errors import GoldError, PredictionError

PLACEHOLDER_ROWS = 10
"""So many labels that are all equal, or 0, 1, 2 ..., are not gold by chance. Fewer may be: XTREME's mock data has 2 tags."""


def refuse_one_label(labels: Sequence[object], where: str) -> None:
    """Refuse gold whose labels are all one and the same, as XTREME's download writes them on test rows.

    Args:
        labels: one for each row; for tagging one for each word.
        where: the files they are from.

    Raises:
        GoldError: ``PLACEHOLDER_ROWS`` labels or more, all equal.
    """
    if len(labels) >= PLACEHOLDER_ROWS and len(set(labels)) == 1:
        raise GoldError(
            f"all {len(labels)} labels are {labels[0]!r}: these are placeholders, not gold",
            where=where,
            hint="XTREME's download has no test labels; leave the labels away to predict without scoring",
        )


def refuse_counting(lines: Sequence[int], where: str, hint: str) -> None:
    """Refuse the line numbers 0, 1, 2 ... as gold. They are right only where both sides are in aligned order: ask before.

    Raises:
        GoldError: ``PLACEHOLDER_ROWS`` numbers or more that count up from 0.
    """
    if len(lines) >= PLACEHOLDER_ROWS and list(lines) == list(range(len(lines))):
        raise GoldError(
            f"the gold is 0, 1, 2 ... {len(lines) - 1}: a placeholder where the English side is sorted, not gold",
            where=where,
            hint=hint,
        )


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
