"""The digests of input files, remembered: gigabytes of data must not be read again at every planning."""

from __future__ import annotations

import time
from pathlib import Path

from xstilts.errors import DataError, StoreError
from xstilts.graph.disk import digest_file, guarded, read_json, write_json
from xstilts.graph.node import canonical, sha256_text

FRESH_NS = 2_000_000_000
"""A file changed less than this before it was read may change again under the same time stamp: not remembered."""


class Digests:
    """SHA-256 of files by (path, size, mtime in ns, inode): any of them changed, the file is read again.

    Args:
        path: the JSON file that remembers; made by ``save``. One that is not what was written, by its own digest, is
            rebuilt: it holds nothing but a saving.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._load()
        self._new: dict[str, list[int | str]] = {}

    def _load(self) -> dict[str, list[int | str]]:
        try:
            record = read_json(self.path)
            known: dict[str, list[int | str]] = record["files"]
            return known if sha256_text(canonical(known)) == record["sha256"] else {}
        except (FileNotFoundError, StoreError, KeyError, TypeError):
            return {}

    def digest(self, path: Path | str) -> str:
        """SHA-256 of the file at ``path``.

        Raises:
            DataError: there is no such file, it cannot be read, or it changes meanwhile.
        """
        place = Path(path).resolve()
        stamp = _stamp(place)
        entry = self._known.get(str(place))
        if isinstance(entry, list) and len(entry) == 4 and entry[:3] == stamp:
            return str(entry[3])
        started = time.time_ns()
        try:
            digest = digest_file(place)
        except OSError as error:
            raise _unreadable(place, error) from error
        if _stamp(place) != stamp:
            raise DataError("the file changes while it is being read", where=str(place), hint="wait for its writer")
        if started - stamp[1] > FRESH_NS:
            self._known[str(place)] = self._new[str(place)] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Write what was learnt, whole or not at all; what another process saved meanwhile is kept."""
        if not self._new:
            return
        with guarded(self.path):
            known = {**self._load(), **self._new}
            write_json(self.path, {"files": known, "sha256": sha256_text(canonical(known))}, compact=True)
        self._new = {}


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("no such file", where=str(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read the file: {error.strerror or error}", where=str(path))
