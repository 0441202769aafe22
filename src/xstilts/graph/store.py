"""The store: a folder of finished nodes, each of which appeared whole by one rename.

    nodes/KK/KEY/        a finished node: its outputs, node.json (what it is and how it was made), files.json (digests)
    work/KEY/            claims of the node and what their attempts wrote (``lease``): the outputs so far, and the state of a
                         training in checkpoints/, which stays when the attempt is given up: the next one goes on from there
    failed/KEY.json      the last failure of a node
    damaged/KEY.N/       a node whose files changed after it was finished; it is made again
    studies/NAME.json    what was planned: the nodes of the graph and the caller's own ``cells``
    studies/replaced/    NAME.DIGEST.json: what another study of that name planned before
    logs/                what runs told while they ran (``xstilts.graph.log``); no result depends on it
    cache/digests.json   digests of input files; beside it what trainings share (``xstilts.kept_features``)

Several drivers, on several machines, may use one store at once: whatever changes hands does so by one rename.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from xstilts.errors import MissingNameError, NotFiniteError, StoreError, TrainingError
from xstilts.graph.claim import CACHE, ClaimLostError, NodeBusyError, lost
from xstilts.graph.damage import DamagedNodeError, Level, check, refuse_unread
from xstilts.graph.digests import Digests
from xstilts.graph.disk import (
    as_text,
    aside,
    digest_file,
    guarded,
    read_json,
    regular_files,
    settle,
    sync_folder,
    write_json,
    write_synced,
)
from xstilts.graph.failure import Failure
from xstilts.graph.heartbeat import LEASE_SECONDS
from xstilts.graph.lease import KEY, Leases
from xstilts.graph.node import Node
from xstilts.graph.owner import Owner
from xstilts.graph.records import not_a_failure, not_a_node, not_files, read_study, write_study

__all__ = ["ClaimLostError", "Digests", "Failure", "Level", "NodeBusyError", "Store", "digest_file"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = ("node.json", "files.json")
COMES_AGAIN = (TrainingError.__name__, NotFiniteError.__name__)


class Store:
    """The folder ``root``; made on the first write, so that a read-only store can be read.

    Args:
        root: the folder.
        level: how closely a finished node is looked at before it is used.
        lease_seconds: a driver on another machine that gave no sign of life for so long is taken for dead.
    """

    def __init__(self, root: Path | str, *, level: Level = "digests", lease_seconds: float = LEASE_SECONDS) -> None:
        self.root = Path(root).resolve()
        self.level = level
        self.leases = Leases(self.root / "work", lease_seconds)
        self._verified: set[str] = set()

    @cached_property
    def digests(self) -> Digests:
        """The remembered digests of input files."""
        return Digests(self.root / CACHE / "digests.json")

    # Finished nodes

    def path(self, key: str) -> Path:
        """Where the finished node lies or will lie."""
        return self.root / "nodes" / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether the node is finished: its folder is there, and a folder is only ever there whole."""
        return os.path.isdir(f"{self.root}/nodes/{key[:2]}/{key}")  # noqa: PTH112 - asked for thousands of nodes

    def keys(self) -> Iterator[str]:
        """Keys of all finished nodes, sorted."""
        return (p.name for p in sorted((self.root / "nodes").glob("??/*")) if KEY.fullmatch(p.name))

    __iter__ = keys

    def record(self, key: str) -> dict[str, Any]:
        """``node.json`` of a finished node: ``Node.as_json()`` and its ``attempt``."""
        return self._read(key, "node.json", lambda record: not_a_node({"attempt": {}, **record}, "attempt"))

    def files(self, key: str) -> dict[str, dict[str, Any]]:
        """Relative path -> ``{"sha256", "bytes"}`` of every file of a finished node, ``node.json`` among them."""
        return self._read(key, "files.json", not_files)

    def _read(self, key: str, name: str, wrong: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
        try:
            value: dict[str, Any] = read_json(self.path(key) / name)
        except FileNotFoundError as error:
            if not self.has(key):
                raise MissingNameError("node", key, (), where=str(self.root)) from error
            raise DamagedNodeError(key, self.path(key) / name, "the file", "nothing") from error
        except StoreError as error:
            refuse_unread(error.__cause__, self.path(key) / name)
            raise DamagedNodeError(key, self.path(key) / name, "JSON", error.what) from error
        if found := wrong(value) if isinstance(value, dict) else type(value).__name__:
            raise DamagedNodeError(key, self.path(key) / name, "what a store writes", found)
        return value

    def verify(self, key: str) -> None:
        """Look at every file of a finished node again, as closely as ``level`` says.

        Raises:
            DamagedNodeError: a file is missing, cannot be read, or is not what was committed.
        """
        check(key, self.path(key), self.files(key), self.level)
        self._verified.add(key)

    def verify_once(self, key: str) -> None:
        """``verify``, unless this process did so before or finished the node itself."""
        if key not in self._verified:
            self.verify(key)

    def set_aside(self, key: str) -> Path:
        """Move a finished node to ``damaged/``, where nothing looks for it; gives its folder there."""
        home = self.root / "damaged"
        with guarded(home, self.root):
            home.mkdir(parents=True, exist_ok=True)
            for number in itertools.count(1):
                place = home / f"{key}.{number}"
                if not place.exists():
                    with suppress(FileNotFoundError):  # another driver did it
                        self.path(key).rename(place)
                    break
        self._verified.discard(key)
        return place

    # Attempts

    def work(self, key: str) -> Path:
        """Folder of the node's claims and of what their attempts wrote."""
        return self.leases.work / key

    def begin(self, node: Node, *, writers: Sequence[int] = ()) -> Path:
        """Claim a node and give the empty folder its outputs go to.

        Of what earlier attempts left, only ``checkpoints`` stays; it lies beside the output folder.

        Args:
            node: what will run.
            writers: processes that will write there; the claim holds while one of them lives.

        Raises:
            NodeBusyError: another driver works on it.
            StoreError: it is finished already, or the disk refuses.
        """
        with guarded(self.work(node.key), self.root):
            self._refuse_finished(node)
            out = self.leases.begin(node, writers)
            try:
                self._refuse_finished(node)  # it may have been finished, and its claims removed, just before
            except StoreError:
                self.leases.release(node.key, keep_checkpoints=False)
                raise
        return out

    def _refuse_finished(self, node: Node) -> None:
        if self.has(node.key):
            raise StoreError(f"{node.title} is finished already", where=str(self.path(node.key)))

    def commit(self, node: Node, work: Path, attempt: Mapping[str, Any]) -> None:
        """Make the outputs in ``work`` (what ``begin`` gave) a finished node. All is on the disk before the rename.

        Raises:
            ClaimLostError: another driver took the node over, or finished it; its outputs stay and these go.
            StoreError: the disk refuses, or the outputs hold a link or a file with a name of the store's own.
        """
        home = self.path(node.key)
        with guarded(work, self.root):
            try:
                _settle(node, work, attempt)
            except FileNotFoundError:
                self.leases.check(node.key)  # outputs that vanish were taken away
                raise
            new = not home.parent.exists()
            home.parent.mkdir(parents=True, exist_ok=True)
            with self.leases.sealed(node.key):
                try:
                    work.rename(home)
                except OSError as error:
                    if self.has(node.key) or not work.exists():
                        raise lost(work) from error
                    raise
            sync_folder(home.parent)
            if new:
                sync_folder(home.parent.parent)
            self.leases.discard(self.work(node.key))
            self._failed(node.key).unlink(missing_ok=True)
        self._verified.add(node.key)

    def claims(self) -> list[str]:
        """Keys of the nodes that somebody works on or that left checkpoints, sorted."""
        return self.leases.claims()

    def owner(self, key: str) -> Owner | None:
        """Who works on the node; ``None`` when nobody does."""
        return self.leases.owner(key)

    def release(self, key: str, *, keep_checkpoints: bool = True) -> None:
        """Give up a claim that ``begin`` gave and drop its unfinished outputs; another driver's claim is left alone."""
        self.leases.release(key, keep_checkpoints=keep_checkpoints)

    def tidy(self) -> None:
        """Drop the claims of finished nodes: their driver died between the rename and this, or came too late."""
        for key in self.leases.folders():
            if self.has(key) and self.leases.state(key) != "live":
                self.leases.discard(self.work(key))

    # Failures

    def _failed(self, key: str) -> Path:
        return self.root / "failed" / f"{key}.json"

    def fail(self, node: Node, error: BaseException | Failure) -> None:
        """Record why the node failed and drop its outputs, if ``begin`` was reached: another driver's stay.

        Checkpoints stay, as more memory or a readable disk lets the next attempt go on; but not for a ``TrainingError``:
        each step is a function of the one before, so it would come again.

        Raises:
            ClaimLostError: another driver took the node over; the failure is no news of its attempt and not recorded.
            StoreError: the disk refuses.
        """
        self.leases.check(node.key)
        failure = error if isinstance(error, Failure) else Failure.of(error)
        path = self._failed(node.key)
        with guarded(path, self.root):
            attempts = self.failed_attempts(node.key) + 1
            write_json(path, {**failure.as_json(), "title": node.title, "attempts": attempts, "node": node.as_json()})
        self.release(node.key, keep_checkpoints=failure.type not in COMES_AGAIN)

    def failed_attempts(self, key: str) -> int:
        """How often the node failed; 0 where a damaged record does not tell."""
        with suppress(StoreError):
            return int((self.failure(key) or {}).get("attempts", 0))
        return 0

    def failure(self, key: str) -> dict[str, Any] | None:
        """The last failure of a node: type, text, traceback, when, title, attempts; ``None`` if there is none."""
        try:
            found = read_json(self._failed(key))
        except (FileNotFoundError, StoreError):  # a damaged one tells nothing
            return None
        return None if not_a_failure(found) else dict(found)

    def failures(self) -> list[str]:
        """Keys of the nodes whose last attempt failed."""
        return sorted(p.stem for p in (self.root / "failed").glob("*.json") if KEY.fullmatch(p.stem))

    # Studies

    def save_study(self, name: str, payload: Mapping[str, Any]) -> None:
        """Record what was planned under ``name``: ``nodes`` (``Node.as_json()`` of each) and whatever else is given.

        A record of that name with nodes that are not in the new one moves to ``studies/replaced/NAME.DIGEST.json``, the
        digest being the first 12 digits of its own sha-256: ``studies`` no longer lists it, but ``clean`` offers its
        nodes only when that file is removed.
        """
        if not NAME.fullmatch(name):
            raise StoreError(f"study name {name!r} must be letters, digits, '.', '_' or '-', as it names a file")
        if not all(KEY.fullmatch(str(node.get("key"))) for node in payload["nodes"]):
            raise StoreError("every one of a study's nodes needs its key", where=name)
        path = self.root / "studies" / f"{name}.json"
        with guarded(path, self.root):
            old = _planned_before(path)
            if {node["key"] for node in old["nodes"]} - {node["key"] for node in payload["nodes"]}:
                write_study(path.parent / "replaced" / f"{name}.{digest_file(path)[:12]}.json", old)
            write_study(path, payload)

    def studies(self) -> dict[str, dict[str, Any]]:
        """Name -> what ``save_study`` recorded."""
        paths = sorted(p for p in (self.root / "studies").glob("*.json") if NAME.fullmatch(p.stem))
        return {p.stem: read_study(p) for p in paths if p.exists()}

    def replaced_studies(self) -> list[dict[str, Any]]:
        """What ``save_study`` recorded before another study took the name."""
        return [read_study(p) for p in sorted((self.root / "studies" / "replaced").glob("*.json"))]

    def take_away(self, key: str) -> Path | None:
        """Let a finished node be gone by one rename; gives where it lies now, ``None`` if it was gone already."""
        away = aside(self.root / "work" / "gone")
        with guarded(away, self.root):
            away.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.path(key).rename(away)
            except FileNotFoundError:
                return None
        self._verified.discard(key)
        return away

    def put_back(self, key: str, away: Path) -> None:
        """Undo ``take_away``; if the node was made again meanwhile, that one stays."""
        with guarded(away, self.root):
            try:
                away.rename(self.path(key))
            except OSError:
                if not self.has(key):
                    raise
                self.remove_path(away)

    def remove_path(self, path: Path) -> None:
        """Remove one file or folder of the store; a folder is gone for everybody at once."""
        with guarded(path, self.root):
            if path.is_dir():
                self.leases.discard(path)
            else:
                path.unlink(missing_ok=True)
        self._verified.discard(path.name)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove finished nodes, work folders and failures of these keys, whoever owns them."""
        for key in keys:
            for path in (self.path(key), self.work(key), self._failed(key)):
                self.remove_path(path)


def _settle(node: Node, work: Path, attempt: Mapping[str, Any]) -> None:
    """Add ``node.json`` and ``files.json`` to the outputs and flush everything to the disk."""
    files = {name: settle(work / name) for name in regular_files(work, RESERVED)}
    record = as_text({**node.as_json(), "attempt": dict(attempt)}).encode()
    write_synced(work / "node.json", record)
    files["node.json"] = {"sha256": hashlib.sha256(record).hexdigest(), "bytes": len(record)}
    write_synced(work / "files.json", as_text(files))
    for folder in (work, *(p for p in work.rglob("*") if p.is_dir())):
        sync_folder(folder)


def _planned_before(path: Path) -> dict[str, Any]:
    """What a study's file holds; a damaged one holds nothing that the new one does not say better."""
    try:
        old = read_study(path)
        return old if all(KEY.fullmatch(node["key"]) for node in old["nodes"]) else {"nodes": []}
    except (FileNotFoundError, StoreError):
        return {"nodes": []}
