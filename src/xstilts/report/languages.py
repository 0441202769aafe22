"""Scores by language: how zero-shot transfer falls with distance from the source, and for whom an arm helps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from xstilts.languages import LANGUAGES
from xstilts.metrics import xtreme
from xstilts.report.table import CHANCE, Entry, Table, distance

Row = Mapping[str, Any]


def language_tables(rows: Sequence[Row], study: Mapping[str, Any], model: str, split: str) -> list[Table]:
    """Two tables for one model and split: languages x targets for the baseline arm, and languages x arms.

    Languages stand in the order of their declared distance from the source, then in XTREME's. Numbers are means over seeds.
    In the second table a language's number is the mean over the targets that every language and arm has, retrieval left out
    (it has no English row); the delta is over the baseline arm.
    """
    chosen = [r for r in rows if (r["model"], r["split"]) == (model, split) and r["value"] is not None]
    scores: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in chosen:
        name = CHANCE if row["metric"] == CHANCE else row["arm"]
        scores[name, row["target"], row["language"]].append(row["value"])
    means = {at: xtreme.mean(values) for at, values in scores.items()}
    own = study.get("own_languages", {})
    languages = sorted({r["language"] for r in chosen}, key=lambda code: _order(code, own, study["source"]))
    targets = [t for t in study["targets"] if any(r["target"] == t for r in chosen)]
    baseline = next((a for a, of in study["arms"].items() if of["intermediate"] is None), None)
    names = {code: _name(code, own) for code in languages}
    found = []
    if baseline is not None:
        body = [
            (names[code], tuple(Entry(means.get((baseline, target, code))) for target in targets)) for code in languages
        ]
        chance = [xtreme.mean(v for (a, t, _), v in means.items() if (a, t) == (CHANCE, target)) for target in targets]
        body.append((CHANCE, tuple(map(Entry, chance))))
        title = f"{model}, {split}, by language: arm {baseline!r}"
        found.append(Table(title, tuple(targets), tuple(body), (), first="language"))
    arms = list(study["arms"])
    shared = [t for t in targets if all((arm, t, code) in means for arm in arms for code in languages)]
    if len(arms) > 1 and shared:
        found.append(_by_arm(means, names, arms, baseline, shared, f"{model}, {split}, by language and arm"))
    return found


def _by_arm(
    means: Mapping[tuple[str, str, str], float],
    names: Mapping[str, str],
    arms: Sequence[str],
    baseline: str | None,
    targets: Sequence[str],
    title: str,
) -> Table:
    def score(arm: str, code: str) -> float:
        return xtreme.mean(means[arm, target, code] for target in targets)

    body = []
    for code, name in names.items():
        base = None if baseline is None else score(baseline, code)
        entries = (
            Entry(score(arm, code), delta=None if base is None or arm == baseline else score(arm, code) - base)
            for arm in arms
        )
        body.append((name, tuple(entries)))
    note = f"Mean over the targets that every language and arm has: {', '.join(targets)}."
    return Table(title, tuple(arms), tuple(body), (note,), first="language")


def _order(code: str, own: Mapping[str, Mapping[str, Any]], source: str) -> tuple[float, int, str]:
    declared = own.get(code, {}).get("distance")
    far = 0.0 if code == source else math.inf if declared is None else declared
    return far, list(LANGUAGES).index(code) if code in LANGUAGES else len(LANGUAGES), code


def _name(code: str, own: Mapping[str, Mapping[str, Any]]) -> str:
    if code in own:
        return f"{code} {own[code]['name']}{distance(own[code])}"
    return f"{code} {LANGUAGES[code].name}" if code in LANGUAGES else code
