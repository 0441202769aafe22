"""Rows of somebody's own file, one by one: a bad row is a row with a problem, so that the caller decides what it means.

Only LF and CRLF end a line, a byte-order mark is passed over, and blank lines at the end do not count. A blank line
between rows is a bad row: leaving it out would shift every row after it.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from xstilts.data.files import suffix
from xstilts.errors import DataError
from xstilts.outside import open_bytes
from xstilts.own_text.rows import FORMATS, Form, form_for
from xstilts.task_types import TaskType

MAX_BYTES = 2**22
"""The longest row that is read. It bounds memory; a longer one is a bad row."""
CHUNK_ROWS = 1024
"""Rows that go through the model together, sorted by length among themselves."""

GIVEN = "rows"
"""What rows given in Python are called in errors."""

Line = tuple[int, str, str]
"""``(number from 1, text, problem)``; the problem is empty for a good line."""


class Stream(Protocol):
    """Bytes seen from here."""

    def readline(self, size: int, /) -> bytes:
        """The next line, at most ``size`` bytes of it; empty at the end."""

    def isatty(self) -> bool:
        """Whether somebody types it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input: an example, or why it is none."""

    line: int
    example: Any
    problem: str = ""
    size: int = 0  # bytes, about


@contextmanager
def opened(file: str, hint: str = "") -> Iterator[tuple[str, Stream]]:
    """``(name in errors, bytes)`` of a file, gzip by suffix, or of standard input for ``-``.

    Args:
        file: its name.
        hint: what helps who did not mean a file.

    Raises:
        DataError: it cannot be opened, or its gzip is damaged.
    """
    if file == "-":
        yield "standard input", sys.stdin.buffer
        return
    path = Path(file)
    try:
        with open_bytes(path) as stream:
            yield file, stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged gzip file: {error}", where=file) from error
    except OSError as error:
        if error.filename not in (str(path), repr(str(path))):  # what the caller does with the rows can fail, too
            raise
        if "a pipe" in str(error.strerror):
            hint = "a pipe is read as standard input: name it -"
        raise DataError(f"cannot read the file: {error.strerror or error}", where=file, hint=hint) from error


def format_of(file: str, wanted: str | None, stream: Stream, where: str = "") -> tuple[str, Stream]:
    """The format asked for, else the one of the file's suffix; standard input is told from its first line.

    There a ``{`` begins JSON lines, a tab makes it a table, and everything else is plain text.

    Returns:
        the format, and the stream from its beginning.

    Raises:
        DataError: there is no such format, or standard input is empty.
    """
    if wanted is None and file != "-":
        wanted = suffix(Path(file)).removeprefix(".")
    if wanted is not None:
        if wanted not in FORMATS:
            raise DataError(
                f"unknown format {wanted!r}", where=file, hint=f"name one of {', '.join(FORMATS)} with --format"
            )
        return wanted, stream
    first = stream.readline(MAX_BYTES)
    if not first:
        raise _empty(where)
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "jsonl" if start.startswith(b"{") else "tsv" if b"\t" in first else "txt", _Again(first, stream)


class _Again:
    """A stream whose first line was read already."""

    def __init__(self, first: bytes, rest: Stream) -> None:
        self._first, self._rest = first, rest

    def readline(self, size: int, /) -> bytes:
        """The next line, at most ``size`` bytes of it."""
        if not self._first:
            return self._rest.readline(size)
        line, self._first = self._first[:size], self._first[size:]
        return line

    def isatty(self) -> bool:
        """Whether somebody types it."""
        return self._rest.isatty()


def lines(stream: Stream) -> Iterator[Line]:
    """Lines without their ends; one that is no UTF-8 or too long has a problem instead of a text."""
    number = 0
    while raw := stream.readline(MAX_BYTES + 2):
        number += 1
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if not raw.endswith(b"\n") and len(raw) > MAX_BYTES:
            while (rest := stream.readline(MAX_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, "", f"the row is longer than {MAX_BYTES:,} bytes"
            continue
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield number, raw.decode("utf-8"), ""
        except UnicodeDecodeError as error:
            yield number, "", f"byte {error.start + 1} of the line is not UTF-8: {raw[error.start : error.end]!r}"


def read_rows(found: Iterable[Line], form: Form, name: str) -> Iterator[Row]:
    """Each line, or each sentence of ``conll``, as an example of ``form``.

    Raises:
        DataError: there is no row at all.
    """
    count = 0
    for line, text, problem, size in _sentences(found) if form.format == "conll" else _no_blanks_at_the_end(found):
        count += 1
        example = None
        if not problem:
            try:
                example = form.example(text)
            except ValueError as error:
                problem = str(error)
        yield Row(line, example, problem, size)
    if not count:
        raise _empty(name)


def own_rows(
    source: str | Path | Iterable[Any],
    task_type: TaskType | None,
    *,
    format: str | None = None,
    pairs: bool = False,
    gold: bool = False,
    name: str = GIVEN,
) -> Iterator[Row]:
    """The rows of a file, numbered by line, or rows given in Python, numbered from 0: see ``form_for``.

    Args:
        source: a file or rows.
        task_type, format, pairs, gold: see ``form_for``; the format of a file is that of its suffix by default.
        name: of rows given in Python, in errors.

    Raises:
        DataError: there is no such file, it is of another format, there is no row at all, or what was given would be read
            by its columns: a mapping, a table.
    """
    if isinstance(source, Mapping) or hasattr(source, "columns"):
        raise DataError(
            f"a {type(source).__name__} is not read row by row",
            where=name,
            hint="one row stands in a list: [row]; a table's rows are frame.to_dict('records')",
        )
    if isinstance(source, str | Path):
        with opened(str(source), "one text that is no file stands in a list: [text]") as (file, stream):
            found, stream = format_of(str(source), format, stream, file)
            form = form_for(task_type, found, where=file, pairs=pairs, gold=gold)
            yield from read_rows(lines(stream), form, file)
        return
    form, count = form_for(task_type, "", where=name, pairs=pairs, gold=gold), 0
    for count, row in enumerate(source, 1):
        try:
            yield Row(count - 1, form.example(row), size=len(str(row)))
        except ValueError as error:
            yield Row(count - 1, None, str(error))
    if not count:
        raise DataError("there is no row", where=name)


def own_examples(
    source: str | Path | Iterable[Any], task_type: TaskType, *, pairs: bool, name: str = GIVEN
) -> list[Any]:
    """All rows of a file or given in Python with their gold; an example's id is its number.

    Raises:
        DataError: as ``own_rows``; the first bad row.
    """
    found = []
    for row in own_rows(source, task_type, pairs=pairs, gold=True, name=name):
        if row.problem:
            raise DataError(row.problem, where=place(source, row.line, name))
        found.append(replace(row.example, id=str(row.line)))
    return found


def place(source: object, line: int, name: str = GIVEN) -> str:
    """Where a row is: ``file:line``, or ``rows[number]`` of those given in Python."""
    return f"{source}:{line}" if isinstance(source, str | Path) and source != GIVEN else f"{name}[{line}]"


def _empty(where: str) -> DataError:
    return DataError("the file is empty: there is no row to read", where=where)


Block = tuple[int, str, str, int]


def _no_blanks_at_the_end(found: Iterable[Line]) -> Iterator[Block]:
    last = 0
    for number, text, problem in found:
        if not problem and not text.strip():
            continue
        for blank in range(last + 1, number):
            yield blank, "", "the row is empty", 0
        last = number
        yield number, text, problem, len(text)


def _sentences(found: Iterable[Line]) -> Iterator[Block]:
    """Runs of lines with text; a problem of one line is one of its sentence."""
    block: list[str] = []
    start = size = 0
    problem = ""
    for number, text, wrong in found:
        if wrong or text.strip():
            start = start or number
            size += len(text) + 1
            problem = problem or (f"line {number}: {wrong}" if wrong else "")
            if size > MAX_BYTES:
                problem = problem or f"the sentence is longer than {MAX_BYTES:,} bytes"
            if not problem:
                block.append(text)
        elif start:
            yield start, "\n".join(block), problem, size
            block, start, size, problem = [], 0, 0, ""
    if start:
        yield start, "\n".join(block), problem, size


def chunks(rows: Iterable[Row], most: int = CHUNK_ROWS, most_bytes: float = MAX_BYTES) -> Iterator[list[Row]]:
    """At most ``most`` rows and about ``most_bytes`` of text at a time."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) == most or size + row.size > most_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row.size
    if chunk:
        yield chunk
