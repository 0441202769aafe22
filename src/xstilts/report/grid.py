"""A table of text: what ``xstilts.report.table`` is for scores, for everything that has other units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable

NOTHING = "–"
"""What stands where there is nothing to say."""


_BETWEEN = 3  # a line and a space on both of its sides


@dataclass(frozen=True)
class Grid:
    """A titled grid of texts with notes below; the first column names the row.

    ``words`` are the columns that hold words: they stand left, numbers stand right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()


def without_empty(grid: Grid) -> Grid:
    """The grid without the columns in which no row has anything."""
    places = range(len(grid.columns))
    return without(grid, *(grid.columns[p] for p in places if all(row[p] == NOTHING for row in grid.rows)))


def without(grid: Grid, *columns: str) -> Grid:
    """The grid without some of its columns."""
    kept = [place for place, column in enumerate(grid.columns) if column not in columns]
    columns, *rows = (tuple(of[place] for place in kept) for of in (grid.columns, *grid.rows))
    return replace(grid, columns=columns, rows=tuple(rows))


def number(value: float | None, digits: int = 3) -> str:
    """At least ``digits`` significant ones, thousands apart: ``0.0412``, ``31.6``, ``18,204``; or a dash."""
    if value is None:
        return NOTHING
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, places)}f}"


def plural(count: int, name: str) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def percent(value: float | None) -> str:
    """A share of 1 as ``12.3 %``; or a dash."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def milliseconds(value: float | None) -> str:
    """Seconds as milliseconds without the unit; or a dash."""
    return NOTHING if value is None else number(1000 * value)


def print_grid(grid: Grid, console: Console) -> None:
    """The grid in a terminal: lines are broken between words where it is narrow, numbers never."""
    drawn = RichTable(
        title=escape(grid.title) or None, title_justify="left", header_style="bold", show_edge=False, pad_edge=False
    )
    widths = _widths(grid, console.width - _BETWEEN * (len(grid.columns) - 1))
    for place, column in enumerate(grid.columns):
        left = place == 0 or column in grid.words
        style = "bold" if place == 0 else None
        drawn.add_column(column, justify="left" if left else "right", style=style, width=widths[place])
    for row in grid.rows:
        drawn.add_row(*map(escape, row))
    # Maybe wider than the terminal, which wraps or scrolls: better than half a number.
    drawn.width = sum(widths) + _BETWEEN * (len(widths) - 1)
    console.print(drawn, crop=False)
    for note in grid.notes:
        console.print(Padding(escape(note), (0, 0, 0, 2)), style="dim")
    console.print()


def _widths(grid: Grid, room: int) -> list[int]:
    """What each column needs so that no word and no number is broken; room that is left goes where most is missing."""
    places = range(len(grid.columns))
    widths = [_least_width(grid, place) for place in places]
    whole = [max(len(row[place]) for row in (grid.columns, *grid.rows)) for place in places]
    for _ in range(room - sum(widths)):
        place = max(places, key=lambda place: whole[place] - widths[place])
        if widths[place] >= whole[place]:
            break
        widths[place] += 1
    return widths


def _least_width(grid: Grid, place: int) -> int:
    words = grid.columns[place].split()
    for row in grid.rows:
        words += row[place].split() if place == 0 or grid.columns[place] in grid.words else [row[place]]
    return max(map(len, words))


def grid_markdown(grid: Grid, level: int = 3) -> str:
    """The grid in Markdown, its title as a heading of ``level``."""
    marks = ("---" if place == 0 or c in grid.words else "---:" for place, c in enumerate(grid.columns))
    lines = [f"{'#' * level} {grid.title}", "", _line(grid.columns), "|" + "|".join(marks) + "|"]
    lines += [_line(row) for row in grid.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in grid.notes), *([""] if grid.notes else [])])


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
