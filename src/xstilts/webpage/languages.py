"""Scores by language: one small table for each arm, shaded; and what is lost on the way from the source, by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xstilts.report.comparison.cells import Comparison
from xstilts.report.comparison.columns import Column
from xstilts.report.comparison.scores import BEST
from xstilts.report.grid import NOTHING
from xstilts.report.languages import language_name, language_order
from xstilts.webpage.content import Cell, Figure, Figures, Line, Panels, Sheet, signed, with_minus
from xstilts.webpage.draw import Strip, strips
from xstilts.webpage.origins import Origins
from xstilts.webpage.scores import difference_lines

STEPS = (1.0, 3.0, 6.0, 12.0)
"""Points from which a difference has the next shade."""
SHADES = 8
GROUPS = {"family": "By family", "script": "By script", "size": "By size of Wikipedia"}


def score_shade(value: float) -> str:
    """``q0`` to ``q7``, on one scale from 0 to 100 everywhere."""
    return f"q{min(SHADES - 1, max(0, int(value / 100 * SHADES)))}"


def change_shade(delta: float) -> str:
    """``g1`` to ``g4`` up, ``l1`` to ``l4`` down; empty below a point."""
    step = sum(abs(delta) >= least for least in STEPS)
    return f"{'g' if delta > 0 else 'l'}{step}" if step else ""


def heat_panels(
    of: Comparison, study: Mapping[str, Any], origins: Origins, whose: str = "", *, legend: bool = True
) -> Panels | None:
    """Languages x targets: the baseline arm's scores, and of every other arm the differences to its own baseline arm.

    ``whose`` begins the titles where there are several models.
    """
    by_place = {(c.name, c.targets[0]): c for c in of.columns if c.kind == "language"}
    targets = [c.name for c in of.columns if c.kind == "target"]
    own = study.get("own_languages", {})
    codes = sorted({code for code, _ in by_place}, key=lambda code: language_order(code, own, study["source"]))
    if not codes:
        return None
    sheets = []
    for arm in (of.baseline, *(arm for arm in of.arms if arm != BEST)):
        lines = []
        for code in codes:
            cells = tuple(_cell(of, arm, by_place.get((code, target)), origins) for target in targets)
            kind = "baseline" if code == study["source"] else ""
            lines.append(Line(language_name(code, own), cells, kind=kind))
        against = of.against.get(arm)
        caption = f"{whose}{arm}: scores" if against is None else f"{whose}{arm}: difference to {against}"
        sheets.append(Sheet(caption, "language", tuple(targets), tuple(lines), heat=True))
    notes = (
        f"{of.model}, {of.split}. Scores are shaded on one scale from 0 to 100; differences from "
        f"{', '.join(f'{s:g}' for s in STEPS)} points on. ! at chance or one constant answer. Differences are means over "
        "the seeds that both arms have; single languages are not tested unless the study declares it.",
    )
    return Panels(tuple(sheets), notes, legend)


def _cell(of: Comparison, arm: str, column: Column | None, origins: Origins) -> Cell:
    found = None if column is None else of.cells.get((arm, column))
    if column is None or found is None or found.mean is None:
        return Cell("")
    href = origins.of_score(of.model, arm, column.targets[0], of.split)
    mark = "!" if found.weak else ""
    if arm == of.baseline:
        return Cell(f"{found.mean:.1f}", marks=mark, href=href, shade=score_shade(found.mean))
    if found.delta is None:
        return Cell(f"({found.mean:.1f})", marks=mark, href=href)
    delta = found.delta.mean
    return Cell(signed(delta), marks=mark, href=href, shade=change_shade(delta), verdict=found.verdict or "")


def gap_figures(of: Comparison, whose: str = "") -> Figures | None:
    """The source's score minus the mean of each group, one drawing for family, script and size."""
    figures = []
    for group, title in GROUPS.items():
        rows = list(_gap_strips(of, [c for c in of.columns if c.kind == "gap" and c.group == group]))
        if len(rows) > 1:
            words = (
                f"{of.model}, {of.split}: transfer gap {title.lower()}; a bar is the baseline arm, a dot another arm"
            )
            figures.append(
                Figure(
                    f"{whose}{title.lower()}" if whose else title,
                    strips(words, rows, "points lost from the source language", zero=True),
                )
            )
    return Figures(tuple(figures)) if figures else None


def _gap_strips(of: Comparison, columns: Sequence[Column]) -> Iterator[Strip]:
    rows = []
    for column in columns:
        base = of.cells[of.baseline, column].mean
        marks = [
            (cell.mean, f"{arm}: {cell.mean:.1f}", "base" if arm == of.baseline else "rest")
            for arm in (of.baseline, *(a for a in of.arms if a != BEST))
            if (cell := of.cells[arm, column]).mean is not None
        ]
        if marks:
            said = NOTHING if base is None else with_minus(f"{of.baseline} {base:.1f}")
            rows.append(
                (base or 0.0, Strip(column.name, tuple((v, n, r) for v, n, r in marks if v is not None), said=said))
            )
    yield from (strip for _, strip in sorted(rows, key=lambda row: -row[0]))


def gap_sheet(of: Comparison, origins: Origins) -> Sheet | None:
    """The same as a table, with differences and their intervals."""
    columns = [c for c in of.columns if c.kind == "gap" and c.group in GROUPS]
    arms = (of.baseline, *(arm for arm in of.arms if arm != BEST))
    lines = []
    for column in columns:
        cells = []
        for arm in arms:
            found = of.cells[arm, column]
            href = origins.of_mean(of.model, arm, f"gap {column.name}", of.split, column.targets)
            text = NOTHING if found.mean is None else with_minus(f"{found.mean:.1f}")
            cells.append(
                Cell(text, difference_lines(found), "!" if found.weak else "", href if found.mean is not None else "")
            )
        lines.append(Line(column.name, tuple(cells), column.group))
    if not lines:
        return None
    note = (
        "The source language's score minus the mean of the group, over the targets that have both; below it the difference "
        "to the baseline arm with its interval: a negative one is a smaller gap. Not tested."
    )
    return Sheet(f"{of.model}, {of.split}: transfer gap by group of languages", "group", arms, tuple(lines), (note,))
