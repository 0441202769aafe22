"""F1 of one set against another."""

from __future__ import annotations

from typing import Any


def f1_precision_recall(right: Any, predicted: Any, gold: Any) -> dict[str, Any]:
    """``f1``, ``precision`` and ``recall`` of a predicted set, 0..100; all are 0 when nothing is right.

    The order of the operations is that of XTREME's scorer and of seqeval 0.0.12, so the last digit agrees.

    Args:
        right: how many are in both sets.
        predicted: how many are in the predicted set.
        gold: how many are in the gold set.

    Each is a number, or an array of numbers of many draws.
    """
    # Nothing is right where a set is empty, so what is added only turns 0 / 0 into 0: no branch, as arrays have none.
    precision, recall = right / (predicted + (predicted == 0)), right / (gold + (gold == 0))
    f1 = 2 * precision * recall / (precision + recall + (right == 0))
    return {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100}
