"""What happens in a run, as JSON lines in the store: a file for the run, one for each node. Trackers get the same records.

    logs/runs/RUN.jsonl     ``run_started``, ``node_started``, ``node_done``, ``node_failed``, ``node_blocked``,
                            ``node_waiting``, ``run_ended``
    logs/nodes/KEY.jsonl    ``node_started``, ``node_progress``, ``node_done``, ``node_failed``: attempt after attempt

Every line is written at once. A log only tells: no key and no result depends on it, and ``status`` alone looks at it.
"""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xstilts.graph.events import (
    Event,
    NodeBlocked,
    NodeDone,
    NodeElsewhere,
    NodeEvent,
    NodeFailed,
    NodeProgress,
    NodeSetAside,
    NodeStarted,
    RunStarted,
)
from xstilts.graph.owner import now
from xstilts.graph.store import Store

EVERY_SECONDS = 2.0
"""Shortest time between two lines about the progress of one node; the last of a phase is always there."""
Record = Mapping[str, Any]
Tracker = Callable[[Record], object]
"""Gets every record of a run. What it raises is warned of once; then it gets no more, and the run goes on."""


class RunLog:
    """Listens to a run: ``with RunLog(store, study) as log: run(..., listen=log)``. A run with nothing to do leaves no log.

    Args:
        store: where the files go.
        study: whose run it is.
        trackers: get the records that are written.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        trackers: Sequence[Tracker] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"[:-3] + f"-{study}-{os.getpid()}"
        self.folder = store.root / "logs"
        self._study, self._trackers, self._clock = study, list(trackers), clock
        self._since = clock()
        self._started: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._counts: dict[str, int] = {"done": 0, "failed": 0, "blocked": 0}
        self._held: list[Record] = []  # until something is told of a node
        self._begun = False
        self._writes = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._held or not self._begun:
            return  # nothing ran
        ended = {"seconds": round(self._clock() - self._since, 3), **self._counts}
        self._tell("run_ended", ended | ({"error": f"{type(error).__name__}: {error}"} if error else {}))

    def __call__(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, RunStarted):
            said = {"study": self._study, "host": socket.gethostname(), "pid": os.getpid()}
            if not self._begun:
                self._held.append(self._record("run_started", said | {"found": event.done, "total": event.total}))
            self._begun = True  # another round of retries is the same run
        elif isinstance(event, NodeSetAside):
            self._held.append(self._record("node_set_aside", {"title": event.title, "message": event.message}))
        elif isinstance(event, NodeEvent):
            self._of_node(event)

    def _of_node(self, event: NodeEvent) -> None:
        while self._held:
            self._send(self._held.pop(0), self._run_file)
        key, clock = event.node.key, self._clock()
        match event:
            case NodeStarted():
                self._started[key], self._due[key] = clock, clock
                self._tell("node_started", {"device": event.device, "slot": event.slot}, event)
            case NodeProgress(position=position, length=length, unit=unit):
                if clock >= self._due.get(key, 0.0) or position == length:
                    self._due[key] = clock + EVERY_SECONDS
                    of = {"position": position, "length": length, "unit": unit, "values": dict(event.note)}
                    self._send(self._record("node_progress", of, event), self._node_file(key))
            case NodeDone():
                self._counts["done"] += 1
                self._tell("node_done", {"seconds": round(event.seconds, 3), "elsewhere": event.elsewhere}, event)
            case NodeFailed():
                self._counts["failed"] += 1
                seconds = round(clock - self._started.get(key, clock), 3)
                self._tell("node_failed", {"seconds": seconds, "type": event.type, "message": event.message}, event)
            case NodeBlocked():
                self._counts["blocked"] += 1
                self._tell("node_blocked", {"cause": event.cause.key}, event)
            case NodeElsewhere():
                self._tell("node_waiting", {"message": event.message}, event)

    @property
    def _run_file(self) -> Path:
        return self.folder / "runs" / f"{self.run}.jsonl"

    def _node_file(self, key: str) -> Path:
        return self.folder / "nodes" / f"{key}.jsonl"

    def _record(self, name: str, fields: Record, event: NodeEvent | None = None) -> dict[str, Any]:
        record: dict[str, Any] = {"time": now(), "run": self.run, "event": name}
        if event is not None:
            node = event.node
            record |= {"key": node.key, "kind": node.kind, "title": node.title, "labels": dict(node.labels)}
        return record | dict(fields)

    def _tell(self, name: str, fields: Record, event: NodeEvent | None = None) -> None:
        """Into the run's file, and into the node's where it is about what the node does."""
        of_node = isinstance(event, NodeStarted | NodeFailed) or (isinstance(event, NodeDone) and not event.elsewhere)
        files = [self._run_file, *([self._node_file(event.node.key)] if event is not None and of_node else [])]
        self._send(self._record(name, fields, event), *files)

    def _send(self, record: Record, *files: Path) -> None:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False, default=str).encode() + b"\n"
        for file in files if self._writes else ():
            try:
                append(file, line)
            except OSError as error:
                self._writes = False
                warnings.warn(f"this run writes no more log: {file}: {error.strerror or error}", stacklevel=2)
        for tracker in tuple(self._trackers):
            try:
                tracker(record)
            except Exception as error:
                self._trackers.remove(tracker)
                name = getattr(tracker, "__name__", type(tracker).__name__)
                what = f"{type(error).__name__}: {error}"
                warnings.warn(f"tracker {name} failed and gets no more; the run goes on: {what}", stacklevel=2)


def append(file: Path, line: bytes) -> None:
    """Add a line by one write; a half one that a crash left is ended first, so that it spoils no other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+", buffering=0) as out:
        if out.tell() and os.pread(out.fileno(), 1, out.tell() - 1) != b"\n":
            line = b"\n" + line
        out.write(line)
