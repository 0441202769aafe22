"""Ours against theirs, cell by cell, and every difference between how the two were made, the largest known one first."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from xstilts.published import settings as ours_made
from xstilts.published.numbers import PAPER_MODEL, Number, Published, Setting, arm_name
from xstilts.published.own import OwnStudy, Row, SeedScores, over_languages
from xstilts.published.settings import ALL
from xstilts.tasks import load

ENGLISH = "en"
MODEL_METRICS = ("accuracy",)
"""Metrics that are shares of rows, so that the number of rows bounds their standard error."""


@dataclass(frozen=True)
class Difference:
    """One setting in which the two differ.

    Args:
        setting: a key of ``xstilts.published.settings.NAMES``.
        ours, theirs: as text.
        points: by how much it is known to have moved a number of this target; ``None`` where nobody has said.
        why: where that was seen.
        mark: of ``theirs``, and of the size where there is one.
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
    return Compared(tuple(cells), without, models)


def _printed(model: str | None, published: Published) -> bool:
    return any(number.model == model for number in published.numbers)


def _cells(study: OwnStudy, published: Published, reference: str, place: tuple[str, str, str, str]) -> Iterator[Cell]:
    model, arm, target, split = place
    tasks = study.arms[arm].tasks
    english = study.languages_of(arm) == (ENGLISH, ENGLISH)
    called = arm_name(tasks) if tasks is not None and english else None
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
                yield _cell(study, published, number, place, used, values)


def _change(
    study: OwnStudy, number: Number, place: tuple[str, str, str, str], rows: Sequence[Row], fixed: bool
) -> SeedScores:
    """Seed -> change over the baseline arm, over the languages and seeds that both have."""
    model, arm, target, split = place
    if study.baseline is None or arm == study.baseline:
        return {}
    base_rows = study.main(model, study.baseline, target, split, fixed=fixed)
    shared = {r["language"] for r in rows} & {r["language"] for r in base_rows}
    values = over_languages(rows, number.metric, shared)
    base = over_languages(base_rows, number.metric, shared)
    return {seed: value - base[seed] for seed, value in values.items() if seed in base}


def _cell(
    study: OwnStudy,
    published: Published,
    number: Number,
    place: tuple[str, str, str, str],
    rows: Sequence[Row],
    values: SeedScores,
) -> Cell:
    model, arm, _, _ = place
    own = _own_settings(study, published, number, rows, model, arm)
    counts = load(number.target).counts.get(number.own_split) or {}
    cut = any(r["count"] < counts.get(r["language"], 0) for r in rows)
    theirs = _their_settings(published, number, {r["language"] for r in rows}, cut)
    found = [
        difference
        for name in ours_made.NAMES
        if name in own and name in theirs
        if (difference := _difference(published, number, name, own[name], theirs[name], rows)) is not None
    ]
    # Sorting is stable: those without a known size keep the order of NAMES.
    found.sort(key=lambda d: -math.inf if d.points is None else d.points, reverse=True)
    not_said = tuple(name for name in ours_made.NAMES if name in own and name not in theirs)
    selections = ", ".join(sorted({r["selection"] or "" for r in rows}))
    value = statistics.fmean(values.values())
    return Cell(study.name, model, arm, value, len(values), selections, number, tuple(found), not_said)


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
    counts = target.counts.get(number.own_split) or {}
    cut = [r for r in rows if r["count"] < counts.get(r["language"], 0)]
    own["evaluation_rows"] = min((r["count"] for r in cut or rows), default=0)
    if number.target == "udpos":
        own["metric_version"] = ours_made.CHUNK_F1
    layers = own.pop("num_layers", study.layers.get(model))
    if first["layer"] is not None:
        own["layer"] = f"{first['layer']} of {layers}" if layers else str(first["layer"])
        own["pooling"] = first["pooling"]
    return own


def _their_settings(published: Published, number: Number, languages: set[str], cut: bool) -> dict[str, Setting]:
    """What the number's protocol says, what follows from its place, and what the published data sets say."""
    target = load(number.target)
    trained = load(target.trains_on) if target.trains_on else None
    counts = target.counts.get(number.own_split) or {}
    # Of a language whose rows ours are fewer than, if there is one: a small language must not hide that others were cut.
    published_rows = {code: counts[code] for code in languages if code in counts}
    rows = max(published_rows.values()) if cut and published_rows else min(published_rows.values(), default=None)
    found = {
        "model": Setting((published.models[number.model].title,), number.mark, number.source),
        "stand_in": Setting(("the published files",), "read", "XT"),
    }
    if number.language is None:
        found["languages"] = Setting((f"{len(target.languages)} of {len(target.languages)}",), "read", "XT")
    if rows is not None:
        found["evaluation_rows"] = Setting((rows,), "read", "XT")
    if trained is not None and (count := (trained.counts.get("train") or {}).get("en")):
        found["train_rows"] = Setting((count,), "read", "XT")
    for target_name in ("", number.target):
        found |= published.settings.get((number.protocol, target_name), {})
    if number.arm == "none":
        found = {name: of for name, of in found.items() if not name.startswith("intermediate_")}
    return found


def _difference(
    published: Published, number: Number, name: str, own: Any, theirs: Setting, rows: Sequence[Row]
) -> Difference | None:
    """``None`` where the two agree."""
    if any(_same(name, own, value) for value in theirs.values):
        return None
    effect = published.effect(name, number.target)
    mark, said = theirs.mark, " or ".join(_text(value) for value in theirs.values)
    if effect is not None:
        return Difference(name, _text(own), said, effect.points, f"{effect.why} [{effect.mark} {effect.source}]", mark)
    if name == "evaluation_rows" and number.metric in MODEL_METRICS and rows[0]["layer"] is None:
        error = 100 * math.sqrt(0.25 / own)
        why = f"{own} rows a language: one accuracy has a standard error of up to {error:.1f} points [derived]"
        return Difference(name, _text(own), said, error, why, mark)
    return Difference(name, _text(own), said, None, "", mark)


def _same(name: str, own: Any, theirs: Any) -> bool:
    if name == "layer":
        share = _share(str(own))
        return share is not None and share == _share(str(theirs))
    if name == "train_rows" and own == ALL:
        return True
    if name == "evaluation_rows":
        return bool(own >= theirs)
    if name == "metric_version":
        return False  # nobody says which one a leaderboard runs
    if isinstance(own, float | int) and isinstance(theirs, float | int):
        return math.isclose(own, theirs)
    return bool(own == theirs)


def _share(layer: str) -> Fraction | None:
    """``14 of 24`` and ``7 of 12`` are the same rule; ``None`` where the layer or the number of layers is not known."""
    found = re.fullmatch(r"(\d+) of (\d+)", layer)
    return Fraction(int(found[1]), int(found[2])) if found else None


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def change_table(published: Published) -> dict[str, dict[str, float]]:
    """Arm -> target (or the average) -> the printed change on dev; a target's number is the mean of its metrics."""
    found: dict[str, dict[str, list[float]]] = {}
    for number in published.numbers:
        if number.unit == "change" and number.split == "dev" and number.model == PAPER_MODEL:
            found.setdefault(number.arm, {}).setdefault(number.target, []).append(number.value)
    return {arm: {target: statistics.fmean(values) for target, values in of.items()} for arm, of in found.items()}
