"""F1 of entities as texts: what mT5 reports for NER (FACTS 6.4). Where they stand plays no part, how often neither."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xstilts.metrics.additive import Additive, Contributions
from xstilts.metrics.checks import check_rows
from xstilts.metrics.pairs import f1_precision_recall

Entities = Iterable[tuple[str, str]]


def _entities(golds: Sequence[Entities], predictions: Sequence[Entities], language: str) -> Contributions:
    """For each sentence its right, predicted and gold pairs of type and text, each pair once."""
    check_rows(golds, predictions)
    pairs = [(set(gold), set(prediction)) for gold, prediction in zip(golds, predictions, strict=True)]
    return Contributions(
        {
            "right": [float(len(gold & prediction)) for gold, prediction in pairs],
            "predicted": [float(len(prediction)) for _, prediction in pairs],
            "gold": [float(len(gold)) for gold, _ in pairs],
        }
    )


def _scores(sums: Mapping[str, Any]) -> dict[str, Any]:
    return {"text_f1": f1_precision_recall(sums["right"], sums["predicted"], sums["gold"])["f1"]}


text_f1_metric = Additive(_entities, _scores, "sentence")
"""``text_f1``, 0..100, micro over the (type, text) pairs of all sentences; the language plays no part.

Raises:
    GoldError: there is no gold.
    PredictionError: the numbers of sentences differ.
"""
