"""What a store's records say of the work behind a score: data-dependent counts of inference, and the price of training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xstilts.graph.store import Store
from xstilts.report.impact.gate import Score


@dataclass(frozen=True)
class Work:
    """How much there was to do because of the data and the weights, not of the graph.

    ``None`` where the shape has no such thing: windows are of encoded rows, mined pairs of BUCC, layers of retrieval.

    Args:
        windows_per_example: sequences that one row becomes.
        dropped_tokens: sub-words that no window holds.
        candidates: pairs mined before the threshold, of all languages.
        kept: pairs at or above it.
        thresholds: language -> margin threshold, at the layer that was scored.
        rule: how the layer was chosen.
    """

    windows_per_example: float | None
    dropped_tokens: int
    candidates: int | None
    kept: int | None
    thresholds: Mapping[str, float]
    rule: str | None


@dataclass(frozen=True)
class Training:
    """What an arm's model cost before it could answer: seconds of one device and tokens, of both stages.

    Tokens are the sub-words of all steps. Pre-training is not in it: all arms share that.
    """

    intermediate_seconds: float
    intermediate_tokens: int
    target_seconds: float
    target_tokens: int
    threads: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """Of both stages."""
        return self.intermediate_seconds + self.target_seconds

    @property
    def tokens(self) -> int:
        """Of both stages."""
        return self.intermediate_tokens + self.target_tokens


def work_of(store: Store, score: Score) -> Work:
    """The counts of the node whose output was scored, and of its calibration."""
    node = score.predictions
    store.verify_once(node)
    counts = _json(store, node, "counts.json")
    examples = sum(of.get("examples", 0) for code, of in counts.items() if code in score.by_language)
    windows = sum(of.get("windows", of.get("sequences", 0)) for code, of in counts.items() if code in score.by_language)
    dropped = sum(of.get("dropped_tokens", 0) for code, of in counts.items() if code in score.by_language)
    calibration = _calibration(store, score)
    mined = _mined(store, score, calibration) if calibration else None
    return Work(
        windows / examples if examples else None,
        dropped,
        None if mined is None else mined[0],
        None if mined is None else mined[1],
        _thresholds(score, calibration) if calibration and mined is not None else {},
        calibration["rule"] if calibration else None,
    )


def training_of(store: Store, score: Score) -> Training:
    """Both stages of training behind a score, from the nodes' own records; nothing trained is 0."""
    seconds, tokens, threads = {"intermediate": 0.0, "target": 0.0}, {"intermediate": 0, "target": 0}, set()
    key = store.record(score.predictions)["parents"].get("model")
    while key is not None:
        record = store.record(key)
        if record["kind"] in ("train", "mix"):
            role, attempt = record["labels"]["role"], record["attempt"]
            seconds[role] += attempt["training"]["seconds"]
            tokens[role] += attempt["training"]["tokens"]
            threads.add(attempt["threads"])
        key = record["parents"].get("model")
    return Training(
        seconds["intermediate"], tokens["intermediate"], seconds["target"], tokens["target"], tuple(sorted(threads))
    )


def layer_scores(store: Store, score: Score, pooling: str) -> dict[int, float]:
    """Layer -> mean main score over the languages of ``score``, of every layer that was swept in all of them."""
    by_layer: dict[int, dict[str, float]] = {}
    for row in _json(store, score.key, "scores.json"):
        if row["selection"] == "curve" and row["main"] and row["pooling"] == pooling and row["value"] is not None:
            by_layer.setdefault(row["layer"], {})[row["language"]] = row["value"]
    whole = {layer: of for layer, of in sorted(by_layer.items()) if score.by_language.keys() <= of.keys()}
    return {
        layer: math.fsum(of[language] for language in score.by_language) / len(score.by_language)
        for layer, of in whole.items()
    }


def _calibration(store: Store, score: Score) -> dict[str, Any] | None:
    key = store.record(score.key)["parents"].get("calibration")
    if key is None:
        return None
    store.verify_once(key)
    found: dict[str, Any] = _json(store, key, "calibration.json")
    return found


def _thresholds(score: Score, calibration: Mapping[str, Any]) -> dict[str, float]:
    at = f"{score.layer} {calibration['pooling']}"
    return {
        language: of[at]
        for language, of in calibration["thresholds"].items()
        if language in score.by_language and at in of
    }


def _mined(store: Store, score: Score, calibration: Mapping[str, Any]) -> tuple[int, int] | None:
    """Pairs mined and pairs kept at the scored layer; ``None`` where nothing is mined (Tatoeba)."""
    thresholds, candidates, kept, found = _thresholds(score, calibration), 0, 0, False
    for language in score.by_language:
        with (store.path(score.predictions) / "outputs" / f"{language}.jsonl").open(encoding="utf-8") as lines:
            for output in map(json.loads, lines):
                if "pairs" not in output or (output["layer"], output["pooling"]) != (
                    score.layer,
                    calibration["pooling"],
                ):
                    continue
                found = True
                candidates += len(output["pairs"])
                least = thresholds.get(language, math.inf)
                kept += len({(source, target) for source, target, margin in output["pairs"] if margin >= least})
    return (candidates, kept) if found else None


def _json(store: Store, key: str, name: str) -> Any:
    return json.loads((store.path(key) / name).read_text(encoding="utf-8"))
