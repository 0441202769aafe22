"""Intermediate tasks ranked for one target by the changes that studies of ours found, and how far the ranks agree.

Four bases, the surest first: this target with this model; a probe of it (few steps an arm); this target with another
model; another target of the same group. What is known by a surer basis is not asked of the others. Ranks are within one
basis and one split: changes on dev stand before changes on test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from xstilts import tasks
from xstilts.errors import DataError, MissingNameError
from xstilts.published.own import OwnStudy, SeedScores, over_languages
from xstilts.report.grid import NOTHING, Grid
from xstilts.statistics.ranks import RankCorrelation, rank_correlation
from xstilts.statistics.seeds import SeedDifference, seed_difference
from xstilts.tasks import load

BASES = ("this target", "probe", "this target, other model", "related target")
CONFIDENCE = 0.95
Source = tuple[str, str, str, str, str]
"""Basis, study, model, target, split."""


@dataclass(frozen=True)
class Seen:
    """The change of one arm over its baseline arm in one study.

    Args:
        tasks: what the arm learned.
        basis: one of ``BASES``.
        split: ``dev`` where the study's baseline arm has dev scores of the target, for all its arms; else ``test``: then
            chosen on test.
    """

    tasks: tuple[str, ...]
    basis: str
    study: str
    model: str
    target: str
    split: str
    difference: SeedDifference

    @property
    def source(self) -> Source:
        """What is comparable."""
        return self.basis, self.study, self.model, self.target, self.split

    @property
    def rank_in(self) -> tuple[int, bool]:
        """What it is ranked in, the surest first: its basis, and there dev before test."""
        return BASES.index(self.basis), self.split != "dev"


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of one source with full arms on this target."""

    of: str
    truth: str
    ranks: RankCorrelation


@dataclass(frozen=True)
class Ranking:
    """Tasks by their surest basis, best first within each; everything that was seen; how far the orders agree.

    Args:
        untried: tasks that no arm here learned alone.
        without_dev: arms that are left out because they have no dev scores where their study has them.
        by_name: whether a model is held to be the one asked for by its name alone.
    """

    target: str
    best: tuple[Seen, ...]
    seen: tuple[Seen, ...]
    agreements: tuple[Agreement, ...]
    untried: tuple[str, ...]
    without_dev: tuple[str, ...] = ()
    by_name: bool = False


def rank(studies: Iterable[OwnStudy], target: str, model: str | None = None) -> Ranking:
    """Rank what ``studies`` tried for ``target``.

    Args:
        studies: where to look.
        target: a target task.
        model: makes the results of others a lesser basis: a published model, or what a study calls its own.

    Raises:
        MissingNameError: no such target task.
        DataError: different models go by the name ``model``.
    """
    names = [task.name for task in tasks.targets()]
    if target not in names:
        raise MissingNameError("target task", target, names, where="TARGET")
    studies = list(studies)
    asked = None if model is None else _asked(studies, model)
    seen = sorted((s for study in studies for s in _seen(study, target, asked)), key=lambda s: BASES.index(s.basis))
    surest: dict[tuple[str, ...], list[Seen]] = {}
    for each in seen:
        found = surest.setdefault(each.tasks, [])
        if not found or found[0].basis == each.basis:
            found.append(each)
    # Several studies of the same basis: dev before test, then the one with most seeds speaks.
    speak = (min(found, key=lambda s: (s.rank_in, -s.difference.pairs)) for found in surest.values())
    best = tuple(sorted(speak, key=lambda s: (s.rank_in, -s.difference.mean)))
    left_out = {f"{study.name}: {arm}": of for study in studies for arm, of in _without_dev(study, target)}
    tried = {each.tasks for each in seen} | set(left_out.values())
    untried = tuple(t.name for t in tasks.intermediate() if (t.name,) not in tried)
    by_name = model is not None and asked == (None, model)
    return Ranking(target, best, tuple(seen), tuple(_agreements(seen)), untried, tuple(left_out), by_name)


Identity = tuple[str | None, str | None]
"""The published model; else ``None`` and where it is from, or what a study calls it where a record does not say."""


def _identity(study: OwnStudy, name: str) -> Identity:
    of = study.models[name]
    return (of.published, None) if of.published else (None, of.origin or name)


def _asked(studies: Iterable[OwnStudy], model: str) -> Identity:
    """Which model ``model`` is: by the hub id or folder of those that are called so."""
    every = {(name, _identity(study, name)) for study in studies for name in study.models}
    found = {identity for name, identity in every if model in (name, identity[0])}
    if len(found) > 1:
        known = ", ".join(sorted(published for published, _ in found if published))
        raise DataError(
            f"different models are called {model!r} in these studies",
            where="--model",
            hint=f"published ones among them, which can be named instead: {known}",
        )
    return next(iter(found), (None, model))


def _basis(study: OwnStudy, name: str, same_target: bool, asked: Identity | None) -> str | None:
    """``None`` for a probe of something else: few steps on another target or model say nothing here."""
    same_model = asked is None or asked == _identity(study, name)
    if study.probe:
        return BASES[1] if same_target and same_model else None
    if same_target:
        return BASES[0] if same_model else BASES[2]
    return BASES[3]


def _seen(study: OwnStudy, target: str, asked: Identity | None) -> Iterator[Seen]:
    if study.baseline is None:
        return
    group = load(target).group
    for name in study.models:
        for other in [target, *(t.name for t in tasks.targets() if t.group == group and t.name != target)]:
            basis = _basis(study, name, other == target, asked)
            if basis is None:
                continue
            split = _split(study, name, study.baseline, other)
            for arm, learned in _learned(study):
                values = _change(study, name, arm, study.baseline, other, split)
                if values:
                    difference = seed_difference(list(values.values()), CONFIDENCE)
                    yield Seen(learned, basis, study.name, name, other, split, difference)


def _learned(study: OwnStudy) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Arms with intermediate tasks, both stages in the study's own language."""
    for arm, of in study.arms.items():
        if of.tasks and study.languages_of(arm) == (study.source, study.source):
            yield arm, of.tasks


def _without_dev(study: OwnStudy, target: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name in study.models:
        if study.baseline is not None and _split(study, name, study.baseline, target) == "dev":
            for arm, learned in _learned(study):
                if study.main(name, arm, target, "test") and not study.main(name, arm, target, "dev"):
                    yield arm, learned


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
    sources: dict[Source, dict[tuple[str, ...], float]] = {}
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


def _called(source: Source) -> str:
    basis, study, model, target, split = source
    return f"{basis}: {study}, {model}, {target} {split}"


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
    notes = [
        "Changes over the baseline arm in points; those of different studies are not of the same size.",
        "Ranked within a basis and a split: the surest basis first, dev before test.",
    ]
    if found.by_name:
        notes.append("The model is known by its name alone: see that these studies mean the same one by it.")
    if found.without_dev:
        notes.append(f"Left out, with no dev scores where their baseline arm has them: {', '.join(found.without_dev)}.")
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
        "left_out_without_dev": list(found.without_dev),
        "model_by_name_alone": found.by_name,
    }
