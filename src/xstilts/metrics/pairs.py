"""F1 of one set against another."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Set as AbstractSet


def f1_precision_recall(gold: AbstractSet[Hashable], predicted: AbstractSet[Hashable]) -> dict[str, float]:
    """``f1``, ``precision`` and ``recall`` of a predicted set, 0..100; all are 0 when nothing is right.

    The order of the operations is that of XTREME's scorer and of seqeval 0.0.12, so the last digit agrees.
    """
    right = len(gold & predicted)
    if right == 0:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall = right / len(predicted), right / len(gold)
    f1 = 2 * precision * recall / (precision + recall)
    return {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100}
