"""The paper-shaped table: arms x targets with differences, intervals and marks; and the differences as a drawing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xstilts.graph.store import Store
from xstilts.report.comparison.cells import Cell as Compared
from xstilts.report.comparison.cells import Comparison
from xstilts.report.comparison.columns import Column
from xstilts.report.comparison.scores import BEST
from xstilts.report.comparison.tables import evidence_notes
from xstilts.report.grid import NOTHING
from xstilts.report.table import CHANCE, Entry, Table
from xstilts.webpage.content import Cell, Figure, Figures, Line, Sheet, signed
from xstilts.webpage.draw import Strip, strips
from xstilts.webpage.origins import Origins

MARKS = {
    "w": "some rows were longer than the model reads: they were read in several windows",
    "c": "some rows lost sub-words that no window holds",
    "r": "at least one fine-tuning behind it was begun anew after a collapse",
}
Place = tuple[str, str]  # arm, target


def main_columns(of: Comparison) -> list[Column]:
    """Targets, averages over them, and the transfer gap."""
    return [c for c in of.columns if c.kind in ("target", "average") or (c.kind == "gap" and c.group == "all")]


def score_sheet(
    of: Comparison,
    arms: Sequence[str],
    guessed: Mapping[str, float],
    marks: Mapping[Place, str],
    origins: Origins,
    notes: Iterable[str],
) -> Sheet:
    """Arms x targets.

    Args:
        of: the comparison of a model on a split.
        arms: the study's, in its order; those without a score are shown as such.
        guessed: target -> what guessing scores.
        marks: of what is known of the runs: see ``run_marks``.
        origins: where numbers come from.
        notes: of the zero-shot table.
    """
    columns = main_columns(of)
    lines = []
    used: set[str] = set()
    for arm in [*arms, *([BEST] if BEST in of.arms else [])]:
        cells = []
        for column in columns:
            found = of.cells.get((arm, column))
            cell = Cell(NOTHING) if found is None else _cell(of, found, marks, origins)
            used |= set(cell.marks) & MARKS.keys()
            cells.append(cell)
        against = of.against.get(arm)
        below = f"against {against}" if against not in (None, of.baseline) else ""
        if all(cell.text == NOTHING for cell in cells):
            below = "no score yet"
        lines.append(Line(arm, tuple(cells), below, "baseline" if arm == of.baseline else ""))
    if guessed:
        body = tuple(Cell(f"{guessed[c.name]:.1f}" if c.name in guessed else NOTHING) for c in columns)
        lines.append(Line(CHANCE, body, "guessing", "guess"))
    said = [f"{mark} {words}." for mark, words in MARKS.items() if mark in used]
    rows_only = any(below.startswith("{") for line in lines for cell in line.cells for below in cell.below)
    own = list(evidence_notes(of, "{…}" if rows_only else None))
    # What the comparison says of chance and seeds is not said twice.
    kept = [note for note in notes if not note.startswith(("!", "n/m seeds", "One seed")) and note not in own]
    caption = f"{of.model}, {of.split}: scores, and differences to {of.baseline}"
    return Sheet(caption, "arm", tuple(c.name for c in columns), tuple(lines), (_layout(of), *own, *said, *kept))


def _layout(of: Comparison) -> str:
    share, seeds = f"{100 * (1 - of.level):g} %", ", ".join(map(str, of.seeds))
    return (
        f"Mean over seeds ({seeds}) ± standard deviation; below it the mean difference to the baseline arm over the seeds "
        f"that both have, paired by seed, and its {share} t-interval over seeds."
    )


def _cell(of: Comparison, found: Compared, marks: Mapping[Place, str], origins: Origins) -> Cell:
    if found.mean is None:
        return Cell(NOTHING)
    choice = of.chosen.get(found.column.name) if found.arm == BEST and found.column.kind == "target" else None
    arm = found.arm if choice is None else choice.arm
    signs = ("!" if found.weak else "") + ("°" if choice is not None and choice.split == of.split else "")
    if found.column.kind == "target":
        signs += marks.get((arm, found.column.name), "")
    if found.arm in of.against and found.paired < len(of.seeds):
        signs += f" {found.paired}/{len(of.seeds)} seeds"
    spread = "" if found.spread is None else f"±{found.spread:.1f}"
    return Cell(
        f"{found.mean:.1f}{spread}",
        (*([arm] if choice is not None else []), *difference_lines(found)),
        signs,
        _origin(of, found, arm, origins),
        verdict=found.verdict if found.verdict in ("better", "worse") else "",
    )


def difference_lines(found: Compared) -> tuple[str, ...]:
    """``+2.1`` and its interval: over seeds in brackets; of a single pair of seeds over evaluation rows, in braces."""
    if found.delta is None:
        return ()
    delta = signed(found.delta.mean)
    interval = seed_interval(found)
    if interval is not None:
        return delta, f"[{signed(interval[0])}, {signed(interval[1])}]"
    if found.delta.pairs > 1:
        return delta, "(equal)"
    return (delta, f"{{{signed(found.rows[0])}, {signed(found.rows[1])}}}") if found.rows is not None else (delta,)


def difference(found: Compared) -> str:
    """The same in one line."""
    return " ".join(difference_lines(found))


def seed_interval(found: Compared) -> tuple[float, float] | None:
    """Of the difference, over seeds; ``None`` with one seed, or where all differences are equal."""
    delta = found.delta
    return None if delta is None or delta.low is None or delta.high is None else (delta.low, delta.high)


def _origin(of: Comparison, found: Compared, arm: str, origins: Origins) -> str:
    column = found.column
    if arm == BEST:
        parts = {target: of.chosen[target].arm for target in column.targets if target in of.chosen}
        return origins.of_chosen(of.model, BEST, column.name, of.split, parts)
    if column.kind in ("target", "language"):
        return origins.of_score(of.model, arm, column.targets[0], of.split)
    return origins.of_mean(of.model, arm, column.name, of.split, column.targets)


def run_marks(store: Store, payload: Mapping[str, Any], model: str, split: str) -> dict[Place, str]:
    """Arm and target -> the marks of its runs: windowed, cut, begun anew."""
    nodes = {node["key"]: node for node in payload["nodes"]}
    found: dict[Place, dict[str, None]] = {}
    for cell in payload["cells"]:
        if (cell["model"], cell["split"]) != (model, split) or not store.has(cell["key"]):
            continue
        marks = found.setdefault((cell["arm"], cell["target"]), {})
        file = store.path(nodes[cell["key"]]["parents"]["predictions"]) / "counts.json"
        counts = json.loads(file.read_text(encoding="utf-8")).values() if file.is_file() else ()
        if any(of.get("windows", 0) > of.get("examples", of.get("windows", 0)) for of in counts):
            marks["w"] = None
        if any(of.get("dropped_tokens") for of in counts):
            marks["c"] = None
        if cell.get("retry"):
            marks["r"] = None
    return {place: "".join(marks) for place, marks in found.items() if marks}


def difference_figures(of: Comparison, whose: str = "") -> Figures | None:
    """Each arm's difference to its baseline arm, target by target and over all of them, as intervals about zero.

    ``whose`` begins the titles where there are several models.
    """
    columns = [c for c in main_columns(of) if c.kind == "target" or c.name == "avg"]
    columns.sort(key=lambda c: c.kind == "target")
    figures = []
    for column in columns if len(columns) != 2 else columns[1:]:  # the average of one target is that target
        rows = list(_strips(of, column))
        if rows:
            name = "mean over targets" if column.kind == "average" else column.name
            words = f"{of.model}, {of.split}, {name}: difference to the baseline arm by arm, with intervals"
            figures.append(Figure(f"{whose}{name}", strips(words, rows, "points over the baseline arm", zero=True)))
    return Figures(tuple(figures)) if figures else None


def _strips(of: Comparison, column: Column) -> Iterator[Strip]:
    found = [c for arm in of.arms if arm != BEST and (c := of.cells[arm, column]).delta is not None]
    for cell in sorted(found, key=lambda c: -(c.delta.mean if c.delta else 0.0)):
        assert cell.delta is not None
        role = "lead" if cell.verdict in ("better", "worse") else "rest"
        mark = (cell.delta.mean, f"{cell.arm}: {difference(cell)}", role)
        said = signed(cell.delta.mean)
        seeds = seed_interval(cell)
        rows = cell.rows if cell.delta.pairs == 1 else None
        yield Strip(cell.arm, (mark,), seeds or rows, said=said, dashed=seeds is None)


def plain_sheet(table: Table) -> Sheet:
    """A zero-shot table as it is printed: for studies that have no arm to compare with."""
    lines = tuple(Line(name, tuple(map(_entry, entries))) for name, entries in table.rows)
    return Sheet(table.title, table.first, table.columns, lines, table.notes)


def _entry(of: Entry) -> Cell:
    if of.value is None:
        return Cell(NOTHING)
    spread = "" if of.spread is None else f"±{of.spread:.1f}"
    below = () if of.delta is None else (signed(of.delta),)
    return Cell(f"{of.value:.1f}{spread}", below, of.marks.strip())
