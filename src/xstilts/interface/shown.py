"""What the interface answers with: plain data that also shows itself, in a terminal and in a notebook."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.console import Console

from xstilts.report import show
from xstilts.report.grid import Grid, grid_markdown
from xstilts.report.memory import memory_grids

WIDTH = 120


def drawn(draw: Callable[[Console], None]) -> str:
    """What the command line would print."""
    text = io.StringIO()
    draw(Console(file=text, width=WIDTH, highlight=False))
    return text.getvalue().rstrip()


@dataclass(frozen=True, repr=False)
class Tables:
    """Tables for people, and the numbers they are made of.

    Args:
        tables: in the order they are read; each has its title, columns, rows of texts and notes.
        rows: one mapping a number, for ``pandas.DataFrame(rows)`` or whatever counts.
    """

    tables: tuple[Grid, ...]
    rows: list[dict[str, Any]]

    def to_markdown(self) -> str:
        """The tables in Markdown, their titles as headings."""
        return "\n".join(map(grid_markdown, self.tables))

    def __repr__(self) -> str:
        if not self.tables:
            return "no tables yet: nothing is scored"
        return drawn(lambda console: show.show_grids(self.tables, console))

    def _repr_html_(self) -> str:
        return "".join(map(_html, self.tables)) or escape(repr(self))


def _html(grid: Grid) -> str:
    """A table that a notebook styles as its own."""

    def line(texts: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    body = "".join(line(row, "td") for row in grid.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in grid.notes)
    head = f"<caption>{escape(grid.title)}</caption><thead>{line(grid.columns, 'th')}</thead>"
    return f"<table>{head}<tbody>{body}</tbody></table><ul>{notes}</ul>"


@dataclass(frozen=True, repr=False)
class Planned:
    """What a study would compute.

    Args:
        summary: counts of nodes by kind and state, cells, precision, languages, what is left out: ``xstilts plan --json``;
            ``memory`` where that was asked for.
    """

    summary: dict[str, Any]

    @property
    def nodes(self) -> list[dict[str, str]]:
        """Every node's ``key``, ``title`` and ``state`` (``done``, ``waiting``, ...), parents first."""
        return list(self.summary["titles"])

    @property
    def missing(self) -> int:
        """Nodes that are not done."""
        return int(self.summary["nodes"] - self.summary["done"])

    def __repr__(self) -> str:
        return drawn(self._draw)

    def _draw(self, console: Console) -> None:
        show.show_plan(self.summary, console)
        if "memory" in self.summary:
            show.show_grids(list(memory_grids(self.summary["memory"])), console)


@dataclass(frozen=True, repr=False)
class Ended:
    """How a run ended.

    Args:
        summary: what was found done, ran, was done elsewhere, failed (with messages), is blocked by that or left:
            ``xstilts run --json``.
        store: where it lies.
        complete: whether everything that was asked for is done.
    """

    summary: dict[str, Any]
    store: str
    complete: bool

    @property
    def failed(self) -> list[dict[str, str]]:
        """``key``, ``title`` and ``message`` of each node that failed."""
        return list(self.summary["failed"])

    def __repr__(self) -> str:
        return drawn(lambda console: show.show_run(self.summary, self.store, console))
