"""How the studies of a store stand, looked at from outside, again and again, while any drivers work on them.

Only files are read: what is finished and how long it took, who has claimed what, what each running node last told its log
(``logs/nodes/KEY.jsonl``) and how the failed ones ended.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xstilts.errors import StoreError
from xstilts.graph.node import Graph, Node
from xstilts.graph.status import status
from xstilts.graph.store import Store

TAIL_LINES = 3
"""Of a failed node's traceback or output that are shown."""
TAIL_BYTES = 1 << 16
UNDONE = frozenset({"running", "waiting"})


class Overview:
    """Looks at a store; keeps what it read of finished nodes, so that a second look costs little.

    Args:
        store: may be read-only.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seconds: dict[str, float] = {}

    def look(self, studies: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One entry a study, as plain data.

        Args:
            studies: name -> what ``save_study`` recorded.

        Returns:
            ``study``, ``states`` (state -> nodes);
            ``running``: ``key``, ``title``, ``host``, ``pid``, ``since``, ``seconds``, ``alive`` (false where no sign of life
            can be had yet), ``progress`` (the last record of its log, or ``None``);
            ``waiting`` (kind -> nodes); ``failed``: ``key``, ``title``, what ``Store.failure`` gives, and ``last_lines``;
            ``eta_seconds`` and ``device_hours_left``: forecasts from the mean time of each kind of node, the first with as
            many devices as are at work now; ``None`` before any is finished. What a failed node blocks is not in them.
        """
        return [self._study(name, payload) for name, payload in studies.items()]

    def _study(self, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        graph = Graph(name, tuple(Node.from_json(node) for node in payload["nodes"]))
        states = status(graph, self._store)
        running = [self._running(node) for node in graph if states[node.key] == "running"]
        waiting = Counter(node.kind for node in graph if states[node.key] == "waiting")
        seconds = self._left(graph, dict(states), {each["key"]: each["seconds"] for each in running})
        return {
            "study": name,
            "states": dict(Counter(states.values())),
            "running": running,
            "waiting": dict(waiting),
            "failed": [self._failed(node) for node in graph if states[node.key] == "failed"],
            "eta_seconds": None if seconds is None else round(seconds / max(1, len(running)), 1),
            "device_hours_left": None if seconds is None else round(seconds / 3600, 4),
        }

    def _running(self, node: Node) -> dict[str, Any]:
        owner = self._store.owner(node.key)
        since = owner.started if owner else None
        passed = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() if since else 0.0
        return {
            "key": node.key,
            "title": node.title,
            "host": owner.host if owner else None,
            "pid": owner.pid if owner else None,
            "since": since,
            "seconds": round(max(0.0, passed), 1),  # clocks of two machines may differ
            "alive": self._store.leases.state(node.key) == "live",
            "progress": last_record(node_log(self._store, node.key)),
        }

    def _failed(self, node: Node) -> dict[str, Any]:
        failure = self._store.failure(node.key) or {}
        said = str(failure.get("traceback") or failure.get("stderr") or "").strip().splitlines()
        return {"key": node.key, "title": node.title, **failure, "last_lines": said[-TAIL_LINES:]}

    def _left(self, graph: Graph, states: Mapping[str, str], passed: Mapping[str, float]) -> float | None:
        """Seconds of work left; what runs longer than its kind's mean is taken to be about to end."""
        found: dict[str, list[float]] = defaultdict(list)
        for node in graph:
            if states[node.key] == "done":
                found[node.kind].append(self._took(node.key))
        if not any(found.values()):
            return 0.0 if not UNDONE & set(states.values()) else None
        every = [seconds for of in found.values() for seconds in of]
        mean = {kind: sum(of) / len(of) for kind, of in found.items()}
        overall = sum(every) / len(every)
        left = (
            max(0.0, mean.get(node.kind, overall) - passed.get(node.key, 0.0))
            for node in graph
            if states[node.key] in UNDONE
        )
        return sum(left)

    def _took(self, key: str) -> float:
        if key not in self._seconds:
            try:
                self._seconds[key] = float(self._store.record(key)["attempt"].get("seconds", 0.0))
            except (StoreError, KeyError, TypeError, ValueError):  # damaged, or removed since
                self._seconds[key] = 0.0
        return self._seconds[key]


def node_log(store: Store, key: str) -> Path:
    """Where a node's log lies, if there is one (``xstilts.graph.log``)."""
    return store.root / "logs" / "nodes" / f"{key}.jsonl"


def last_record(path: Path) -> dict[str, Any] | None:
    """The last whole line of a file of JSON lines; ``None`` where there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            lines = stream.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:
            continue  # half-written, or cut at the front
        return found if isinstance(found, dict) else None
    return None
