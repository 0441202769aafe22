"""A speed stands beside the score of the same configuration, or not at all.

The same configuration is the same model node (or base model), precision, encoding and layer, in the same languages. Where no
such score is in the store, or where the measured system did not give the scored answers, the speed is withheld and the reason
is said: an execution that lost quality must not look fast.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.graph.store import Store
from xstilts.metrics import xtreme
from xstilts.report.impact.measured import Measured, System
from xstilts.report.impact.speed import Speed, speed

DIFFERENT = 0.01
"""The share of a language's measured rows that may be answered otherwise than scored; one row in any case, because another
composition of a batch rounds otherwise and may turn a tie."""


@dataclass(frozen=True)
class Score:
    """The mean over languages of the main score, 0..100, with what its row count can tell.

    Args:
        error: standard error in points, each language's score taken as a share p of its n rows: sqrt(p (1 - p) / n), and
            languages as perfectly correlated, because parallel ones share their rows: an upper bound. It is that of the
            rows, given this seed: another seed's model is not in it.
        count: rows of all languages.
        by_language: language -> main score (the mean of the main metrics).
        key: of the score node.
        predictions: key of the node whose output was scored.
        layer: that was scored, for retrieval.
    """

    value: float
    error: float
    count: int
    by_language: Mapping[str, float]
    key: str
    predictions: str
    layer: int | None

    @property
    def text(self) -> str:
        """``71.3 ± 1.2``, the second being the standard error."""
        return f"{self.value:.1f} ± {self.error:.1f}"


@dataclass(frozen=True)
class Standing:
    """One measured system with the score that lets its speed be shown; without that ``withheld`` says why there is none."""

    measured: Measured
    system: System
    speed: Speed | None
    score: Score | None
    withheld: str | None = None


def standing(store: Store, measured: Measured, system: System, languages: Sequence[str] | None = None) -> Standing:
    """The gate: speed and score of the same configuration together, or why not.

    ``languages`` are those looked at, all of the load by default.
    """
    chosen = tuple(measured.languages if languages is None else languages)
    score = _score(store, measured, system, chosen)
    if isinstance(score, str):
        return Standing(measured, system, None, None, score)
    if system.layer is None:  # retrieval has no answers of single rows
        agreement = system.agreement or {}
        poor = {
            code: agreement.get(code) for code in chosen if _too_few(agreement.get(code), system.loads[code].examples)
        }
        if poor:
            said = ", ".join(f"{c} {'unknown' if a is None else f'{100 * a:.1f} %'}" for c, a in poor.items())
            return Standing(measured, system, None, score, f"too few answers equal the scored ones: {said}")
    return Standing(measured, system, speed(measured, system, chosen), score)


def _too_few(agreement: float | None, rows: int) -> bool:
    """Whether more rows than may be were answered otherwise than scored."""
    return agreement is None or (1 - agreement) * rows > max(1.0, DIFFERENT * rows) + 1e-9


def _score(store: Store, measured: Measured, system: System, languages: Sequence[str]) -> Score | str:
    payload = store.studies()[measured.study]
    cells = payload["cells"]
    place = (system.model, system.arm, measured.target, measured.split, system.seed)
    found = [c for c in cells if (c["model"], c["arm"], c["target"], c["split"], c["seed"]) == place]
    if not found or not store.has(found[0]["key"]):
        return "no score of this model, arm, target, split and seed is in the store"
    key = found[0]["key"]
    predictions = store.record(key)["parents"]["predictions"]
    if difference := _difference(store.record(predictions), measured, system):
        return difference
    store.verify_once(key)
    rows = json.loads((store.path(key) / "scores.json").read_text(encoding="utf-8"))
    values, counts = _at_layer(rows, system.layer, payload["study"]["retrieval"]["pooling"])
    if missing := [language for language in languages if language not in values]:
        at = "" if system.layer is None else f" at layer {system.layer}"
        return f"no score{at} in {' '.join(missing)}"
    shares = [values[language] / 100 for language in languages]
    errors = [math.sqrt(p * (1 - p) / counts[code]) for p, code in zip(shares, languages, strict=True)]
    return Score(
        xtreme.mean(values[language] for language in languages),
        100 * math.fsum(errors) / len(languages),
        sum(counts[language] for language in languages),
        {language: values[language] for language in languages},
        key,
        predictions,
        system.layer,
    )


def _difference(scored: Mapping[str, Any], measured: Measured, system: System) -> str | None:
    """What of the configuration was measured in another way than it was scored."""
    spec, own = measured.node.spec, measured.node.parents
    (listed,) = [s for s in spec["systems"] if s["name"] == system.name]
    answers = scored["parents"].get("model", scored["spec"].get("model"))
    if own.get(f"model {system.name}", listed["base"]) != answers:
        return "the score is another model's than the one that was measured"
    if scored["spec"]["precision"] != measured.device["precision"]:
        return f"scored in {scored['spec']['precision']}, measured in {measured.device['precision']}"
    if scored["spec"]["encoding"] != spec["encoding"]:
        return "scored with another encoding than measured"
    return None


def _at_layer(
    rows: Sequence[Mapping[str, Any]], layer: int | None, pooling: str
) -> tuple[dict[str, float], dict[str, int]]:
    """Language -> main score, and language -> rows, of what was scored at ``layer`` with ``pooling``.

    Rows of the sweep (``curve``) stand for every layer; without a layer there is one score a language.
    """
    parts: dict[str, dict[str, float]] = defaultdict(dict)
    counts: dict[str, int] = {}
    for row in rows:
        if not row["main"] or row["value"] is None or row["layer"] != layer:
            continue
        if layer is None or row["pooling"] == pooling:
            parts[row["language"]][row["metric"]] = row["value"]
            counts[row["language"]] = row["count"]
    return {language: xtreme.mean(of.values()) for language, of in parts.items()}, counts
