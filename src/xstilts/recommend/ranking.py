"""Intermediate tasks ranked for one target by the changes that studies of ours found, and how far the ranks agree.

Four bases, the surest first: this target with this model; a probe of it (few steps an arm); this target with another
model; another target of the same group. What is known by a surer basis is not asked of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from xstilts import tasks
from xstilts.errors import MissingNameError
from xstilts.published.own import OwnStudy, SeedScores, over_languages
from xstilts.report.grid import NOTHING, Grid
from xstilts.statistics.ranks import RankCorrelation, rank_correlation
from xstilts.statistics.seeds import SeedDifference, seed_difference
from xstilts.tasks import load

BASES = ("this target", "probe", "this target, other model", "related target")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Seen:
    """The change of one arm over its baseline arm in one study.

    Args:
        tasks: what the arm learned.
        basis: one of ``BASES``.
        split: ``dev`` where the target has dev rows with gold in the study, else ``test``: then chosen on test.
    """

    tasks: tuple[str, ...]
    basis: str
    study: str
    model: str
    target: str
    split: str
    difference: SeedDifference

    @property
    def source(self) -> tuple[str, str, str, str]:
        """What is comparable: one study, model, target and basis; all of it is on one split."""
        return self.basis, self.study, self.model, self.target


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of one source with full arms on this target."""

    of: str
    truth: str
    ranks: RankCorrelation


@dataclass(frozen=True)
class Ranking:
    """Tasks, best first by their surest basis; everything that was seen; how far the orders agree; what nobody tried."""

    target: str
    best: tuple[Seen, ...]
    seen: tuple[Seen, ...]
    agreements: tuple[Agreement, ...]
    untried: tuple[str, ...]


def rank(studies: Iterable[OwnStudy], target: str, model: str | None = None) -> Ranking:
    """Rank what ``studies`` tried for ``target``; ``model`` (its name in them) makes others' results a lesser basis.

    Raises:
        MissingNameError: no such target task.
    """
    names = [task.name for task in tasks.targets()]
    if target not in names:
        raise MissingNameError("target task", target, names, where="TARGET")
    seen = sorted(
        (each for study in studies for each in _seen(study, target, model)), key=lambda s: BASES.index(s.basis)
    )
    surest: dict[tuple[str, ...], list[Seen]] = {}
    for each in seen:
        found = surest.setdefault(each.tasks, [])
        if not found or found[0].basis == each.basis:
            found.append(each)
    # Several studies of the same basis: the one with most seeds speaks.
    best = sorted(
        (max(found, key=lambda s: s.difference.pairs) for found in surest.values()),
        key=lambda s: (BASES.index(s.basis), -s.difference.mean),  # points of different bases do not compare
    )
    untried = tuple(t.name for t in tasks.intermediate() if (t.name,) not in surest)
    return Ranking(target, tuple(best), tuple(seen), tuple(_agreements(seen)), untried)


def _seen(study: OwnStudy, target: str, model: str | None) -> Iterator[Seen]:
    if study.baseline is None:
        return
    group = load(target).group
    for name in study.models:
        for other in [target, *(t.name for t in tasks.targets() if t.group == group and t.name != target)]:
            if other == target and study.probe:
                basis = BASES[1]
            elif other == target:
                basis = BASES[0] if model in (None, name) else BASES[2]
            else:
                basis = BASES[3]
            if study.probe and (other != target or model not in (None, name)):
                continue
            split = _split(study, name, study.baseline, other)
            for arm, of in study.arms.items():
                if not of.tasks or study.languages_of(arm) != (study.source, study.source):
                    continue
                values = _change(study, name, arm, study.baseline, other, split)
                if values:
                    difference = seed_difference(list(values.values()), CONFIDENCE)
                    yield Seen(of.tasks, basis, study.name, name, other, split, difference)


def _split(study: OwnStudy, model: str, base: str, target: str) -> str:
    """Where a study is looked at, for all arms alike: on dev if its baseline arm has scores there."""
    return "dev" if study.main(model, base, target, "dev") else "test"


def _change(study: OwnStudy, model: str, arm: str, base: str, target: str, split: str) -> SeedScores:
    """Seed -> change over the baseline arm, over the languages that both have."""
    rows, others = study.main(model, arm, target, split), study.main(model, base, target, split)
    shared = {r["language"] for r in rows} & {r["language"] for r in others}
    values, bases = over_languages(rows, None, shared), over_languages(others, None, shared)
    return {seed: value - bases[seed] for seed, value in values.items() if seed in bases}


def _agreements(seen: Iterable[Seen]) -> Iterator[Agreement]:
    sources: dict[tuple[str, str, str, str], dict[tuple[str, ...], float]] = {}
    for each in seen:
        sources.setdefault(each.source, {})[each.tasks] = each.difference.mean
    for one, other in combinations(sources, 2):
        truth = next((s for s in (one, other) if s[0] in (BASES[0], BASES[2])), None)
        if truth is None:
            continue
        tried = other if truth == one else one
        shared = sorted(sources[one].keys() & sources[other].keys())
        if len(shared) >= 3:
            ranks = rank_correlation([sources[tried][t] for t in shared], [sources[truth][t] for t in shared])
            yield Agreement(_called(tried), _called(truth), ranks)


def _called(source: tuple[str, str, str, str]) -> str:
    basis, study, model, target = source
    return f"{basis}: {study}, {model}, {target}"


def ranking_grids(found: Ranking) -> list[Grid]:
    """The ranking, and the agreement of its bases with full arms."""
    rows = tuple(
        (
            "+".join(s.tasks),
            f"{s.difference.mean:+.1f}",
            NOTHING if s.difference.low is None else f"[{s.difference.low:+.1f}, {s.difference.high:+.1f}]",
            str(s.difference.pairs),
            s.basis,
            f"{s.study}, {s.model}, {s.target} {s.split}",
        )
        for s in found.best
    )
    notes = ["Changes over the baseline arm in points; those of different studies are not of the same size."]
    if any(s.difference.pairs == 1 for s in found.best):
        notes.append("One seed: the order is not evidence by itself.")
    if any(s.split == "test" and s.basis in BASES[:2] for s in found.best):
        notes.append(
            f"{found.target} has no dev rows with gold here: this ranks on test, so do not report that test score."
        )
    if found.untried:
        notes.append(f"Not tried in any of these studies: {', '.join(found.untried)}.")
    columns = ("intermediate", "change", "95 % interval", "seeds", "basis", "seen in")
    grids = [Grid(f"Intermediate tasks for {found.target}", columns, rows, tuple(notes), frozenset(columns[4:]))]
    if found.agreements:
        body = tuple(
            (a.of, a.truth, str(a.ranks.count), _number(a.ranks.kendall), _number(a.ranks.p), _number(a.ranks.spearman))
            for a in found.agreements
        )
        columns = ("ranked by", "against full arms in", "arms", "Kendall tau", "p", "Spearman rho")
        grids.append(Grid("Do the orders agree?", columns, body, (), frozenset(columns[1:2])))
    return grids


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def as_json(found: Ranking) -> Mapping[str, Any]:
    """The ranking as plain data."""

    def plain(s: Seen) -> dict[str, Any]:
        d = s.difference
        return {
            "tasks": list(s.tasks),
            "change": d.mean,
            "low": d.low,
            "high": d.high,
            "seeds": d.pairs,
            "basis": s.basis,
            "study": s.study,
            "model": s.model,
            "target": s.target,
            "split": s.split,
        }

    return {
        "target": found.target,
        "ranking": [plain(s) for s in found.best],
        "seen": [plain(s) for s in found.seen],
        "agreement": [
            {"of": a.of, "truth": a.truth, "arms": a.ranks.count, "kendall": a.ranks.kendall, "p": a.ranks.p}
            | {"spearman": a.ranks.spearman}
            for a in found.agreements
        ],
        "untried": list(found.untried),
    }
