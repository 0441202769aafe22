"""Whether finished nodes are what was committed; what is not is named, set aside and made again, with all that came of it."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Graph

if TYPE_CHECKING:
    from xstilts.graph.store import Store

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


@dataclass(frozen=True)
class Damage:
    """A damaged node, and where it lies now.

    Args:
        error: what is wrong with it.
        aside: its folder, for those who want to look.
        fell: keys of the finished nodes that were made from it and were set aside, too.
    """

    error: DamagedNodeError
    aside: Path
    fell: tuple[str, ...]


def set_damaged_aside(graph: Graph, store: Store, wanted: Collection[str] | None) -> list[Damage]:
    """Look at every finished node that ``wanted`` or a node that must run for it reads; move away what is damaged.

    So a run begins from whole nodes only, and makes again what is missing then.
    """
    found: list[Damage] = []
    known = {node.key: node.as_json() for node in graph}
    while bad := [error for key in _read_by(graph, store, wanted) if (error := _damage_of(store, key))]:
        for error in bad:
            # It may have gone with one of the others; or another driver, which looked at the same time, has made it anew.
            if _damage_of(store, error.key):
                fell = [key for key in made_from(store, error.key, known) if store.has(key)]
                for key in fell:
                    store.set_aside(key)
                found.append(Damage(error, store.set_aside(error.key), tuple(fell)))
    return found


def _read_by(graph: Graph, store: Store, wanted: Collection[str] | None) -> Iterable[str]:
    """Finished nodes that are wanted themselves, and finished parents of those that must run."""
    asked = set(graph.by_key if wanted is None else wanted)
    read: dict[str, None] = {}
    for key, node in reversed(graph.by_key.items()):
        if key in asked:
            if store.has(key):
                read[key] = None
            else:
                asked.update(node.parents.values())
    read.update(dict.fromkeys(key for key in asked - graph.by_key.keys() if store.has(key)))
    return read


def _damage_of(store: Store, key: str) -> DamagedNodeError | None:
    """What is wrong with a finished node; ``None`` also when it is not there, or not any more."""
    try:
        store.verify_once(key)
    except DamagedNodeError as error:
        return error if store.has(key) else None
    except MissingNameError:
        return None
    return None


def made_from(store: Store, key: str, known: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
    """Keys of all nodes of the store, or ``known`` beside it, that were made from ``key``; parents first.

    A node whose own record is damaged is passed over: nobody can tell what it was made from.
    """
    children: dict[str, list[str]] = {}
    for each, record in [*(known or {}).items(), *((k, _record(store, k)) for k in store if k != key)]:
        for parent in record.get("parents", {}).values():
            children.setdefault(parent, []).append(each)
    found: dict[str, None] = {}
    level = [key]
    while level:
        level = sorted({child for each in level for child in children.get(each, ())} - found.keys() - {key})
        found.update(dict.fromkeys(level))
    return list(found)


def _record(store: Store, key: str) -> Mapping[str, Any]:
    try:
        return store.record(key)
    except DamagedNodeError:
        return {}
