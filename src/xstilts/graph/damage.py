"""Whether the files of a finished node are what was committed."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from xstilts.errors import StoreError
from xstilts.graph.disk import digest_file

OF_THE_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EFBIG, errno.EIO)
"""Errors that say something of a file: it is gone, is another thing, or the disk has lost it."""
Level = Literal["digests", "sizes"]
"""How closely a node is looked at before it is used: every byte is read, or every file is there in its size."""


class DamagedNodeError(StoreError):
    """A file of a finished node is not what was committed.

    Args:
        key: of the node.
        path: the file.
        expected: what was committed.
        found: what is there.
    """

    def __init__(self, key: str, path: Path, expected: str, found: str) -> None:
        self.key = key
        root = next((p.parents[2] for p in path.parents if p.name == key), path)
        super().__init__(
            f"node {key[:12]} is damaged: {path.name}: expected {expected}, found {found}",
            where=str(path),
            hint=f"`xstilts clean --store {root} --node {key[:12]} --yes` removes it with all that was made from it; "
            "`xstilts run` with its study makes it again, and sets aside by itself what it would have to read",
        )


def check(key: str, folder: Path, files: Mapping[str, Mapping[str, Any]], level: Level) -> None:
    """Compare the files of a node with what ``files.json`` promises.

    Raises:
        DamagedNodeError: one is missing, cannot be read, or is not what was committed.
    """
    for name, promised in files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != promised["bytes"]:
                raise DamagedNodeError(key, path, f"{promised['bytes']} bytes", f"{size}")
            found = digest_file(path) if level == "digests" else promised["sha256"]
        except OSError as error:
            refuse_unread(error, path)
            raise DamagedNodeError(key, path, "a readable file", error.strerror or str(error)) from error
        except (KeyError, TypeError) as error:
            raise DamagedNodeError(
                key, folder / "files.json", "size and digest of every file", f"{promised}"
            ) from error
        if found != promised["sha256"]:
            raise DamagedNodeError(key, path, f"sha-256 {promised['sha256']}", found)


def refuse_unread(error: BaseException | None, path: Path) -> None:
    """Notice that a file could not be read for a reason that is not its own: nobody knows whether it is damaged.

    Raises:
        StoreError: no permission, too many open files, a server that does not answer ...
    """
    if isinstance(error, OSError) and error.errno not in OF_THE_FILE:
        raise StoreError(
            f"cannot be read: {error.strerror or error}",
            where=str(path),
            hint="this says nothing of what is in it, so its node is left as it is",
        ) from error
