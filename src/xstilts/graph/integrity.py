"""A finished node that is not what was committed is set aside and made again, with all that came of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import MissingNameError
from xstilts.graph.damage import DamagedNodeError
from xstilts.graph.node import Graph
from xstilts.graph.store import Store


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
