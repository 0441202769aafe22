"""Scores by language: how zero-shot transfer falls with distance from the source, and for whom an arm helps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.languages import LANGUAGES
from xstilts.metrics import xtreme
from xstilts.report.table import CHANCE, Entry, Guesses, SeedValues, Table, distance, entry
from xstilts.tasks import load

Row = Mapping[str, Any]
Declared = Mapping[str, Mapping[str, Any]]


def declares_distances(study: Mapping[str, Any]) -> bool:
    """Whether a study says how far its own languages are from their source: what these tables show."""
    return any(of["distance"] is not None for of in study.get("own_languages", {}).values())


def language_tables(
    rows: Sequence[Row], study: Mapping[str, Any], model: str, split: str, declared: Declared, guesses: Guesses
) -> list[Table]:
    """Two tables for one model and split: languages x targets for the baseline arm, and languages x arms.

    Languages stand in the order of their declared distance from the source, then in XTREME's. In the second table a
    language's number is the mean over the fine-tuned targets that have every language in every arm; the delta is over the
    seeds that the arm and the baseline both have.
    """
    scores = _Scores.of(r for r in rows if (r["model"], r["split"]) == (model, split) and r["value"] is not None)
    own, seeds = study.get("own_languages", {}), list(study["seeds"])
    languages = sorted(scores.languages, key=lambda code: language_order(code, own, study["source"]))
    targets = [t for t in study["targets"] if t in scores.targets]
    baseline = next((a for a, of in study["arms"].items() if of["intermediate"] is None), None)
    names = {code: language_name(code, own) for code in languages}
    trained = [t for t in targets if (declared[t]["group"] if t in declared else load(t).group) != "retrieval"]
    arms = [arm for arm in study["arms"] if arm in scores.arms]
    shared = [t for t in trained if all(scores.seeds(arm, t, code) for arm in arms for code in languages)]
    found = []
    if baseline is not None and baseline in arms:
        body = [
            (name, tuple(scores.entry(baseline, t, code, len(seeds)) for t in targets)) for code, name in names.items()
        ]
        guessed = [xtreme.mean(of.values()) if (of := guesses.get((t, split))) else None for t in targets]
        if any(value is not None for value in guessed):
            body.append((CHANCE, tuple(map(Entry, guessed))))
        notes = () if shared else ("No fine-tuned target has every language in every arm: there is no table by arm.",)
        found.append(
            Table(f"{model}, {split}, by language: arm {baseline!r}", tuple(targets), tuple(body), notes, "language")
        )
    if len(arms) > 1 and shared:
        found.append(
            _by_arm(scores, names, arms, baseline, shared, len(seeds), f"{model}, {split}, by language and arm")
        )
    return found


def _by_arm(
    scores: _Scores,
    names: Mapping[str, str],
    arms: Sequence[str],
    baseline: str | None,
    targets: Sequence[str],
    seeds: int,
    title: str,
) -> Table:
    body = []
    for code, name in names.items():
        base = {} if baseline is None else scores.mean(baseline, targets, code)
        entries = (
            entry(scores.mean(arm, targets, code), {} if arm == baseline else base, seeds, "", spread=True)
            for arm in arms
        )
        body.append((name, tuple(entries)))
    note = f"Mean over the fine-tuned targets that every language and arm has: {', '.join(targets)}."
    return Table(title, tuple(arms), tuple(body), (note,), "language")


@dataclass(frozen=True)
class _Scores:
    """A target's main score (the mean of its main metrics) by arm, target, language and seed."""

    values: Mapping[tuple[str, str, str], SeedValues]
    runs: Mapping[tuple[str, str, str], set[str]]

    @staticmethod
    def of(rows: Any) -> _Scores:
        runs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        metrics: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            at = row["arm"], row["target"], row["language"]
            metrics[at][row["seed"]].append(row["value"])
            runs[at].add(row["key"])
        means = {at: {seed: xtreme.mean(found) for seed, found in of.items()} for at, of in metrics.items()}
        return _Scores(means, runs)

    @property
    def arms(self) -> set[str]:
        return {arm for arm, _, _ in self.values}

    @property
    def targets(self) -> set[str]:
        return {target for _, target, _ in self.values}

    @property
    def languages(self) -> set[str]:
        return {language for _, _, language in self.values}

    def seeds(self, arm: str, target: str, language: str) -> SeedValues:
        """Seed -> score; a seed without one is not there."""
        return self.values.get((arm, target, language), {})

    def entry(self, arm: str, target: str, language: str, seeds: int) -> Entry:
        """One place of the table; copies of one run have no spread."""
        at = arm, target, language
        return entry(self.values.get(at, {}), {}, seeds, "", spread=len(self.runs.get(at, ())) > 1)

    def mean(self, arm: str, targets: Sequence[str], language: str) -> SeedValues:
        """Seed -> mean over ``targets``, for the seeds that have all of them."""
        found = [self.seeds(arm, target, language) for target in targets]
        return {seed: xtreme.mean(of[seed] for of in found) for seed in found[0] if all(seed in of for of in found)}


def language_order(code: str, own: Mapping[str, Mapping[str, Any]], source: str) -> tuple[float, int, str]:
    """Sorts by declared distance from the source, then as XTREME lists languages."""
    declared = own.get(code, {}).get("distance")
    far = 0.0 if code == source else math.inf if declared is None else declared
    return far, list(LANGUAGES).index(code) if code in LANGUAGES else len(LANGUAGES), code


def language_name(code: str, own: Mapping[str, Mapping[str, Any]]) -> str:
    """``de German``; ``qab Lumano (2)`` where a distance is declared."""
    if code in own:
        return f"{code} {own[code]['name']}{distance(own[code])}"
    return f"{code} {LANGUAGES[code].name}" if code in LANGUAGES else code
