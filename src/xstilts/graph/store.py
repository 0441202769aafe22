"""The store: a folder of finished nodes, each of which appeared whole by one rename.

    nodes/KK/KEY/        a finished node: its outputs, node.json (what it is and how it was made), files.json (digests)
    work/KEY/            a running attempt: owner.json, the outputs so far in out/, and the state of a training in
                         checkpoints/, which stays when the attempt is given up: the next one goes on from there
    failed/KEY.json      the last failure of a node
    studies/NAME.json    what was planned: the nodes of the graph and the caller's own ``cells``
    studies/replaced/    NAME.DIGEST.json: what another study of that name planned before
    cache/digests.json   digests of input files; beside it what trainings share (``xstilts.kept_features``)

Several drivers may use one store at once: claiming a node is done under a lock, finishing one is a rename.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from xstilts.errors import MissingNameError, StoreError, TrainingError
from xstilts.graph.claim import CACHE, CHECKPOINTS, OWNER, locked
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
from xstilts.graph.node import Node
from xstilts.graph.owner import Owner

__all__ = ["Digests", "Failure", "NodeBusyError", "Store", "digest_file"]

KEY = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = ("node.json", "files.json")


class NodeBusyError(StoreError):
    """Another driver works on the node."""


class Store:
    """The folder ``root``; made on the first write, so that a read-only store can be read."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self._verified: set[str] = set()
        self._claimed: dict[str, Owner] = {}  # by ``begin`` of this object: only these are ours to give up

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
        return self._read(key, "node.json")

    def files(self, key: str) -> dict[str, dict[str, Any]]:
        """Relative path -> ``{"sha256", "bytes"}`` of every file of a finished node, ``node.json`` among them."""
        return self._read(key, "files.json")

    def _read(self, key: str, name: str) -> dict[str, Any]:
        try:
            value = read_json(self.path(key) / name)
        except FileNotFoundError as error:
            if not self.has(key):
                raise MissingNameError("node", key, (), where=str(self.root)) from error
            raise self._damaged(key, name, "the file", "nothing") from error
        except StoreError as error:
            raise self._damaged(key, name, "JSON", error.what) from error
        if not isinstance(value, dict):
            raise self._damaged(key, name, "a JSON object", type(value).__name__)
        return value

    def verify(self, key: str) -> None:
        """Read every file of a finished node again.

        Raises:
            StoreError: a file is missing, cannot be read, or is not what was committed.
        """
        for name, promised in self.files(key).items():
            path = self.path(key) / name
            try:
                size = path.stat().st_size
                if size != promised.get("bytes"):
                    raise self._damaged(key, name, f"{promised.get('bytes')} bytes", f"{size}")
                found = digest_file(path)
            except OSError as error:
                raise self._damaged(key, name, "a readable file", error.strerror or str(error)) from error
            if found != promised.get("sha256"):
                raise self._damaged(key, name, f"sha-256 {promised.get('sha256')}", found)
        self._verified.add(key)

    def verify_once(self, key: str) -> None:
        """``verify``, unless this process did so before or finished the node itself."""
        if key not in self._verified:
            self.verify(key)

    def _damaged(self, key: str, name: str, expected: str, found: str) -> StoreError:
        mend = f"xstilts clean --store {self.root} --node {key[:12]}"
        return StoreError(
            f"node {key[:12]} is damaged: {name}: expected {expected}, found {found}",
            where=str(self.path(key) / name),
            hint=f"`{mend}` removes it and what was made from it; then run again",
        )

    # Attempts

    def work(self, key: str) -> Path:
        """Folder of the running attempt."""
        return self.root / "work" / key

    def owner(self, key: str) -> Owner | None:
        """Who works on the node; ``None`` when nobody does or the claim is half-written."""
        return Owner.read(self.work(key) / OWNER)

    def begin(self, node: Node, *, writers: Sequence[int] = ()) -> Path:
        """Claim a node and give the empty folder its outputs go to.

        Of what a dead owner left, only ``checkpoints`` stays; it lies beside the output folder.

        Args:
            node: what will run.
            writers: processes that will write there; the claim holds while one of them lives.

        Raises:
            NodeBusyError: another driver works on it.
            StoreError: it is finished already, or the disk refuses.
        """
        claim = self.work(node.key)
        with guarded(claim, self.root), self.locked():
            if self.has(node.key):
                raise StoreError(f"{node.title} is finished already", where=str(self.path(node.key)))
            self._refuse_busy(node)
            self._vacate(claim)
            (claim / "out").mkdir(parents=True)
            owner = Owner.here(writers)
            fresh = aside(claim / OWNER)
            # Not flushed: after a power cut every owner is dead, and a claim without an owner counts as none.
            fresh.write_text(as_text(owner.as_json()))
            fresh.replace(claim / OWNER)
            self._claimed[node.key] = owner
        return claim / "out"

    def _refuse_busy(self, node: Node) -> None:
        owner = self.owner(node.key)
        if owner is None or owner.state == "dead":
            return
        who = f"process {owner.pid} on {owner.host} since {owner.started}"
        stop = f"xstilts clean --store {self.root} --node {node.key[:12]}"
        raise NodeBusyError(
            f"{node.title} is being run by {who}",
            where=str(self.work(node.key)),
            hint="wait for it"
            if owner.state == "live"
            else f"wait for it; if that machine is gone for good, `{stop}` gives the node free",
        )

    def commit(self, node: Node, work: Path, attempt: Mapping[str, Any]) -> None:
        """Make the outputs in ``work`` (what ``begin`` gave) a finished node. All is on the disk before the rename.

        If another driver finished the equal node first, that one stays and this one goes.

        Raises:
            StoreError: the disk refuses, or the outputs hold a link or a file with a name of the store's own.
        """
        home = self.path(node.key)
        with guarded(work, self.root):
            files = {name: settle(work / name) for name in regular_files(work, RESERVED)}
            record = as_text({**node.as_json(), "attempt": dict(attempt)})
            write_synced(work / "node.json", record)
            content = record.encode()
            files["node.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            write_synced(work / "files.json", as_text(files))
            for folder in (work, *(p for p in work.rglob("*") if p.is_dir())):
                sync_folder(folder)
            new = not home.parent.exists()
            home.parent.mkdir(parents=True, exist_ok=True)
            try:
                work.rename(home)
            except OSError:
                if not self.has(node.key):
                    raise
            sync_folder(home.parent)
            if new:
                sync_folder(home.parent.parent)
            self._discard(work.parent)
            self._claimed.pop(node.key, None)
            self._failed(node.key).unlink(missing_ok=True)
        self._verified.add(node.key)

    def release(self, key: str, *, keep_checkpoints: bool = True) -> None:
        """Give up a claim that ``begin`` gave and drop its unfinished outputs; another driver's claim is left alone."""
        mine = self._claimed.pop(key, None)
        if mine is None:
            return
        with self.locked():
            if self.owner(key) == mine:
                self._vacate(self.work(key), keep_checkpoints=keep_checkpoints)

    def has_checkpoints(self, key: str) -> bool:
        """Whether an attempt left the state of its training; one that was being written does not count."""
        return any((self.work(key) / CHECKPOINTS).glob("[!.]*"))

    def _vacate(self, claim: Path, *, keep_checkpoints: bool = True) -> None:
        """Take a claim away; the lock is held. Its checkpoints stay where they are, so they are whole whenever this dies."""
        if keep_checkpoints and self.has_checkpoints(claim.name):
            (claim / OWNER).unlink(missing_ok=True)  # first: from here on it is nobody's
            for folder in claim.iterdir():
                if folder.name != CHECKPOINTS:
                    self._discard(folder)
        else:
            self._discard(claim)

    def tidy(self) -> None:
        """Drop the claims of finished nodes: their driver died between the rename and this."""
        for key in self.claims():
            if self.has(key):
                with self.locked():
                    owner = self.owner(key)
                    if owner is None or owner.state != "live":
                        self._discard(self.work(key))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While held, no other thread or process claims or cleans a node."""
        with locked(self.root / "work"):
            yield

    def _discard(self, folder: Path) -> None:
        """Remove a folder; for everybody else it is gone at once, by one rename."""
        (self.root / "work").mkdir(parents=True, exist_ok=True)
        gone = aside(self.root / "work" / "gone")
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    # Failures

    def _failed(self, key: str) -> Path:
        return self.root / "failed" / f"{key}.json"

    def fail(self, node: Node, error: BaseException | Failure) -> None:
        """Record why the node failed and drop its outputs, if ``begin`` was reached: another driver's stay.

        Checkpoints stay, as more memory or a readable disk lets the next attempt go on; but not for a ``TrainingError``:
        each step is a function of the one before, so it would come again.
        """
        failure = error if isinstance(error, Failure) else Failure.of(error)
        path = self._failed(node.key)
        with guarded(path, self.root):
            before = self.failure(node.key) or {}
            attempts = int(before.get("attempts", 0)) + 1
            write_json(path, {**failure.as_json(), "title": node.title, "attempts": attempts, "node": node.as_json()})
        self.release(node.key, keep_checkpoints=failure.type != TrainingError.__name__)

    def failure(self, key: str) -> dict[str, Any] | None:
        """The last failure of a node: type, text, traceback, when, title, attempts; ``None`` if there is none."""
        try:
            found = read_json(self._failed(key))
        except FileNotFoundError:
            return None
        return found if isinstance(found, dict) else None

    def failures(self) -> list[str]:
        """Keys of the nodes whose last attempt failed."""
        return sorted(p.stem for p in (self.root / "failed").glob("*.json") if KEY.fullmatch(p.stem))

    def claims(self) -> list[str]:
        """Keys of the nodes with a work folder, whoever owns it; one that only has checkpoints has no owner."""
        return sorted(p.name for p in (self.root / "work").glob("*") if KEY.fullmatch(p.name))

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
            old = read_json(path) if path.exists() else {"nodes": []}
            if {node["key"] for node in old["nodes"]} - {node["key"] for node in payload["nodes"]}:
                write_json(path.parent / "replaced" / f"{name}.{digest_file(path)[:12]}.json", old)
            write_json(path, dict(payload))

    def studies(self) -> dict[str, dict[str, Any]]:
        """Name -> what ``save_study`` recorded."""
        paths = sorted(p for p in (self.root / "studies").glob("*.json") if NAME.fullmatch(p.stem))
        return {p.stem: read_json(p) for p in paths}

    def replaced_studies(self) -> list[dict[str, Any]]:
        """What ``save_study`` recorded before another study took the name."""
        return [read_json(p) for p in sorted((self.root / "studies" / "replaced").glob("*.json"))]

    def remove_path(self, path: Path) -> None:
        """Remove one file or folder of the store; a folder is gone for everybody at once."""
        with guarded(path, self.root):
            if path.is_dir():
                self._discard(path)
            else:
                path.unlink(missing_ok=True)
        self._verified.discard(path.name)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove finished nodes, work folders and failures of these keys, whoever owns them."""
        for key in keys:
            for path in (self.path(key), self.work(key), self._failed(key)):
                self.remove_path(path)
