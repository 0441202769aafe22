"""Tab-separated tables: published ones with a header and no quoting, and XTREME's without a header, quoted by ``csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from xstilts.data.files import lines, place
from xstilts.errors import DataError


def header(path: Path) -> list[str]:
    """The first line's columns."""
    for _, line in lines(path):
        return line.split("\t")
    return []


def header_rows(path: Path, columns: Sequence[str | None]) -> Iterator[tuple[int, list[str | None]]]:
    """``(line number, the wanted columns)`` of a table with a header; a ``None`` column gives ``None``.

    Rows may end early, as MultiNLI's and SNLI's train rows do after their first label, as long as the wanted columns are
    there; a column that is not gives an empty list, and the caller decides.
    """
    reading = lines(path)
    names = next(reading)[1].split("\t")
    where = [None if c is None else _index(names, c, path) for c in columns]
    last = max(k for k in where if k is not None)
    for number, line in reading:
        if not line:
            continue
        fields = line.split("\t")
        yield number, [None if k is None else fields[k] for k in where] if len(fields) > last else []


def rows_with_header(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """``(line number, {column: text})`` of a table with a header; other columns and blank lines are passed over.

    Raises:
        DataError: the header lacks one of ``columns`` (line 1), or a row ends before one of them (its line).
    """
    for number, fields in header_rows(path, columns):
        if not fields:
            raise missing_column(path, number, columns)
        yield number, {column: text for column, text in zip(columns, fields, strict=True) if text is not None}


def missing_column(path: Path, line: int, columns: Sequence[str | None]) -> DataError:
    """The error for a row that ends before a wanted column."""
    wanted = ", ".join(repr(c) for c in columns if c)
    return DataError(f"missing column: the row ends before one of {wanted}", where=place(path, line))


def quoted_rows(path: Path, widths: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """``(first line number, fields)`` of a tab-separated table without a header, quoted as Python's ``csv`` writes it.

    Every row has as many fields as the first, and that is one of ``widths``; fields may hold line breaks.
    """
    width = None
    for number, fields in csv_records(path, "\t"):
        width = len(fields) if width is None and len(fields) in widths else width
        if len(fields) != width:
            expected = width or " or ".join(map(str, widths))
            problem = "missing column: " if len(fields) < max(widths) else ""
            raise DataError(f"{problem}{len(fields)} columns, expected {expected}", where=place(path, number))
        yield number, fields


def csv_records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """``(first line number, fields)`` of each record; quoted fields may hold line breaks, blank lines are passed over."""
    at = [0]

    def feed() -> Iterator[str]:
        for number, line in lines(path):
            at[0] = number
            yield line + "\n"

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    start = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"broken quoting in the row that starts here: {error}",
                where=place(path, start),
                hint='a field that holds a quote mark is written "like ""this"""',
            ) from error
        if fields is None:
            return
        if fields:
            yield start, fields
        start = at[0] + 1


def _index(names: Sequence[str], column: str, path: Path) -> int:
    if column not in names:
        raise DataError(f"missing column {column!r}; the header has {list(names)}", where=place(path, 1))
    return names.index(column)
