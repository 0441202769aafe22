"""What is chosen on dev gold after a model has run: the threshold of mined pairs, and the layer of retrieval.

Pure functions of scored outputs. Nothing here is ever given test gold by the plan.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from xstilts.errors import GoldError, PredictionError

Pair = tuple[str, str]


class Threshold(NamedTuple):
    """Pairs with a margin of at least ``threshold`` are kept; on dev that gives ``f1`` (0..100)."""

    threshold: float
    f1: float


def best_threshold(candidates: Iterable[Mapping[str, Any]], gold: Collection[Pair] | None) -> Threshold:
    """The threshold with the largest F1 of the kept pairs on dev gold.

    One pass over the candidates by falling margin; candidates of equal margin are kept or left together. Among cuts of
    equal F1 the highest is taken. As in XTREME the threshold lies midway between the last kept and the first left margin
    (every value in between keeps the same dev pairs), and it is 0, which keeps all, when no candidate is right. Below the
    last candidate there is no other, so its own margin is taken (XTREME's script fails there).

    Args:
        candidates: rows ``{"source", "target", "margin"}`` in any order; of a repeated pair the largest margin counts.
        gold: pairs (source id, target id).

    Raises:
        GoldError: gold is missing or empty.
        PredictionError: a margin is not a finite number.
    """
    pairs = _gold_pairs(gold)
    margins = _margins(candidates)
    ranked = sorted(margins.items(), key=lambda item: -item[1])
    best, best_f1, right = 0.0, 0.0, 0
    for kept, (pair, margin) in enumerate(ranked, start=1):
        right += pair in pairs
        following = ranked[kept][1] if kept < len(ranked) else None
        if following == margin:
            continue
        f1 = 2 * right / (kept + len(pairs))
        if f1 > best_f1:
            best, best_f1 = _cut(margin, following), f1
    return Threshold(best, 100 * best_f1)


def kept_pairs(candidates: Iterable[Mapping[str, Any]], threshold: float) -> list[Pair]:
    """The pairs with a margin of at least ``threshold``, each once, in the order given."""
    return list(
        dict.fromkeys((str(row["source"]), str(row["target"])) for row in candidates if row["margin"] >= threshold)
    )


def _gold_pairs(gold: Collection[Pair] | None) -> set[Pair]:
    if not gold:
        raise GoldError(
            f"a threshold needs dev gold, but it is {'missing' if gold is None else 'empty'}",
            hint="BUCC's gold pairs are in LL-en.dev.gold",
        )
    return {(source, target) for source, target in gold}


def _margins(candidates: Iterable[Mapping[str, Any]]) -> dict[Pair, float]:
    margins: dict[Pair, float] = {}
    for row in candidates:
        pair, margin = (str(row["source"]), str(row["target"])), float(row["margin"])
        if not math.isfinite(margin):
            raise PredictionError(f"the margin of {pair} is {margin}: a finite number is needed")
        margins[pair] = max(margin, margins.get(pair, margin))
    return margins


def _cut(margin: float, following: float | None) -> float:
    """A threshold that keeps ``margin`` and leaves ``following``."""
    if following is None:
        return margin
    middle = following + (margin - following) / 2
    return middle if following < middle <= margin else margin  # neighbouring floats have nothing in between


class LayerChoice(NamedTuple):
    """The layer at which retrieval is scored, and why: ``f1`` is its mean dev F1, ``None`` without dev data."""

    layer: int
    pooling: str
    rule: str
    f1: float | None


def choose_layer(
    dev_f1: Mapping[str, Mapping[tuple[int, str], float]],
    pooling: str = "mean",
    *,
    fixed_layer: int,
    declared: bool = False,
) -> LayerChoice:
    """One layer for all retrieval, by the same rule for every arm.

    The best mean F1 over the BUCC dev pairs that are there; among equal ones the lowest layer. Without dev data
    ``fixed_layer``, by plan 14 of 24, the layer of jiant and of XTREME's Tatoeba script (FACTS 2.4). Both at the one
    ``pooling`` that was declared before: a choice among poolings too would favour arms by chance.

    Args:
        dev_f1: language -> (layer, pooling) -> F1 at that language's best threshold.
        pooling: the declared pooling.
        fixed_layer: the layer without dev data, counted from the embedding output, which is 0.
        declared: the study takes it in any case.

    Raises:
        PredictionError: languages were swept over different layers, none has the pooling, or an F1 is not finite.
    """
    if declared:
        return LayerChoice(fixed_layer, pooling, "14 of 24 layers, as declared", None)
    if not dev_f1:
        return LayerChoice(fixed_layer, pooling, "14 of 24 layers, no BUCC dev data", None)
    languages = sorted(dev_f1)
    layers = sorted(layer for layer, name in dev_f1[languages[0]] if name == pooling)
    if not layers:
        raise PredictionError(f"the sweep of {languages[0]} has no pooling {pooling!r}")
    for language in languages:
        if sorted(layer for layer, name in dev_f1[language] if name == pooling) != layers:
            raise PredictionError(
                f"{language} and {languages[0]} were swept over different layers: their means cannot be compared"
            )
    means = {layer: sum(dev_f1[lang][layer, pooling] for lang in languages) / len(languages) for layer in layers}
    if not all(math.isfinite(f1) for f1 in means.values()):
        raise PredictionError("an F1 of the sweep is not a finite number")
    best = max(layers, key=lambda layer: (means[layer], -layer))
    return LayerChoice(best, pooling, f"best mean F1 over BUCC dev ({', '.join(languages)})", means[best])
