"""What the store says about nodes: how far a graph is, and how a node came about."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.node import Graph, Node
from xstilts.graph.store import Store

Status = Literal["done", "failed", "running", "waiting", "blocked"]
SHOWN = 10


def status(graph: Graph, store: Store) -> dict[str, Status]:
    """Key -> status of every node of a graph.

    ``running``: a driver that lives (or is on another machine) has claimed it; ``failed``: its last attempt failed;
    ``blocked``: an ancestor is failed; ``waiting``: it will run.
    """
    claimed, failures = set(store.claims()), set(store.failures())
    found: dict[str, Status] = {}
    for key, node in graph.by_key.items():
        before = {found.get(parent) for parent in node.parents.values()}
        if store.has(key):
            found[key] = "done"
        elif key in claimed and is_running(store, key):
            found[key] = "running"
        elif key in failures:
            found[key] = "failed"
        else:
            found[key] = "blocked" if before & {"failed", "blocked"} else "waiting"
    return found


def is_running(store: Store, key: str) -> bool:
    """Whether somebody who may be alive has claimed the node."""
    return store.leases.state(key) in ("live", "unknown")


def known_nodes(store: Store) -> dict[str, dict[str, Any]]:
    """Key -> ``Node.as_json()`` of every node that a study recorded, that failed or that is being run."""
    found = {key: owner.node for key in store.claims() if (owner := store.owner(key)) and owner.node}
    for key in store.failures():
        found[key] = dict((store.failure(key) or {}).get("node", {}))
    for payload in store.studies().values():
        found.update({node["key"]: node for node in payload.get("nodes", ())})
    return found


def resolve(prefix: str, keys: Collection[str]) -> str:
    """The one key that starts with ``prefix``.

    Raises:
        MissingNameError: none does.
        StoreError: several do; they are listed.
    """
    matches = sorted(key for key in keys if key.startswith(prefix))
    if not matches or not prefix:
        raise MissingNameError("node", prefix, [key[:12] for key in sorted(keys)[:SHOWN]])
    if len(matches) > 1:
        listed = ", ".join(key[:16] for key in matches[:SHOWN])
        more = f" and {len(matches) - SHOWN} more" if len(matches) > SHOWN else ""
        raise StoreError(f"{prefix!r} is the beginning of {len(matches)} keys", hint=f"they are: {listed}{more}")
    return matches[0]


def why(store: Store, key_prefix: str) -> dict[str, Any]:
    """How a node came about, as plain data.

    Returns:
        ``{"key", "ancestry"}``; ``ancestry`` lists the node and then its ancestors, nearest first, each once:
        ``{"key", "title", "kind", "version", "spec", "labels", "parents", "status", "attempt", "files", "failure"}``.
        ``attempt`` and ``files`` are ``None`` for an unfinished node, ``failure`` if it did not fail.

    Raises:
        MissingNameError: no such node in the store or its studies.
        StoreError: an ambiguous prefix (the keys are listed), or a damaged record.
    """
    known = known_nodes(store)
    key = resolve(key_prefix, {*known, *store.keys()})
    ancestry: dict[str, dict[str, Any]] = {}
    level = [key]
    while level:
        for each in level:
            ancestry[each] = _entry(store, each, known.get(each))
        parents = [parent for each in level for parent in ancestry[each]["parents"].values()]
        level = [parent for parent in dict.fromkeys(parents) if parent not in ancestry]
    return {"key": key, "ancestry": list(ancestry.values())}


def _entry(store: Store, key: str, planned: dict[str, Any] | None) -> dict[str, Any]:
    done = store.has(key)
    record = store.record(key) if done else (planned or {})
    labels = record.get("labels", {})
    failure = None if done else store.failure(key)
    state = "done" if done else "running" if is_running(store, key) else "failed" if failure else "waiting"
    return {
        "key": key,
        "title": Node.from_json(record).title if record else "",
        "kind": record.get("kind"),
        "version": record.get("version"),
        "spec": record.get("spec"),
        "labels": labels,
        "parents": dict(record.get("parents", {})),
        "status": state if record else "unknown",
        "attempt": record.get("attempt"),
        "files": store.files(key) if done else None,
        "failure": failure,
    }
