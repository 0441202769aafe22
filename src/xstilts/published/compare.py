"""Ours against theirs, cell by cell, and every difference between how the two were made, the largest known one first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xstilts.published import settings as ours_made
from xstilts.published.numbers import AVERAGE, PAPER_MODEL, Number, Published, Setting, arm_name
from xstilts.published.own import OwnStudy, Row, SeedScores, over_languages
from xstilts.published.settings import most_cut, rows_texts, same, text
from xstilts.tasks import load, targets

MODEL_METRICS = ("accuracy",)
"""Metrics that are shares of rows, so that the number of rows bounds their standard error."""
NINE = tuple(task.name for task in targets())
ENGLISH = "en"
"""The language of the rows behind every printed number."""


@dataclass(frozen=True)
class Difference:
    """One setting in which the two differ.

    Args:
        setting: a key of ``xstilts.published.settings.NAMES``.
        ours, theirs: as text.
        points: by how much it is known to have moved a number of this target; ``None`` where nobody has said.
        why: where that was seen.
        mark: of ``theirs``; empty where theirs is not known.
    """

    setting: str
    ours: str
    theirs: str
    points: float | None
    why: str
    mark: str


@dataclass(frozen=True)
class Cell:
    """One number of ours beside one of theirs.

    Args:
        value: ours: the mean over seeds of the mean over the languages compared, or its change over the baseline arm.
        seeds: how many seeds that is.
        selection: how our checkpoint or layer was chosen.
        differences: known ones, by size.
        not_said: settings of ours that theirs are not known for.
    """

    study: str
    model: str
    arm: str
    value: float
    seeds: int
    selection: str
    number: Number
    differences: tuple[Difference, ...]
    not_said: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Ours minus theirs, in points."""
        return self.value - self.number.value


@dataclass(frozen=True)
class Compared:
    """The cells of some studies that have a published number, and how many have none.

    ``models`` says what each model of ours was compared with.
    """

    cells: tuple[Cell, ...]
    without: Mapping[str, int]
    models: Mapping[str, str]


def compare(studies: Iterable[OwnStudy], published: Published) -> Compared:
    """Every cell of ``studies`` that somebody printed a number for.

    A model is compared with the numbers of the same model where there are any, else with those of the paper's.
    """
    cells: list[Cell] = []
    without: dict[str, int] = {}
    models: dict[str, str] = {}
    for study in studies:
        reference = {
            m.name: m.published if _printed(m.published, published) else PAPER_MODEL for m in study.models.values()
        }
        models |= {f"{study.name}/{name}": str(of) for name, of in reference.items()}
        for model, arm, target, split in study.places():
            found = list(_cells(study, published, str(reference[model]), (model, arm, target, split)))
            cells += found
            if not found:
                without[study.name] = without.get(study.name, 0) + 1
        for model, arm in dict.fromkeys((model, arm) for model, arm, _, _ in study.places()):
            cells += _averages(study, published, str(reference[model]), model, arm)
    return Compared(tuple(cells), without, models)


def _printed(model: str | None, published: Published) -> bool:
    return any(number.model == model for number in published.numbers)


def _called(study: OwnStudy, arm: str, target: str) -> str | None:
    """What the papers call an arm of ours, by its tasks and the languages that its trainings before ``target`` had."""
    tasks = study.arms[arm].tasks
    if tasks is None:
        return None
    learned, tuned = study.languages_of(arm)
    languages = {learned} if tasks else set()
    if target == AVERAGE or load(target).trains_on is not None:
        languages.add(tuned)
    return arm_name(tasks) if languages <= {ENGLISH} else None


def _baseline(study: OwnStudy, target: str) -> str | None:
    return next((arm for arm in study.arms if _called(study, arm, target) == "none"), None)


def _cells(study: OwnStudy, published: Published, reference: str, place: tuple[str, str, str, str]) -> Iterator[Cell]:
    model, arm, target, split = place
    called = _called(study, arm, target)
    for number in published.numbers:
        if (number.model, number.arm, number.target) != (reference, called, target) or number.own_split != split:
            continue
        for fixed in (False, True):
            rows = study.main(model, arm, target, split, fixed=fixed)
            only = None if number.language is None else [number.language]
            values = over_languages(rows, number.metric, only)
            if number.unit == "change":
                values = _change(study, number, place, rows, fixed)
            if values:
                used = [r for r in rows if only is None or r["language"] in only]
                differences, not_said = _settings(study, published, number, used, model, arm)
                yield _cell(study, (model, arm), values, used, number, differences, not_said)


def _change(
    study: OwnStudy, number: Number, place: tuple[str, str, str, str], rows: Sequence[Row], fixed: bool
) -> SeedScores:
    """Seed -> change over the baseline arm, over the languages and seeds that both have."""
    model, arm, target, split = place
    baseline = _baseline(study, target)
    if baseline is None or arm == baseline:
        return {}
    base_rows = study.main(model, baseline, target, split, fixed=fixed)
    shared = {r["language"] for r in rows} & {r["language"] for r in base_rows}
    values = over_languages(rows, number.metric, shared)
    base = over_languages(base_rows, number.metric, shared)
    return {seed: value - base[seed] for seed, value in values.items() if seed in base}


def _averages(study: OwnStudy, published: Published, reference: str, model: str, arm: str) -> Iterator[Cell]:
    """Printed means over the nine targets, where an arm of ours has all nine in all their languages."""
    called = _called(study, arm, AVERAGE)
    baseline = _baseline(study, AVERAGE)
    for number in published.numbers:
        if (number.model, number.arm, number.target) != (reference, called, AVERAGE):
            continue
        for fixed in (False, True):
            rows = _whole(study, model, arm, number, fixed)
            values = _mean_of_nine(rows)
            if number.unit == "change":
                base = {} if baseline is None else _mean_of_nine(_whole(study, model, baseline, number, fixed))
                values = {seed: value - base[seed] for seed, value in values.items() if seed in base}
            if values:
                found = {}
                for target, of in rows.items():
                    alike = replace(number, target=target, metric=load(target).main_score[-1])
                    found[target] = _settings(study, published, alike, of, model, arm)
                not_said = {name for _, names in found.values() for name in names}
                used = [row for of in rows.values() for row in of]
                differences = _of_average({target: of for target, (of, _) in found.items()})
                yield _cell(
                    study,
                    (model, arm),
                    values,
                    used,
                    number,
                    differences,
                    tuple(name for name in ours_made.NAMES if name in not_said),
                )


def _whole(study: OwnStudy, model: str, arm: str, number: Number, fixed: bool) -> dict[str, list[Row]]:
    """Target -> its rows, with ``fixed`` those of retrieval at the fixed layer; ``{}`` unless nothing is missing."""
    found = {}
    for target in NINE:
        split = replace(number, target=target).own_split
        rows = study.main(model, arm, target, split, fixed=fixed and load(target).trains_on is None)
        wanted = set(load(target).languages_of(split))
        if not {r["language"] for r in rows} >= wanted:
            return {}
        found[target] = rows
    return found


def _mean_of_nine(rows: Mapping[str, Sequence[Row]]) -> SeedScores:
    """Seed -> mean over targets of their main scores; seeds that have all."""
    scores = [over_languages(of, None) for of in rows.values()]
    seeds = set.intersection(*map(set, scores)) if scores else set()
    return {seed: statistics.fmean(of[seed] for of in scores) for seed in sorted(seeds)}


def _of_average(found: Mapping[str, Sequence[Difference]]) -> tuple[Difference, ...]:
    """The targets' differences as those of their mean: what moves one of nine targets moves it by a ninth."""
    alike: dict[tuple[str, str, str, str], dict[str, float | None]] = {}
    for target, differences in found.items():
        for d in differences:
            alike.setdefault((d.setting, d.ours, d.theirs, d.mark), {})[target] = d.points
    merged = []
    for (setting, ours, theirs, mark), sizes in alike.items():
        known = {target: points for target, points in sizes.items() if points is not None}
        why = f"in {', '.join(sizes)}"
        if known:
            why += f"; a ninth of what is known for {', '.join(known)} [derived]"
        points = sum(known.values()) / len(found) if known else None
        merged.append(Difference(setting, ours, theirs, points, why, mark))
    return _by_size(merged)


def _by_size(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Largest first; those without a known size in the order of ``NAMES``."""
    names = list(ours_made.NAMES)
    return tuple(
        sorted(differences, key=lambda d: (math.inf if d.points is None else -d.points, names.index(d.setting)))
    )


def _cell(
    study: OwnStudy,
    of: tuple[str, str],
    values: SeedScores,
    rows: Sequence[Row],
    number: Number,
    differences: tuple[Difference, ...],
    not_said: tuple[str, ...],
) -> Cell:
    selections = ", ".join(sorted({r["selection"] or "" for r in rows}))
    value = statistics.fmean(values.values())
    return Cell(study.name, *of, value, len(values), selections, number, differences, not_said)


def _settings(
    study: OwnStudy, published: Published, number: Number, rows: Sequence[Row], model: str, arm: str
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """What differs, by size, and what of ours is not known of theirs."""
    own = _own_settings(study, published, number, rows, model, arm)
    theirs = _their_settings(published, number)
    found = [_rows_scored(number, rows)]
    found += [_difference(published, number, name, own[name], theirs[name]) for name in own if name in theirs]
    not_said = tuple(name for name in ours_made.NAMES if name in own and name not in theirs)
    return _by_size(d for d in found if d is not None), not_said


def _own_settings(
    study: OwnStudy, published: Published, number: Number, rows: Sequence[Row], model: str, arm: str
) -> dict[str, Any]:
    """Ours in the words of the protocols; what a record does not say is not there."""
    target = load(number.target)
    scored = sorted({r["language"] for r in rows})
    first = rows[0]
    own = dict(study.made(first))
    own |= ours_made.stand_ins(study.files, number.target, study.arms[arm].tasks or ())
    known = study.models[model].published
    own["model"] = published.models[known].title if known else model
    own["selection"] = first["selection"]
    own["seeds"] = len({r["seed"] for r in rows})
    if number.language is None:
        own["languages"] = f"{len(scored)} of {len(target.languages)}"
    if number.target == "udpos":
        own["metric_version"] = ours_made.CHUNK_F1
    layers = own.pop("num_layers", study.layers.get(model))
    if first["layer"] is not None:
        own["layer"] = f"{first['layer']} of {layers}" if layers else str(first["layer"])
        own["pooling"] = first["pooling"]
    return own


def _their_settings(published: Published, number: Number) -> dict[str, Setting]:
    """What the number's protocol says, what follows from its place, and what the published data sets say."""
    target = load(number.target)
    trained = load(target.trains_on) if target.trains_on else None
    found = {
        "model": Setting((published.models[number.model].title,), number.mark, number.source),
        "stand_in": Setting(("the published files",), "read", "XT"),
    }
    if number.language is None:
        there = f"{len(target.languages_of(number.own_split))} of {len(target.languages)}"
        found["languages"] = Setting((there,), "read", "XT")
    if trained is not None and (count := (trained.counts.get("train") or {}).get("en")):
        found["train_rows"] = Setting((count,), "read", "XT")
    for of_what in ("", number.target, number.arm):
        found |= published.settings.get((number.protocol, of_what), {})
    if number.arm == "none":
        found = {name: of for name, of in found.items() if not name.startswith("intermediate_")}
    return found


def _difference(published: Published, number: Number, name: str, own: Any, theirs: Setting) -> Difference | None:
    """``None`` where the two agree."""
    if any(same(name, own, value) for value in theirs.values):
        return None
    effect = published.effect(name, number.target)
    said = " or ".join(text(value) for value in theirs.values)
    if effect is None:
        return Difference(name, text(own), said, None, "", theirs.mark)
    why = f"{effect.why} [{effect.mark} {effect.source}]"
    return Difference(name, text(own), said, effect.points, why, theirs.mark)


def _rows_scored(number: Number, rows: Sequence[Row]) -> Difference | None:
    """Language by language: a small language that is whole says nothing about a large one that is cut."""
    languages = sorted({r["language"] for r in rows})
    own = {code: min(r["count"] for r in rows if r["language"] == code) for code in languages}
    published = load(number.target).counts.get(number.own_split) or {}
    said = rows_texts(own, published)
    if said is None:
        return None
    code, points, why = most_cut(own, published), None, ""
    if code is not None and number.metric in MODEL_METRICS and rows[0]["layer"] is None:
        points = 100 * math.sqrt(0.25 / own[code])
        why = f"{own[code]} rows in {code}: one accuracy has a standard error of up to {points:.1f} points [derived]"
    return Difference("evaluation_rows", *said, points, why, "" if code is None else "read")


def change_table(published: Published) -> dict[str, dict[str, float]]:
    """Arm -> target (or the average) -> the printed change on dev; a target's number is the mean of its metrics."""
    found: dict[str, dict[str, list[float]]] = {}
    for number in published.numbers:
        if number.unit == "change" and number.split == "dev" and number.model == PAPER_MODEL:
            found.setdefault(number.arm, {}).setdefault(number.target, []).append(number.value)
    return {arm: {target: statistics.fmean(values) for target, values in of.items()} for arm, of in found.items()}
