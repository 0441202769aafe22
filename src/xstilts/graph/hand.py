"""The far end of a worker that another machine asks for nodes: whoever carries the questions, the attempts are local ones."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xstilts.errors import StoreError, XstiltsError
from xstilts.graph.engine import WorkerLostError
from xstilts.graph.local import LocalWorker
from xstilts.graph.node import Node, Resources
from xstilts.graph.store import Store

ERRORS = {"store": StoreError, "lost": WorkerLostError}
"""What a run must tell apart, under the names that travel."""
HEAR_SECONDS = 0.5
"""How long a question for news is kept open."""


class Hand:
    """Makes attempts in a thread and keeps their events until they are asked for.

    It outlives the run that asks: the node that it is at is finished and committed; when nobody has asked anything for a
    while, the process ends.

    Args:
        root: the store.
        command: starts the process that runs nodes; the Python in front is this machine's own.
        resources: what it runs on.
        orphan_seconds: how long it stays, with nothing to do, when nobody asks.
    """

    def __init__(self, root: str, command: Sequence[str], resources: Resources, orphan_seconds: float) -> None:
        self._worker = LocalWorker(Store(root), [sys.executable, *command], resources)
        self._news = threading.Condition()
        self._name = ""
        self._node: Node | None = None
        self._events: list[dict[str, Any]] = []
        self._asked, self._patience = time.monotonic(), orphan_seconds
        # One thread for all nodes: a process dies with the thread that started it.
        threading.Thread(target=self._work, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def ping(self) -> None:
        """The run is there."""
        self._asked = time.monotonic()

    def begin(self, attempt: tuple[str, Mapping[str, Any]]) -> None:
        """Make an attempt, of this name, at a node; asked twice it is one attempt."""
        self.ping()
        name, node = attempt
        with self._news:
            if name != self._name:
                self._name, self._events, self._node = name, [], Node.from_json(node)
                self._news.notify_all()

    def hear(self, known: int) -> list[dict[str, Any]]:
        """The events of the attempt after the first ``known``; waits a moment for one."""
        self.ping()
        with self._news:
            self._news.wait_for(lambda: len(self._events) > known, HEAR_SECONDS)
            return self._events[known:]

    def kill(self, save: bool) -> None:
        """Stop what runs, or let it save first, and release it."""
        self._worker.kill(save=save)

    def close(self) -> None:
        """Let the process leave."""
        self._worker.close()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._node is not None)
                node = self._node
            assert node is not None
            told = self._attempt(node)
            with self._news:
                self._node = None
                self._asked = time.monotonic()
            self._tell(told)

    def _attempt(self, node: Node) -> dict[str, Any]:
        try:
            return {"event": "outcome", **asdict(self._worker.attempt(node, self._tell))}
        except XstiltsError as error:
            text = {"what": error.what, "where": error.where, "hint": error.hint}
            kind = next((kind for kind in ERRORS if isinstance(error, ERRORS[kind])), "")
            return {"event": "error", "kind": kind, **text}
        except BaseException:
            return {"event": "error", "kind": "", "what": traceback.format_exc(), "where": "", "hint": ""}

    def _tell(self, event: Mapping[str, Any]) -> None:
        with self._news:
            self._events.append(dict(event))
            self._news.notify_all()

    def _watch(self) -> None:
        while self._node is not None or time.monotonic() - self._asked < self._patience:
            time.sleep(min(1.0, self._patience / 4))
        self._worker.close()
        os._exit(0)
