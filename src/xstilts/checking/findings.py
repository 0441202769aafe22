"""What a check of a data folder finds: plain values, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class File:
    """One file of the folder: its name relative to the folder, its content's digest, its size in bytes."""

    path: str
    sha256: str  # first 12 hexadecimal digits
    bytes: int
    gzip: bool


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: ``file:line`` and what is wrong with it."""

    where: str
    what: str


@dataclass(frozen=True)
class Part:
    """One task, split and language.

    ``rows`` is ``None`` when there is no file; when a bad row ended the reading it counts the rows before that one.
    ``published`` is ``None`` when no published count is known. ``with_gold`` counts rows whose gold is there,
    ``dropped`` the rows that readers leave out: without a majority label, or damaged in a published translation.
    """

    task: str
    split: str
    language: str
    licence: str
    published: int | None
    files: tuple[File, ...] = ()
    gold_files: tuple[File, ...] = ()
    rows: int | None = None
    with_gold: int = 0
    dropped: int = 0
    bad_rows: tuple[BadRow, ...] = ()
    overridden: bool = False

    @property
    def found(self) -> bool:
        """Whether its files are there."""
        return self.rows is not None

    @property
    def complete(self) -> bool:
        """Whether it holds as many rows as were published (or as many as there are, if no count is known)."""
        return self.rows is not None and not self.bad_rows and self.rows >= (self.published or 0)


@dataclass(frozen=True)
class Missing:
    """Files of one task and split that are not there, and where to get them.

    ``looked_for`` are the names tried for the first of the languages.
    """

    task: str
    split: str
    languages: tuple[str, ...]
    looked_for: tuple[str, ...]
    address: str
    licence: str
    command: str


@dataclass(frozen=True)
class Overlap:
    """Rows that are learned from (or selected on) and share their text with rows that are scored.

    ``task``/``split`` is learned from: ``train``, or the source language's ``dev``, which chooses checkpoints.
    ``rows`` of them share text with ``tested_rows`` of the ``tested_total`` rows of the tested part. Questions share
    text when their contexts are equal; ``equal_rows`` of the tested rows have the same question, too.
    """

    task: str
    split: str
    language: str
    rows: int
    total: int
    tested_task: str
    tested_split: str
    tested_language: str
    tested_rows: int
    tested_total: int
    equal_rows: int
    text: str  # what is equal: "context" or "text"


@dataclass(frozen=True)
class Report:
    """Everything a check found; ``constructed`` says in one line that the folder is a pocket world, if it is one."""

    root: str
    parts: tuple[Part, ...]
    missing: tuple[Missing, ...]
    overlaps: tuple[Overlap, ...]
    seconds: float
    constructed: str = ""

    @property
    def bad_rows(self) -> tuple[tuple[Part, BadRow], ...]:
        """Every bad row with the first part it was found in: a file can belong to several."""
        first: dict[BadRow, Part] = {}
        for part in self.parts:
            for bad in part.bad_rows:
                first.setdefault(bad, part)
        return tuple((part, bad) for bad, part in first.items())

    @property
    def ok(self) -> bool:
        """Whether every file that is there can be read. Missing files and overlaps are findings, not errors."""
        return not self.bad_rows

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {"ok": self.ok, **asdict(self)}
