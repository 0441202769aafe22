"""A table of text: what ``xstilts.report.table`` is for scores, for everything that has other units."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

NOTHING = "–"
"""What stands where there is nothing to say."""


_BETWEEN = 3  # a line and a space on both of its sides
_WORD = re.compile(r"\S+(?: %\S*)?")  # a number keeps its sign of per cent


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
    return _chosen(grid, [place for place, column in enumerate(grid.columns) if column not in columns])


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
    """The grid in a terminal: where it is narrow, cells are broken between words, and columns without room go below.

    Numbers are never broken; a word is only where it is wider than the terminal. Every part of a table begins with the names
    of its rows, unless these are long, and with numbers where names are left out or come twice.
    """
    parts = _parts(grid, console.width)
    for part in parts:
        if part is not parts[0]:
            console.print()
        if grid.title:
            console.print(escape(grid.title + ("" if part is parts[0] else ", continued")), style="table.title")
        console.print(_drawn(part, console.width))
    for note in grid.notes:
        console.print(Padding(escape(note), (0, 0, 0, 2)), style="dim", highlight=False)
    console.print()


def parts_in(grid: Grid, width: int) -> int:
    """In how many parts a terminal of that width shows it: 1 where it has room."""
    return len(_parts(grid, width))


def _parts(grid: Grid, width: int) -> list[Grid]:
    """The grid, or its columns shared out among several, each no wider than that."""
    if _whole_width(grid, range(len(grid.columns))) <= width:
        return [grid]
    short = 2 * _least_width(grid, 0) <= width
    first = [0] if short else []
    if not short or len({row[0] for row in grid.rows}) < len(grid.rows):
        words = frozenset({grid.columns[0], *grid.words})
        rows = tuple((str(count), *row) for count, row in enumerate(grid.rows, start=1))
        grid = replace(grid, columns=("#", *grid.columns), rows=rows, words=words)
        first = [0, 1] if short else [0]
    shared: list[list[int]] = []
    for place in range(len(first), len(grid.columns)):
        if shared and _whole_width(grid, [*shared[-1], place]) <= width:
            shared[-1].append(place)
        else:
            shared.append([*first, place])
    return [_chosen(grid, places) for places in shared]


def _chosen(grid: Grid, places: Sequence[int]) -> Grid:
    columns, *rows = (tuple(of[place] for place in places) for of in (grid.columns, *grid.rows))
    return replace(grid, columns=columns, rows=tuple(rows))


def _whole_width(grid: Grid, places: Sequence[int]) -> int:
    return sum(_least_width(grid, place) for place in places) + _BETWEEN * (len(places) - 1)


def _drawn(grid: Grid, width: int) -> RichTable:
    drawn = RichTable(header_style="bold", show_edge=False, pad_edge=False)
    widths = _widths(grid, width - _BETWEEN * (len(grid.columns) - 1))
    for place, column in enumerate(grid.columns):
        left, style = _is_words(grid, place), "bold" if place == 0 else None
        header = Text(_broken(column, widths[place]))
        drawn.add_column(header, justify="left" if left else "right", style=style, width=widths[place])
    for row in grid.rows:
        drawn.add_row(*(Text(_broken(text, room)) for text, room in zip(row, widths, strict=True)))
    return drawn


def _widths(grid: Grid, room: int) -> list[int]:
    """What each column needs so that no word and no number is broken; room that is left goes where most is missing."""
    places = range(len(grid.columns))
    widths = [_least_width(grid, place) for place in places]
    widths[-1] = max(1, min(widths[-1], room - sum(widths[:-1])))  # one word may be wider than the terminal
    whole = [max(cell_len(row[place]) for row in (grid.columns, *grid.rows)) for place in places]
    for _ in range(room - sum(widths)):
        place = max(places, key=lambda place: whole[place] - widths[place])
        if widths[place] >= whole[place]:
            break
        widths[place] += 1
    return widths


def _is_words(grid: Grid, place: int) -> bool:
    return place == 0 or grid.columns[place] in grid.words


def _least_width(grid: Grid, place: int) -> int:
    texts = _words(grid.columns[place])
    for row in grid.rows:
        texts += _words(row[place]) if _is_words(grid, place) else [row[place]]
    return max(map(cell_len, texts), default=1)


def _words(text: str) -> list[str]:
    """Each with the indentation of the text, as any of them may begin a line."""
    indentation = text[: len(text) - len(text.lstrip())]
    return [indentation + word for word in _WORD.findall(text)]


def _broken(text: str, width: int) -> str:
    """The text in lines of that width, broken between words."""
    lines: list[str] = []
    for word in _words(text):
        if lines and cell_len(longer := f"{lines[-1]} {word.lstrip()}") <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def grid_markdown(grid: Grid, level: int = 3) -> str:
    """The grid in Markdown, its title as a heading of ``level``."""
    marks = ("---" if place == 0 or c in grid.words else "---:" for place, c in enumerate(grid.columns))
    lines = [f"{'#' * level} {grid.title}", "", _line(grid.columns), "|" + "|".join(marks) + "|"]
    lines += [_line(row) for row in grid.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in grid.notes), *([""] if grid.notes else [])])


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
