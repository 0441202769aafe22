"""Which node runs next, and where: depth-first, and near what the worker has just loaded; measurements alone."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator

from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.node import ALONE, Graph, Node

POLL_SECONDS = 0.3
"""How often a node that another driver runs is looked at."""


def demanded(graph: Graph, has: Callable[[str], bool], wanted: Collection[str] | None) -> tuple[dict[str, Node], int]:
    """What must run for ``wanted`` (default: every node) to be finished, in the graph's order; and how many are.

    The ancestors of a finished node are not asked for: they may have been removed.

    Raises:
        MissingNameError: a wanted key is not in the graph.
        StoreError: a parent is neither in the graph nor in the store.
    """
    known = graph.by_key
    targets = set(known if wanted is None else wanted)
    for key in targets - known.keys():
        raise MissingNameError("node", key, (), where=f"study {graph.study}")
    need: set[str] = set()
    asked = set(targets)
    for key, node in reversed(known.items()):
        if key in asked and not has(key):
            need.add(key)
            asked.update(node.parents.values())
    for key in asked - known.keys():
        if not has(key):
            raise StoreError(f"parent {key[:12]} is neither in study {graph.study} nor in the store")
    return {key: node for key, node in known.items() if key in need}, len((targets | need) - need)


class Schedule:
    """The nodes still to run, shared by the threads of all slots.

    Among the ready nodes a slot takes one whose nearest common ancestor with its last node is closest (its children
    first, then its siblings): the worker has that model loaded. Else the newest ready one that is not near what
    another slot is doing. A node whose kind is in ``ALONE`` waits until nothing else is ready or running, and while it runs
    nothing else is taken.

    Args:
        pending: key -> node in an order with parents first; parents not among them are finished.
        found: how many wanted nodes were finished before.
        slots: number of workers.
        may: whether a slot takes a node at all; one of them always does.
    """

    def __init__(
        self,
        pending: dict[str, Node],
        found: int,
        slots: int,
        may: Callable[[int, Node], bool] = lambda slot, node: True,
    ) -> None:
        self.nodes, self.found, self.slots, self._may = pending, found, slots, may
        self.failed: dict[str, str] = {}
        self.blocked: dict[str, str] = {}
        self.done: set[str] = set()
        self.elsewhere: set[str] = set()
        self.stopped = False
        self.error: BaseException | None = None
        self.lock = threading.Condition()
        self._missing: dict[str, int] = {}
        self._children: dict[str, list[str]] = defaultdict(list)
        self._ready: dict[str, None] = {}
        self._ready_alone: dict[str, None] = {}
        self._families: dict[str, dict[str, None]] = defaultdict(dict)
        self._running: dict[int, str] = {}
        self._last: dict[int, str] = {}
        self._later: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._timed: Counter[str] = Counter()
        self._left = Counter(node.kind for node in pending.values())
        for key, node in pending.items():
            parents = {p for p in node.parents.values() if p in pending}
            self._missing[key] = len(parents)
            for parent in parents:
                self._children[parent].append(key)
        self._offer(key for key in pending if self._missing[key] == 0)

    @property
    def total(self) -> int:
        """Wanted nodes, finished ones included."""
        return self.found + len(self.nodes)

    def eta_seconds(self) -> float | None:
        """Forecast of the time left: nodes left of each kind times the kind's mean so far, over the slots."""
        with self.lock:
            timed = self._timed.total()
            if not timed:
                return None
            overall = sum(self._seconds.values()) / timed
            left = [
                count * (self._seconds[kind] / self._timed[kind] if self._timed[kind] else overall)
                for kind, count in self._left.items()
            ]
            return sum(left) / max(1, min(self.slots, self._left.total()))

    def take(self, slot: int) -> Node | None:
        """Wait for a node that can run; ``None`` when there will be none for this slot any more."""
        with self.lock:
            while not self.stopped:
                self._offer_later()
                if (key := self._choose(slot)) is not None:
                    self._withdraw(key)
                    self._running[slot] = self._last[slot] = key
                    return self.nodes[key]
                if not (self._running or self._later or self._ready or self._ready_alone):
                    break
                self.lock.wait(POLL_SECONDS if self._later else None)
            self.lock.notify_all()
            return None

    def finish(self, slot: int, node: Node, seconds: float | None) -> None:
        """The node is in the store; ``seconds`` is ``None`` if another driver finished it."""
        with self.lock:
            self._running.pop(slot, None)
            self.done.add(node.key)
            self._left[node.kind] -= 1
            if seconds is None:
                self.elsewhere.add(node.key)
            else:
                self._seconds[node.kind] += seconds
                self._timed[node.kind] += 1
            ready = []
            for child in self._children[node.key]:
                self._missing[child] -= 1
                if self._missing[child] == 0 and child not in self.blocked:
                    ready.append(child)
            self._offer(ready)
            self.lock.notify_all()

    def fail(self, slot: int, node: Node, message: str, *, keep_going: bool) -> list[Node]:
        """The node failed; gives the descendants that this blocks, for the first time."""
        with self.lock:
            self._running.pop(slot, None)
            self.failed[node.key] = message
            self._left[node.kind] -= 1
            newly, stack = [], [node.key]
            while stack:
                for child in self._children[stack.pop()]:
                    if child not in self.blocked:
                        self.blocked[child] = node.key
                        self._left[self.nodes[child].kind] -= 1
                        newly.append(self.nodes[child])
                        stack.append(child)
            self.stopped |= not keep_going
            self.lock.notify_all()
        return newly

    def postpone(self, slot: int, node: Node, seconds: float = POLL_SECONDS) -> None:
        """Another driver runs the node, or its worker was lost: look again later."""
        with self.lock:
            self._running.pop(slot, None)
            self._later[node.key] = time.monotonic() + seconds
            self.lock.notify_all()

    def lost(self, node: Node) -> int:
        """One more worker was lost at the node; gives how many in all."""
        with self.lock:
            self._losses[node.key] += 1
            return self._losses[node.key]

    @property
    def over(self) -> bool:
        """Whether nothing is left to give out, now or later."""
        return self.stopped or not (self._left.total() or self._running)

    def stop(self, error: BaseException | None = None) -> None:
        """Give out no more nodes; running ones may end. The first ``error`` is kept."""
        with self.lock:
            self.stopped = True
            self.error = self.error or error
            self.lock.notify_all()

    def leave(self, slot: int) -> None:
        """The slot gave its node back, or ended."""
        with self.lock:
            self._running.pop(slot, None)
            self.lock.notify_all()

    def _offer(self, keys: Iterator[str] | list[str]) -> None:
        # Reversed: the stack's top is the first in the graph's order.
        for key in reversed(list(keys)):
            if self.nodes[key].kind in ALONE:
                self._ready_alone[key] = None
                continue
            self._ready[key] = None
            for parent in self.nodes[key].parents.values():
                self._families[parent][key] = None

    def _withdraw(self, key: str) -> None:
        if key in self._ready_alone:
            del self._ready_alone[key]
            return
        del self._ready[key]
        for parent in set(self.nodes[key].parents.values()):
            self._families[parent].pop(key, None)

    def _offer_later(self) -> None:
        due = [key for key, when in self._later.items() if when <= time.monotonic()]
        for key in due:
            del self._later[key]
        self._offer(due)

    def _choose(self, slot: int) -> str | None:
        """The next node for this slot; ``None`` while it has to wait."""
        if any(self.nodes[key].kind in ALONE for key in self._running.values()):
            return None
        if not self._ready:
            return self._newest(slot, self._ready_alone) if not self._running else None
        for ancestor in self._ancestors(self._last.get(slot)):
            if (key := self._newest(slot, self._families.get(ancestor, {}))) is not None:
                return key
        near: set[str] = set()
        for other, last in self._last.items():
            if other != slot:
                near.update((last, *self.nodes[last].parents.values()))
        apart = (key for key in reversed(self._ready) if near.isdisjoint(self.nodes[key].parents.values()))
        return next((key for key in apart if self._may(slot, self.nodes[key])), self._newest(slot, self._ready))

    def _newest(self, slot: int, keys: dict[str, None]) -> str | None:
        """The newest that the slot may take."""
        return next((key for key in reversed(keys) if self._may(slot, self.nodes[key])), None)

    def _ancestors(self, key: str | None) -> Iterator[str]:
        """The key itself, its parents, theirs: nearest first."""
        level = [key] if key else []
        while level:
            yield from level
            level = [p for k in level if k in self.nodes for p in self.nodes[k].parents.values()]
