"""The comparison for people and for programs: what differs stands in the order of how much it is known to move a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xstilts.checking.findings import Report
from xstilts.published.compare import Cell, Compared
from xstilts.published.numbers import AVERAGE, Number, Published
from xstilts.published.settings import NAMES
from xstilts.report.grid import NOTHING, Grid, plural
from xstilts.tasks import load, targets

LEGEND = (
    "Marks: read = in the source; read (jiant, not the paper) = in its authors' scripts of two years later; read-2nd = in "
    "somebody else's table; recalled = from memory, not checked; recalled* = from memory, passes an arithmetic check; "
    "derived = arithmetic on read numbers; tested = computed here; reasoned = argued."
)


def comparison_grids(compared: Compared, published: Published) -> list[Grid]:
    """For each study and model two grids: the numbers, and what differs in how they were made."""
    places = dict.fromkeys((cell.study, cell.model) for cell in compared.cells)
    return [grid for place in places for grid in _of_model(compared, published, place)]


def _of_model(compared: Compared, published: Published, place: tuple[str, str]) -> Iterator[Grid]:
    study, model = place
    cells = [c for c in compared.cells if (c.study, c.model) == place]
    theirs = published.models[compared.models[f"{study}/{model}"]].title
    counted = tuple(_counted(compared, study))
    if not any(c.number.target == AVERAGE for c in cells):
        counted = (
            *counted,
            "Printed averages are compared only with arms that have all nine targets in all languages.",
        )
    yield Grid(
        f"{study}: {model} beside {theirs}",
        ("arm", "target", "metric", "chosen by", "seeds", "ours", "theirs", "difference", "mark", "theirs from"),
        tuple(_number_row(cell, published) for cell in cells),
        (*counted, LEGEND),
        frozenset({"target", "metric", "chosen by", "mark", "theirs from"}),
    )
    not_said = dict.fromkeys(name for cell in cells for name in cell.not_said)
    notes = [
        "Known to move: points by which this difference moved a number of this target where somebody looked; a ninth of "
        "them for the average. A dash: nobody has said, which does not mean that it is little."
    ]
    if not_said:
        notes.append(f"Not known of some of theirs, so not compared there: {', '.join(NAMES[n] for n in not_said)}.")
    yield Grid(
        f"{study}: why {model} is not {theirs}",
        ("target", "differs in", "ours", "theirs", "mark", "known to move", "seen where", "arms"),
        tuple(_reasons(cells)),
        tuple(notes),
        frozenset({"differs in", "ours", "theirs", "mark", "seen where", "arms"}),
    )


def _counted(compared: Compared, study: str) -> Iterator[str]:
    count = compared.without.get(study, 0)
    if count:
        yield f"{plural(count, 'cell')} (arm, target and split) of this study without a published number: not listed."


def _number_row(cell: Cell, published: Published) -> tuple[str, ...]:
    number = cell.number
    of = number.target if number.language is None else f"{number.target} {number.language}"
    sign = "+.1f" if number.unit == "change" else ".1f"
    metric = number.metric or "mean of nine"
    metric = f"change of {metric}" if number.unit == "change" else metric
    printed = f", printed as {number.split}" if number.split != number.own_split else ""
    return (
        cell.arm,
        f"{of} {number.own_split}",
        metric,
        cell.selection,
        str(cell.seeds),
        f"{cell.value:{sign}}",
        number.text,
        f"{cell.difference:+.1f}",
        number.mark,
        f"{number.source}; {published.protocols[number.protocol]}" + printed,
    )


def _reasons(cells: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    """One row for each difference of a target, with the arms that have it."""
    every = dict.fromkeys(cell.arm for cell in cells)
    for target in dict.fromkeys(cell.number.target for cell in cells):
        arms: dict[tuple[str, ...], dict[str, None]] = {}
        sizes: dict[tuple[str, ...], float] = {}
        here = [cell for cell in cells if cell.number.target == target]
        for cell in here:
            for d in cell.differences:
                points = NOTHING if d.points is None else f"{d.points:.1f}"
                said = (target, NAMES[d.setting], d.ours, d.theirs, d.mark or NOTHING, points, d.why or NOTHING)
                arms.setdefault(said, {})[cell.arm] = None
                sizes[said] = -1.0 if d.points is None else d.points
        for row in sorted(arms, key=lambda r: -sizes[r]):
            yield (*row, "all" if len(arms[row]) == len(every) else ", ".join(arms[row]))


def published_grids(published: Published) -> list[Grid]:
    """What there is to compare with: scores and changes, one row for each model, arm, split and source."""
    names = [*(task.name for task in targets()), AVERAGE]
    found = []
    for unit, title in (("score", "Published scores"), ("change", "Published changes over the baseline arm")):
        rows: dict[tuple[str, ...], dict[str, list[Number]]] = {}
        for number in published.numbers:
            if number.unit == unit and number.language is None:
                at = (published.models[number.model].title, number.arm, number.split, number.mark, number.source)
                rows.setdefault(at, {}).setdefault(number.target, []).append(number)
        body = tuple((*at, *(_texts(of.get(name, ())) for name in names)) for at, of in rows.items())
        words = frozenset({"arm", "split", "mark", "source"})
        found.append(Grid(title, ("model", "arm", "split", "mark", "source", *names), body, (LEGEND,), words))
    return found


def _texts(numbers: Sequence[Number]) -> str:
    """Questions have two metrics: EM / F1, or the one that was printed, named."""
    if not numbers:
        return NOTHING
    by_metric = {number.metric: number.text for number in numbers}
    if "f1" in by_metric and len(load(numbers[0].target).main_score) > 1:
        return f"{by_metric.get('exact_match', NOTHING)} / {by_metric['f1']}"
    return ", ".join(by_metric.values())


def data_grid(report: Report) -> Grid:
    """How much of each published test set a data folder holds: what is missing moves an average before any training."""
    rows = []
    for task in targets():
        split = "test"
        parts = [p for p in report.parts if (p.task, p.split) == (task.name, split)]
        scored = [p for p in parts if p.with_gold]
        counts = [p.published for p in parts]
        known = [count for count in counts if count is not None]
        rows.append(
            (
                task.name,
                f"{len(scored)} of {len(task.languages)}",
                f"{sum(p.with_gold for p in scored):,}",
                f"{sum(known):,}" if known and len(known) == len(counts) else NOTHING,
                ", ".join(p.language for p in parts if not p.with_gold) or NOTHING,
            )
        )
    columns = ("target", "languages with gold", "rows with gold", "published rows", "without gold")
    return Grid("Test sets in the data folder", columns, tuple(rows), (), frozenset({"without gold"}))


def as_json(compared: Compared, published: Published) -> dict[str, Any]:
    """The cells as plain data, and the published numbers where there is nothing of ours."""
    return {
        "cells": [_cell_json(cell) for cell in compared.cells],
        "compared_with": dict(compared.models),
        "cells_without_published_number": dict(compared.without),
        "published": [_number_json(number) for number in published.numbers],
        "sources": dict(published.sources),
        "protocols": dict(published.protocols),
    }


def _cell_json(cell: Cell) -> Mapping[str, Any]:
    return {
        "study": cell.study,
        "model": cell.model,
        "arm": cell.arm,
        "value": cell.value,
        "seeds": cell.seeds,
        "selection": cell.selection,
        "difference": cell.difference,
        "published": _number_json(cell.number),
        "differences": [
            {
                "setting": d.setting,
                "ours": d.ours,
                "theirs": d.theirs,
                "mark": d.mark,
                "points": d.points,
                "seen_where": d.why,
            }
            for d in cell.differences
        ],
        "not_said": list(cell.not_said),
    }


def _number_json(number: Number) -> Mapping[str, Any]:
    fields = ("model", "arm", "target", "metric", "language", "split", "value", "unit", "protocol", "mark", "source")
    return {name: getattr(number, name) for name in fields}
