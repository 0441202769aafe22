"""Rows of a small study with known differences, for the tests of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STUDY: dict[str, Any] = {
    "name": "s",
    "targets": ["xnli", "xquad", "tatoeba"],
    "arms": {"none": {"intermediate": None}, "mnli": {"intermediate": "mnli"}, "qqp": {"intermediate": "qqp"}},
    "seeds": [1, 2, 3],
    "source": "en",
    "models": {"m": {"note": ""}},
}
LANGUAGES = {"xnli": ("en", "de", "tr"), "xquad": ("en", "de", "zh"), "tatoeba": ("de", "tr")}
EASE = {"en": 80.0, "de": 60.0, "tr": 50.0, "zh": 40.0}
SEED = {1: 0.0, 2: 2.0, 3: -1.0}
GAIN = {"none": 0.0, "mnli": 10.0, "qqp": -1.0}
NOISE = {("mnli", 1): 0.5, ("mnli", 2): -0.25, ("mnli", 3): 0.25, ("qqp", 1): 2.0, ("qqp", 2): -3.0, ("qqp", 3): 1.5}


def row(arm: str, target: str, seed: int, language: str, metric: str, value: float, **more: Any) -> dict[str, Any]:
    where = {"model": "m", "arm": arm, "target": target, "seed": seed, "language": language, "split": "test"}
    found = {"metric": metric, "value": value, "status": "ok", "selection": "dev", "count": 100}
    return where | found | {"key": f"{arm} {target} {seed}"} | more


def score(arm: str, seed: int, language: str) -> float:
    """The main score of every target, but that nothing is trained for Tatoeba without intermediate training."""
    return EASE[language] + SEED[seed] + GAIN[arm] + NOISE.get((arm, seed), 0.0)


def rows_of(arm: str, seed: int, **more: Any) -> list[dict[str, Any]]:
    """One arm and seed: XQuAD's exact match and F1 lie 10 points below and above its main score."""
    found = [row(arm, "xnli", seed, code, "accuracy", score(arm, seed, code), **more) for code in LANGUAGES["xnli"]]
    for code in LANGUAGES["xquad"]:
        main = score(arm, seed, code)
        found += [row(arm, "xquad", seed, code, m, main + d, **more) for m, d in (("exact_match", -10), ("f1", 10))]
    for code in LANGUAGES["tatoeba"]:
        if arm == "none":
            found.append(row(arm, "tatoeba", seed, code, "accuracy", EASE[code], **more | {"key": "untrained"}))
        else:
            found.append(row(arm, "tatoeba", seed, code, "accuracy", score(arm, seed, code), **more))
    return found


ROWS = [found for arm in STUDY["arms"] for seed in STUDY["seeds"] for found in rows_of(arm, seed)]


def study(**changes: Any) -> Mapping[str, Any]:
    return STUDY | changes
