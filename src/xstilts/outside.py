"""Bytes from outside: of plain files only, only so many, decoded and parsed; else an ``OSError`` or a ``ValueError``.

Who reads a format turns these two into an error of its own that says where. What is kept out here: pipes and devices, on
which a reader would wait for ever; gzip bombs; nesting and numbers that exhaust the parser; half a surrogate pair, which no
file can hold as UTF-8.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 2**29
"""Of a file that is read whole: several times the largest published one."""
MOST_RECORD_BYTES = 2**26
"""Of a configuration or a record, where thousands are large."""
_FREE_BYTES = 2**24
_RATIO = 250
"""No text packs better; a bomb packs 1000 to 1. The first ``_FREE_BYTES`` are not asked for it."""
_KINDS: Mapping[int, str] = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def open_plain(path: Path) -> io.BufferedReader:
    """The bytes of a plain file, or of a link to one.

    Raises:
        OSError: it is not there, cannot be read, or is no plain file; the kind is named.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a NUL or half a surrogate pair in the name
        raise OSError(errno.EINVAL, f"no file can have this name: {error}", repr(str(path))) from None
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind != stat.S_IFREG:
        os.close(handle)
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a plain file", str(path))
    return os.fdopen(handle, "rb")


def open_bytes(path: Path) -> io.BufferedReader:
    """The bytes of a plain file, unpacked where its name ends in ``.gz``.

    Raises:
        OSError: as ``open_plain``; while reading, ``gzip.BadGzipFile`` where it unpacks to more than text can.
    """
    plain = open_plain(path)
    return io.BufferedReader(_Unpacked(plain), 2**17) if path.suffix == ".gz" else plain


class _Unpacked(io.RawIOBase):
    """A gzip file that ends in an error where it grows as no text does."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._packed, self._gzip = packed, gzip.GzipFile(fileobj=packed)
        self._most = max(_FREE_BYTES, _RATIO * os.fstat(packed.fileno()).st_size)
        self._done = 0

    def readable(self) -> bool:
        """As a stream must say."""
        return True

    def readinto(self, into: Any) -> int:
        """Fill ``into``; the number of bytes."""
        count = self._gzip.readinto(into)
        self._done += count
        if self._done > self._most:
            raise gzip.BadGzipFile(f"it unpacks to more than {_RATIO} times its size, as no text does")
        return count

    def close(self) -> None:
        """Close the file, too."""
        self._gzip.close()
        self._packed.close()
        super().close()


def read_bytes(path: Path, most: int = MOST_RECORD_BYTES) -> bytes:
    """All of a plain file, unpacked where its name ends in ``.gz``.

    Raises:
        OSError: it cannot be read, or has more than ``most`` bytes.
    """
    with open_bytes(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return content


def parse_json(text: str | bytes) -> Any:
    """A JSON value of UTF-8 text.

    Raises:
        ValueError: it is none (``json.JSONDecodeError`` has the place), nests too deep, or holds a number of thousands of
            digits or half a surrogate pair.
    """
    text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it nests too deep") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which is no character") from None
    return value


def read_json(path: Path, most: int = MOST_RECORD_BYTES) -> Any:
    """The value in a JSON file.

    Raises:
        OSError, ValueError: as ``read_bytes`` and ``parse_json``.
    """
    return parse_json(read_bytes(path, most))


def read_object(path: Path, most: int = MOST_RECORD_BYTES) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError, ValueError: as ``read_json``; or it is another value.
    """
    value = read_json(path, most)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value
