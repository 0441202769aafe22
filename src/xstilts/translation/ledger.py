"""Translations as they come, on disk: a kill loses at most one batch, and nothing half-written is taken for whole.

The first line says what is translated and by what; every other line is one text's translation. A line counts when its line
end is there; what follows the last line end was torn off by a kill and is cut away.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from xstilts.errors import TranslationError
from xstilts.graph.disk import explain, guarded
from xstilts.outside import parse_json
from xstilts.translation.engine import Translation


class Ledger:
    """``with Ledger(path, what) as ledger``: ``ledger.done`` maps a text's number to its translation.

    Args:
        path: the file; it is made where it is not there.
        what: identifies the work; a file of other work is refused.

    Raises:
        TranslationError: the file is of other work, is damaged, or another process has it.
    """

    def __init__(self, path: Path, what: Mapping[str, Any]) -> None:
        self.path, self.what = path, dict(what)
        self.done: dict[int, Translation] = {}

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with guarded(self.path):
            self._file: IO[bytes] = self._opened()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise TranslationError("another process is at work on this translation", where=str(self.path)) from None
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, translations: Iterable[tuple[int, Translation]]) -> None:
        """Keep a batch: it is on the disk when this returns."""
        found = dict(translations)
        rows = ({"n": n, "text": t.text, "unknown": t.unknown, "fits": t.fits} for n, t in found.items())
        self._write(rows)
        self.done |= found

    def _opened(self) -> IO[bytes]:
        if self.path.exists() and not self.path.is_file():
            raise self._refused("this is no plain file")
        try:
            return self.path.open("a+b")
        except OSError as error:
            if explain(error, self.path):
                raise
            raise self._refused(f"this file cannot be used: {error.strerror}") from None

    def _read(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        if not whole:
            self._write([self.what])
            return
        lines = content[:whole].splitlines()
        try:
            first, *rows = map(parse_json, lines)
            self.done = dict(map(_translation, rows))
        except (ValueError, KeyError, TypeError):
            raise self._refused("this file is damaged") from None
        if first != json.loads(json.dumps(self.what)):
            raise self._refused("a translation of other rows, by another engine or with other settings was begun here")

    def _refused(self, what: str) -> TranslationError:
        return TranslationError(what, where=str(self.path), hint=f"go on with that one, or remove it: rm {self.path}")

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with guarded(self.path):
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())


def _translation(row: Mapping[str, Any]) -> tuple[int, Translation]:
    number, text, unknown, fits = row["n"], row["text"], row["unknown"], row["fits"]
    if (type(number), type(text), type(fits)) != (int, str, bool) or type(unknown) not in (int, type(None)):
        raise ValueError("a value of another kind")
    return number, Translation(text, unknown, fits)
