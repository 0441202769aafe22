"""F1 of one set against another."""

from __future__ import annotations


def f1_precision_recall(right: float, predicted: float, gold: float) -> dict[str, float]:
    """``f1``, ``precision`` and ``recall`` of a predicted set, 0..100; all are 0 when nothing is right.

    The order of the operations is that of XTREME's scorer and of seqeval 0.0.12, so the last digit agrees.

    Args:
        right: how many are in both sets.
        predicted: how many are in the predicted set.
        gold: how many are in the gold set.
    """
    if right == 0:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall = right / predicted, right / gold
    f1 = 2 * precision * recall / (precision + recall)
    return {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100}
