"""Retrieval reads one layer. Did intermediate training help retrieval, or did the best layer only move?

Three readings of the same sweep stand side by side for every arm: at the layer of the declared rule, at the fixed layer
(14 of 24), and at the best layer on the scored split itself. If an arm is ahead of the baseline at the fixed layer and no
longer at the best one, what moved is the best layer. The last is a bound, not a choice that could be made beforehand.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.metrics import xtreme
from xstilts.report.grid import NOTHING, Grid

Row = Mapping[str, Any]
READINGS: Mapping[str, tuple[str, ...]] = {
    "rule": ("rule", "threshold_from_same_dev"),
    "fixed": ("fixed_layer",),
    "best": ("best_on_dev", "best_on_test"),
}
"""A reading -> the selections of result rows that it goes by."""
CURVE = "curve"


@dataclass(frozen=True)
class Reading:
    """One arm's retrieval at one layer.

    Args:
        places: layer and pooling; several where seeds differ.
        score: mean over languages, then over seeds.
        delta: over the baseline arm's same reading, mean over the seeds that both have; ``None`` for the baseline.
    """

    places: tuple[str, ...]
    score: float
    delta: float | None


@dataclass(frozen=True)
class Layers:
    """What was swept for one model, target and split.

    Args:
        readings: arm -> reading -> what it gives; a reading that no score was made at is not there.
        curve: (layer, pooling) -> arm -> mean over languages and seeds, of every place that was swept.
        languages: that every arm has a score in: the ones all means are over.
    """

    model: str
    target: str
    split: str
    readings: Mapping[str, Mapping[str, Reading]]
    curve: Mapping[tuple[int, str], Mapping[str, float]]
    languages: tuple[str, ...]


def layers_of(rows: Iterable[Row], study: Mapping[str, Any]) -> list[Layers]:
    """The retrieval targets of a study, from its result rows; those with one layer only have nothing to compare."""
    swept = [row for row in rows if row["layer"] is not None and row["value"] is not None]
    main = {row["target"]: row["metric"] for row in swept if row["selection"] == CURVE}  # the curve has no other metric
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in swept:
        if row["metric"] == main.get(row["target"]):
            found[row["model"], row["target"], row["split"]].append(row)
    models, targets = list(study["models"]), list(study["targets"])
    order = sorted(found, key=lambda at: (models.index(at[0]), targets.index(at[1]), at[2] != "test"))
    every = [_layers(*at, found[at], study) for at in order]
    return [each for each in every if len({layer for layer, _ in each.curve}) > 1]


def layer_grids(found: Sequence[Layers], pooling: str) -> list[Grid]:
    """Two tables each: the three readings by arm, and the score at every layer by arm at one pooling."""
    return [grid for layers in found for grid in (_readings(layers), _curve(layers, pooling))]


def layers_json(found: Sequence[Layers]) -> list[dict[str, Any]]:
    """One row a number: readings first, then the whole curve of layers and poolings."""
    rows: list[dict[str, Any]] = []
    for of in found:
        common = {"model": of.model, "target": of.target, "split": of.split}
        for arm, readings in of.readings.items():
            for name, r in readings.items():
                told = {"places": list(r.places), "value": r.score, "delta": r.delta}
                rows.append(common | {"arm": arm, "reading": name} | told)
        for (layer, pooling), arms in of.curve.items():
            for arm, value in arms.items():
                places = [f"{layer} {pooling}"]
                rows.append(common | {"arm": arm, "reading": CURVE, "places": places, "value": value, "delta": None})
    return rows


def _layers(model: str, target: str, split: str, rows: Sequence[Row], study: Mapping[str, Any]) -> Layers:
    arms = [arm for arm in study["arms"] if any(r["arm"] == arm for r in rows)]
    spoken = [{r["language"] for r in rows if r["arm"] == arm} for arm in arms]
    languages = tuple(sorted(set.intersection(*spoken)))
    baseline = next((a for a, of in study["arms"].items() if of["intermediate"] is None), None)
    by_arm = {arm: [r for r in rows if r["arm"] == arm] for arm in arms}
    readings: dict[str, dict[str, Reading]] = {arm: {} for arm in arms}
    for name, selections in READINGS.items():
        chosen = {arm: [r for r in by_arm[arm] if r["selection"] in selections] for arm in arms}
        seeds = {arm: _by_seed(chosen[arm], languages) for arm in arms}
        base = seeds.get(baseline, {}) if baseline is not None else {}
        for arm in arms:
            if not seeds[arm]:
                continue
            paired = [value - base[seed] for seed, value in seeds[arm].items() if seed in base]
            delta = statistics.fmean(paired) if paired and arm != baseline else None
            places = sorted({(r["layer"], r["pooling"]) for r in chosen[arm]})
            texts = tuple(f"{layer} {pooling}" for layer, pooling in places)
            readings[arm][name] = Reading(texts, statistics.fmean(seeds[arm].values()), delta)
    return Layers(model, target, split, readings, _curves(by_arm, languages), languages)


def _curves(by_arm: Mapping[str, Sequence[Row]], languages: Sequence[str]) -> dict[tuple[int, str], dict[str, float]]:
    curve: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for arm, rows in by_arm.items():
        places: dict[tuple[int, str], list[Row]] = defaultdict(list)
        for row in rows:
            if row["selection"] == CURVE:
                places[row["layer"], row["pooling"]].append(row)
        for place, found in places.items():
            if seeds := _by_seed(found, languages):
                curve[place][arm] = statistics.fmean(seeds.values())
    return dict(sorted(curve.items()))


def _by_seed(rows: Iterable[Row], languages: Sequence[str]) -> dict[int, float]:
    """Seed -> mean over ``languages``, for the seeds that have all of them."""
    seeds: dict[int, dict[str, float]] = defaultdict(dict)
    for row in rows:
        seeds[row["seed"]][row["language"]] = row["value"]
    means = {seed: xtreme.mean_of_all(of, languages) for seed, of in seeds.items()}
    return {seed: value for seed, value in means.items() if value is not None}


def _readings(layers: Layers) -> Grid:
    names = {"rule": "by the rule", "fixed": "fixed layer", "best": "best layer"}
    columns = ["arm"]
    for name in READINGS:
        columns += [names[name], f"score, {name}"]
    body = []
    for arm, readings in layers.readings.items():
        cells = [arm]
        for name in READINGS:
            found = readings.get(name)
            cells += [NOTHING, NOTHING] if found is None else [", ".join(found.places), _score(found)]
        body.append(tuple(cells))
    notes = (
        f"Mean over {len(layers.languages)} languages, then over seeds; behind it the difference to the baseline arm.",
        f"best: chosen on {layers.split} itself, among all layers and poolings: a bound, not a choice made beforehand.",
    )
    title = f"{layers.model}, {layers.target} {layers.split}: which layer"
    return Grid(title, tuple(columns), tuple(body), notes, frozenset(names.values()))


def _score(reading: Reading) -> str:
    return f"{reading.score:.1f}" + ("" if reading.delta is None else f" {reading.delta:+.1f}")


def _curve(layers: Layers, pooling: str) -> Grid:
    arms = tuple(layers.readings)
    body = []
    for (layer, name), values in layers.curve.items():
        if name == pooling:
            cells = (f"{values[arm]:.1f}" if arm in values else NOTHING for arm in arms)
            body.append((str(layer), *cells))
    title = f"{layers.model}, {layers.target} {layers.split}: score by layer, pooling {pooling}"
    return Grid(title, ("layer", *arms), tuple(body))
