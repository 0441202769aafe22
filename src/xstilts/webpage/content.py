"""What the page is made of: plain values without markup. The templates alone know HTML, and they escape every text.

Only ``Figure.svg`` is markup; figures are drawn by ``xstilts.report.figure``, which escapes the text that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from xstilts.report.grid import Grid

_HYPHEN = re.compile(r"(?<![^\s\[({])-(?=\d)")


@dataclass(frozen=True)
class Cell:
    """One number or text of a table.

    Args:
        text: what is read first.
        below: lines that qualify it: a difference, its interval.
        marks: signs that the notes explain.
        href: the block of the page that says where the number comes from; empty where it is no number of a node.
        shade: class of the background: ``q0`` to ``q7`` for a score, ``g1`` to ``g4`` gain, ``l1`` to ``l4`` loss.
        verdict: ``better``, ``worse`` or empty.
        word: stands left, as words do.
    """

    text: str
    below: tuple[str, ...] = ()
    marks: str = ""
    href: str = ""
    shade: str = ""
    verdict: str = ""
    word: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table: its name, what qualifies the name, its cells; ``kind`` is ``baseline``, ``guess`` or empty."""

    name: str
    cells: tuple[Cell, ...]
    below: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table. ``heat`` draws it densely, with shades; a ``wordy`` one has its cells below one another on a phone."""

    caption: str
    first: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    heat: bool = False
    words: frozenset[str] = frozenset()
    wordy: bool = False
    kind: Literal["sheet"] = "sheet"


@dataclass(frozen=True)
class Panels:
    """Small tables side by side, to be compared with one another."""

    sheets: tuple[Sheet, ...]
    notes: tuple[str, ...] = ()
    legend: bool = False
    kind: Literal["panels"] = "panels"


@dataclass(frozen=True)
class Figure:
    """A drawing with its words."""

    caption: str
    svg: str


@dataclass(frozen=True)
class Figures:
    """Drawings side by side: ``small`` ones many to a line, ``wide`` ones one to a line."""

    figures: tuple[Figure, ...]
    size: Literal["small", "medium", "wide"] = "medium"
    notes: tuple[str, ...] = ()
    kind: Literal["figures"] = "figures"


@dataclass(frozen=True)
class Prose:
    """Paragraphs."""

    paragraphs: tuple[str, ...]
    kind: Literal["prose"] = "prose"


@dataclass(frozen=True)
class Fold:
    """What is opened by those who want it."""

    title: str
    blocks: tuple[Sheet | Panels | Figures | Prose, ...]
    kind: Literal["fold"] = "fold"


@dataclass(frozen=True)
class Section:
    """A question and its answer; ``links`` are titles and addresses of where its numbers come from."""

    id: str
    title: str
    lead: str
    blocks: tuple[Sheet | Panels | Figures | Prose | Fold, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class NodeLine:
    """One node of a number's ancestry."""

    kind: str
    what: str
    key: str
    parents: tuple[str, ...]
    version: int
    where: str
    seconds: str
    finished: str


@dataclass(frozen=True)
class Origin:
    """Where a number comes from.

    Args:
        id: of the block.
        title: whose number.
        nodes: its scores and all that they were made from; empty for a mean of other numbers.
        commands: what tells more.
        software: versions of libraries that made the nodes.
        parts: ``(title, href)`` of the numbers that a mean is of.
    """

    id: str
    title: str
    nodes: tuple[NodeLine, ...] = ()
    commands: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """A data set, a benchmark or a paper that was used."""

    name: str
    used_for: str
    licence: str
    address: str
    bibtex: str


@dataclass(frozen=True)
class Chapter:
    """One study."""

    id: str
    name: str
    title: str
    state: str
    failures: tuple[tuple[str, str, str], ...]
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Page:
    """All of it."""

    title: str
    made: str
    chapters: tuple[Chapter, ...]
    sections: tuple[Section, ...]
    sources: tuple[Source, ...]
    source_notes: tuple[str, ...] = field(default=())


def with_minus(text: str) -> str:
    """Numbers with a minus, which is as wide as a plus; hyphens in names stay."""
    return _HYPHEN.sub("−", text)


def signed(points: float) -> str:
    """``+2.1``, ``−0.3``, ``0.0``."""
    text = f"{points:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else with_minus(text)


def sheet_of(grid: Grid, hrefs: Sequence[str] = ()) -> Sheet:
    """A table of text as a table of the page; ``hrefs`` says for each row where its numbers come from."""
    lines = []
    for place, (name, *texts) in enumerate(grid.rows):
        href = hrefs[place] if place < len(hrefs) else ""
        cells = tuple(
            Cell(text, word=column in grid.words, href=href if column == "ours" else "")
            for column, text in zip(grid.columns[1:], texts, strict=True)
        )
        lines.append(Line(name.strip(), cells))
    return Sheet(
        grid.title, grid.columns[0], grid.columns[1:], tuple(lines), grid.notes, False, grid.words, len(grid.words) > 2
    )
