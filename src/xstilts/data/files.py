"""Opening data files: UTF-8 with or without a byte-order mark, gzip by suffix, LF or CRLF, and errors that say where."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xstilts.errors import DataError
from xstilts.outside import MOST_BYTES, open_bytes, parse_json, read_bytes

MOST_LINE_BYTES = 2**24
"""The longest line that is read. It bounds memory."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def place(path: Path, line: int | None = None) -> str:
    """``path:line``, the form in which every data error says where."""
    return f"{path}" if line is None else f"{path}:{line}"


def suffix(path: Path) -> str:
    """The file's suffix without ``.gz``: ``.tsv`` for ``test-en.tsv.gz``."""
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """``(line number from 1, text without its line end)``; only LF and CRLF end a line.

    Raises:
        DataError: missing or empty file, no plain file, damaged gzip; a line that is too long or not UTF-8 (its number).
    """
    number = 0
    try:
        with open_bytes(path) as raw:
            while line := raw.readline(MOST_LINE_BYTES + 2):
                if not number and not (line := line.removeprefix(_BYTE_ORDER_MARK)):
                    break
                number += 1
                line = line.removesuffix(b"\n").removesuffix(b"\r") if line.endswith(b"\n") else line
                if len(line) > MOST_LINE_BYTES:
                    raise DataError(f"the line is longer than {MOST_LINE_BYTES:,} bytes", where=place(path, number))
                yield number, line.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(path, number, error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged gzip file: {error}", where=place(path, number + 1)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if number == 0:
        raise DataError("the file is empty", where=place(path))


def load_json(path: Path) -> Any:
    """The value of a JSON file; a truncated or damaged one raises ``DataError`` with line, column and character."""
    try:
        raw = read_bytes(path, MOST_BYTES)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, raw.count(b"\n", 0, error.start) + 1, error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged gzip file: {error}", where=place(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not text.strip():
        raise DataError("the file is empty", where=place(path))
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise DataError(
            f"not valid JSON: {problem} at line {error.lineno} column {error.colno} (character {error.pos} of {len(text)})",
            where=place(path, error.lineno),
            hint="a download that was cut off looks like this: get the file again",
        ) from error
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=place(path)) from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number, object)`` of a file with one JSON object a line; blank lines are passed over."""
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"not valid JSON: {error.msg} at column {error.colno}", where=place(path, number)
            ) from error
        except ValueError as error:
            raise DataError(f"not valid JSON: {error}", where=place(path, number)) from error
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


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read the file: {error.strerror or error}", where=place(path))


def _not_utf8(path: Path, number: int, error: UnicodeDecodeError) -> DataError:
    start = error.object.rfind(b"\n", 0, error.start) + 1
    found = error.object[error.start : error.end]
    return DataError(f"byte {error.start - start + 1} of the line is not UTF-8: {found!r}", where=place(path, number))
