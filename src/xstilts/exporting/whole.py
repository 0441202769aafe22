"""A folder that appears whole or not at all: written aside, flushed, renamed once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xstilts.errors import StoreError
from xstilts.graph.disk import aside, guarded, settle, sync_folder


def check_place(to: Path) -> None:
    """Refuse a folder that cannot be made, before any work is done.

    Raises:
        StoreError: it is there already, or the folder it would lie in is not, or may not be written.
    """
    where = f"--to {to}"
    if to.exists() or to.is_symlink():
        raise StoreError("this is there already, and nothing is overwritten", where=where, hint="name a new folder")
    if not to.absolute().parent.is_dir():
        raise StoreError("the folder it would lie in is not there", where=where)
    if not os.access(to.absolute().parent, os.W_OK):
        raise StoreError("no permission to write here", where=where)


@contextmanager
def whole_folder(to: Path) -> Iterator[Path]:
    """An empty folder beside ``to`` that becomes ``to`` at the end; after an error nothing is left of it."""
    check_place(to)
    to = to.absolute()
    fresh = aside(to)
    try:
        with guarded(to):
            fresh.mkdir()
            yield fresh
            readable = fresh.stat().st_mode & 0o666  # as new files are here: weights are made for their owner alone
            for path in sorted(fresh.rglob("*")):
                if path.is_file():
                    path.chmod(readable)
                    settle(path)
                else:
                    sync_folder(path)
            sync_folder(fresh)
            check_place(to)
            fresh.rename(to)
            sync_folder(to.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
