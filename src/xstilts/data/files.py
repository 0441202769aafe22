"""Opening data files: UTF-8 with or without a byte-order mark, gzip by suffix, LF or CRLF, and errors that say where."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from xstilts.errors import DataError


def place(path: Path, line: int | None = None) -> str:
    """``path:line``, the form in which every data error says where."""
    return f"{path}" if line is None else f"{path}:{line}"


def suffix(path: Path) -> str:
    """The file's suffix without ``.gz``: ``.tsv`` for ``test-en.tsv.gz``."""
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """``(line number from 1, text without its line end)``; only LF and CRLF end a line.

    Raises:
        DataError: missing or empty file, damaged gzip, bytes that are not UTF-8 (with the line).
    """
    number = 0
    try:
        with _open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n") as text:
            for number, line in enumerate(text, start=1):
                if line.endswith("\n"):
                    line = line[:-2] if line.endswith("\r\n") else line[:-1]
                yield number, line
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged gzip file: {error}", where=place(path, number + 1)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if number == 0:
        raise DataError("the file is empty", where=place(path))


def load_json(path: Path) -> Any:
    """The value of a JSON file; a truncated or damaged one raises ``DataError`` with line, column and character."""
    try:
        with _open_bytes(path) as raw:
            text = raw.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged gzip file: {error}", where=place(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not text.strip():
        raise DataError("the file is empty", where=place(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise DataError(
            f"not valid JSON: {problem} at line {error.lineno} column {error.colno} (character {error.pos} of {len(text)})",
            where=place(path, error.lineno),
            hint="a download that was cut off looks like this: get the file again",
        ) from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number, object)`` of a file with one JSON object a line; blank lines are passed over."""
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"not valid JSON: {error.msg} at column {error.colno}", where=place(path, number)
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"expected a JSON object, found {type(row).__name__}", where=place(path, number))
        yield number, row


def require(row: Any, key: str, path: Path, line: int | None) -> Any:
    """``row[key]``; a ``DataError`` if ``row`` is no object, or names the missing key and the ones that are there."""
    if not isinstance(row, dict):
        raise DataError(f"expected an object with {key!r}, found {_kind(row)}", where=place(path, line))
    if key not in row:
        raise DataError(f"missing key {key!r}; the object has {sorted(row)}", where=place(path, line))
    return row[key]


def require_text(row: Any, key: str, path: Path, line: int | None) -> str:
    """``row[key]``, which must be a string."""
    value = require(row, key, path, line)
    if not isinstance(value, str):
        raise DataError(f"{key!r} must be a string, found {value!r}", where=place(path, line))
    return value


def require_list(row: Any, key: str, path: Path, line: int | None) -> list[Any]:
    """``row[key]``, which must be a list."""
    value = require(row, key, path, line)
    if not isinstance(value, list):
        raise DataError(f"{key!r} must be a list, found {_kind(value)}", where=place(path, line))
    return value


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(value), repr(value))


def _open_bytes(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read the file: {error.strerror or error}", where=place(path))


def _not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    """Text files are decoded in blocks, so the line is looked for again, in bytes."""
    with _open_bytes(path) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as bad:
                found = line[bad.start : bad.end]
                return DataError(f"byte {bad.start + 1} of the line is not UTF-8: {found!r}", where=place(path, number))
    return DataError(f"not UTF-8: {error.reason}", where=place(path))
