"""What may be removed from a store, and why. Listing is apart from removing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xstilts.errors import StoreError
from xstilts.graph.integrity import made_from
from xstilts.graph.overview import last_record, node_log
from xstilts.graph.owner import birth
from xstilts.graph.status import is_running, known_nodes, resolve
from xstilts.graph.store import Store

OLD_SECONDS = 600.0
"""Age from which something half-written is surely not being written."""


@dataclass(frozen=True)
class Item:
    """One thing that may go.

    Args:
        what: ``work`` (a dead attempt, or the checkpoints it left), ``failure``, ``node``, ``log``, or ``rest`` (what a
            killed process left half-removed).
        key: of the node; empty for a rest, and for the log of a run.
        path: the folder or file.
        bytes: its size.
        why: the reason.
        named: whether somebody asked for it by name, so that nothing else may keep it.
    """

    what: Literal["work", "failure", "node", "log", "rest"]
    key: str
    path: Path
    bytes: int
    why: str
    named: bool = False


def removable(store: Store, *, logs: bool = False) -> list[Item]:
    """Dead attempts, failures, leftovers, and finished nodes that no recorded study reaches, with their logs.

    Checkpoints of a node that a recorded study reaches are not offered: the next run goes on from there
    (``removable_node`` takes them). While no study is recorded, no finished node is offered: all would be.

    Args:
        store: what is looked at.
        logs: the logs of finished nodes and ended runs, too: results never need them, but they alone tell how it went.
    """
    reached = _reached(store)
    items = [*_dead_work(store, reached), *_failures(store, store.failures()), *_damaged(store), *_leftovers(store)]
    if store.studies():
        lost = [key for key in store if key not in reached]
        items += [_node(store, key, "no recorded study needs it") for key in lost]
        items += [log for log in _node_logs(store) if log.key not in reached]
    if logs:
        items += [log for log in _node_logs(store) if log.key in reached and store.has(log.key)]
        items += _run_logs(store)
    return items


def removable_node(store: Store, prefix: str) -> list[Item]:
    """One node and everything made from it: finished, failed or claimed from another machine.

    Raises:
        MissingNameError, StoreError: unknown or ambiguous ``prefix``; or a live process of this machine works on one.
    """
    finished = set(store)
    known = known_nodes(store)
    key = resolve(prefix, {*finished, *known, *store.claims()})
    doomed = [key, *made_from(store, key, known)]
    claims, failures = set(store.leases.folders()), set(store.failures())
    items = []
    for each in reversed(doomed):
        owner = store.owner(each)
        if owner is not None and store.leases.state(each) == "live":
            raise StoreError(f"process {owner.pid} is running node {each[:12]}", hint="stop that run first")
        reason = "named" if each == key else f"made from {key[:12]}"
        items += [_node(store, each, reason, named=True)] if each in finished else []
        items += [_work(store, each, reason, named=True)] if each in claims else []
        items += _failures(store, [each]) if each in failures else []
        log = node_log(store, each)
        items += [Item("log", each, log, size(log), reason, named=True)] if log.is_file() else []
    return items


def remove(store: Store, items: Iterable[Item]) -> None:
    """Remove what ``removable`` or ``removable_node`` gave, in that order: children before what they were made from.

    What somebody began to run since is left alone. A node that a study or a running node needs by now is put back where it
    was: each study is recorded, and each claim made, before anything they need is read.
    """
    gone: list[tuple[Item, Path]] = []
    for item in items:
        if item.what == "work":
            store.leases.clear(item.key, forsaken=item.named)
        elif item.what != "node":
            store.remove_path(item.path)
        elif store.leases.state(item.key) != "live" and (away := store.take_away(item.key)):
            gone.append((item, away))
    reached = _reached(store) if any(not item.named for item, _ in gone) else set()
    for item, away in gone:
        if item.key in reached and not item.named:
            store.put_back(item.key, away)
        else:
            store.remove_path(away)


def _reached(store: Store) -> set[str]:
    """What the tables of recorded studies and the running nodes need, with all that it was made from."""
    recorded = [*store.studies().values(), *store.replaced_studies()]
    stack = [node["key"] for payload in recorded for node in payload["nodes"]]
    for key in store.claims():
        if is_running(store, key) and (owner := store.owner(key)):
            stack += [key, *owner.node.get("parents", {}).values()]
    reached: set[str] = set()
    while stack:
        key = stack.pop()
        if key not in reached:
            reached.add(key)
            if store.has(key):
                stack.extend(store.record(key)["parents"].values())
    return reached


def _dead_work(store: Store, reached: set[str]) -> Iterator[Item]:
    for key in store.leases.folders():
        kept = store.leases.has_checkpoints(key)
        if not is_running(store, key) and not (kept and key in reached and not store.has(key)):
            yield _work(store, key, "checkpoints of an unfinished training" if kept else "its driver is dead")


def _failures(store: Store, keys: Iterable[str]) -> Iterator[Item]:
    for key in keys:
        path = store.root / "failed" / f"{key}.json"
        title = (store.failure(key) or {}).get("title", "")
        yield Item("failure", key, path, size(path), f"a failed attempt of {title}")


def _node_logs(store: Store) -> Iterator[Item]:
    """Of nodes that nobody runs now."""
    for path in sorted(node_log(store, "KEY").parent.glob("*.jsonl")):
        if not is_running(store, path.stem):
            why = "its node is finished" if store.has(path.stem) else "no recorded study needs its node"
            yield Item("log", path.stem, path, size(path), why)


def _run_logs(store: Store) -> Iterator[Item]:
    for path in sorted((store.root / "logs" / "runs").glob("*.jsonl")):
        if (last_record(path) or {}).get("event") == "run_ended":
            yield Item("log", "", path, size(path), "the run has ended")


def _damaged(store: Store) -> Iterator[Item]:
    for path in sorted((store.root / "damaged").glob("*")):
        yield Item("rest", path.name.partition(".")[0], path, size(path), "set aside because it was damaged")


def _leftovers(store: Store) -> Iterator[Item]:
    for path in sorted(store.root.glob("*/.*.aside")):
        pid = int(path.name.split(".")[-3].partition("-")[0])
        # The number is of this machine only; on a shared store the age speaks for the other machines.
        if birth(pid) is None and _is_old(path):
            yield Item("rest", "", path, size(path), "a process was killed while it wrote or removed this")


def _is_old(path: Path) -> bool:
    with suppress(FileNotFoundError):  # its process lives on another machine, and renamed it
        return time.time() - path.lstat().st_mtime > OLD_SECONDS
    return False


def _node(store: Store, key: str, why: str, *, named: bool = False) -> Item:
    return Item("node", key, store.path(key), size(store.path(key)), why, named)


def _work(store: Store, key: str, why: str, *, named: bool = False) -> Item:
    return Item("work", key, store.work(key), size(store.work(key)), why, named)


def size(path: Path) -> int:
    """Bytes of a file, or of all files under a folder; what another process removes meanwhile counts as none."""
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    total = 0
    for file in files:
        with suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total
