"""Reading a part of a data folder to its end although some rows are bad.

Readers are strict: they stop at the first bad row. A check wants all of them, so a damaged file is read again from a copy
in which the bad line is blank (line formats pass over blank lines, and line numbers stay), until its end is reached. A
file that is one JSON value has one place where it breaks; nothing after it can be trusted.
"""

from __future__ import annotations

import re
import tempfile
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xstilts.checking.findings import BadRow
from xstilts.data.files import json_lines, suffix
from xstilts.data.pairs import NLI_LABELS, PARAPHRASE_LABELS, damaged_rows
from xstilts.data.squad import lost_answers
from xstilts.data.tables import header, header_rows
from xstilts.errors import XstiltsError
from xstilts.outside import MOST_BYTES, read_bytes
from xstilts.task_types import Classification, Span
from xstilts.tasks.folder import count_rows, read_examples
from xstilts.tasks.task import Task

MAX_BAD_ROWS = 20
"""A file with more bad rows is not a file with bad rows: it is another file. Reading stops there and says so."""

_PLACE = re.compile(r"(?P<file>.*):(?P<line>\d+)\Z", re.DOTALL)
_LABEL_COLUMNS = ("gold_label", "label")


@dataclass
class Reading:
    """What was read of one part.

    ``fingerprints`` holds, for each row, a hash of the text that must not be in both training and test rows; ``questions``
    one of context and question, for spans only. Hashes have 64 bits and hold within one process.
    """

    rows: int = 0
    with_gold: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    fingerprints: array[int] = field(default_factory=lambda: array("q"))
    questions: array[int] = field(default_factory=lambda: array("q"))


def read_part(task: Task, files: Sequence[Path], gold_files: Sequence[Path], language: str) -> Reading:
    """Read every row of ``files``, collecting bad rows instead of stopping at the first.

    A bad gold file is a finding, too; the rows are then counted without it. Gold files are in step with the text, so they
    are left alone once a line of the text was found bad.
    """
    bad_rows: list[BadRow] = []
    with tempfile.TemporaryDirectory() as scratch:
        mended = Mended(tuple(files), Path(scratch))
        gold = tuple(gold_files)
        while True:
            try:
                reading = _read(task, mended.current, gold, language)
                break
            except XstiltsError as error:
                bad = BadRow(mended.name(error.where), error.what)
                bad_rows += [bad] if bad not in bad_rows else []
                if len(bad_rows) == MAX_BAD_ROWS:
                    bad_rows.append(BadRow(bad_rows[-1].where, f"{MAX_BAD_ROWS} bad rows: reading stopped here"))
                elif mended.blank(error.where) or gold:
                    gold = ()
                    continue
                reading = Reading(rows=_readable_rows(task, mended.current, language))
                break
    reading.bad_rows = bad_rows
    return reading


def _read(task: Task, files: tuple[Path, ...], gold: tuple[Path, ...], language: str) -> Reading:
    examples, kind = read_examples(task, files, language, gold), task.type
    reading = Reading(count_rows(examples), count_rows([e for e in examples if kind.gold(e) is not None]))
    if kind.head is not None:  # retrieval has no training rows
        reading.fingerprints.extend(hash(kind.fingerprint(example)) for example in examples)
    if isinstance(kind, Span):
        reading.questions.extend(hash((e.context.strip(), e.question.strip())) for e in examples)
    return reading


def _readable_rows(task: Task, files: tuple[Path, ...], language: str) -> int:
    """Rows before the first bad one."""
    rows = 0
    try:
        for example in task.read(files, language):
            rows += count_rows([example])
    except XstiltsError:
        pass
    return rows


class Mended:
    """The files of a part, some replaced by copies in which bad lines are blank.

    Args:
        files: the real files.
        scratch: an empty folder for the copies.
    """

    def __init__(self, files: tuple[Path, ...], scratch: Path) -> None:
        self.originals, self.scratch = files, scratch
        self.current = files
        self.blanked: set[tuple[int, int]] = set()

    def _find(self, where: str) -> tuple[int, int] | None:
        """Which file, counted from 0, and which line a place names; ``None`` if it names no line of one of them."""
        place = _PLACE.match(where)
        names = [str(path) for path in self.current]
        return (names.index(place["file"]), int(place["line"])) if place and place["file"] in names else None

    def name(self, where: str) -> str:
        """The place with the real files' names."""
        for copy, original in zip(self.current, self.originals, strict=True):
            where = where.replace(str(copy), str(original))
        return where

    def blank(self, where: str) -> bool:
        """Make the line at ``where`` blank; ``False`` if that cannot be or did not help."""
        found = self._find(where)
        if found is None or found in self.blanked:
            return False
        index, line = found
        path = self.current[index]
        if suffix(path) == ".json":
            return False
        try:
            content = read_bytes(path, MOST_BYTES)
        except (OSError, EOFError, zlib.error):
            return False
        rows = content.split(b"\n")
        if line > len(rows):
            return False
        rows[line - 1] = b""
        folder = self.scratch / str(index)
        folder.mkdir(exist_ok=True)
        copy = folder / path.name.removesuffix(".gz")
        copy.write_bytes(b"\n".join(rows))
        self.blanked.add((index, line))
        self.current = (*self.current[:index], copy, *self.current[index + 1 :])
        return True


def unlabelled_rows(task: Task, files: Sequence[Path]) -> int:
    """How many rows the readers drop.

    NLI rows without a majority label (``-``: 785 in SNLI's train split; FACTS 1.1); damaged rows of XTREME's translations.
    """
    if isinstance(task.type, Span):
        return sum(map(lost_answers, files))
    labels = set(task.type.labels) if isinstance(task.type, Classification) else set()
    count = {frozenset(NLI_LABELS): _unlabelled, frozenset(PARAPHRASE_LABELS): damaged_rows}.get(frozenset(labels))
    return sum(map(count, files)) if count else 0


def _unlabelled(path: Path) -> int:
    if suffix(path) == ".jsonl":
        return sum("-" in (row.get(column) for column in _LABEL_COLUMNS) for _, row in json_lines(path))
    names = header(path)
    columns = [c for c in _LABEL_COLUMNS if c in names]
    if "sentence1" not in names or not columns:  # a table without a header: XTREME's own files hold labelled rows only
        return 0
    return sum(fields[:1] == ["-"] for _, fields in header_rows(path, columns[:1]))
