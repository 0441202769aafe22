"""One slot of a run: a thread that takes nodes, has its worker make attempts at them and tells what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from xstilts.graph.engine import Engine, Outcome, Place, Worker, WorkerLostError
from xstilts.graph.events import (
    Event,
    NodeBlocked,
    NodeDone,
    NodeElsewhere,
    NodeFailed,
    NodeProgress,
    NodeStarted,
    SlotWaiting,
)
from xstilts.graph.failure import Failure
from xstilts.graph.node import Node
from xstilts.graph.schedule import Schedule
from xstilts.graph.store import Store

LOSSES = 3
"""How often a node is begun again after its worker was lost; then it has failed, until the next run."""
BACK_OFF_SECONDS = 1.0
"""Before a lost node is begun again; twice as long every time."""

PLACE_SECONDS = 10
"""How long a worker waits for a place before people are told."""


class Slot(threading.Thread):
    """One place.

    Args:
        number: 0, 1, ...
        place: what its worker runs on.
        engine: starts the worker.
        store: where nodes go.
        schedule: shared by all slots.
        post: takes events, and the slot itself when it has ended.
        keep_going: whether to go on after a failure.
    """

    def __init__(
        self,
        number: int,
        place: Place,
        engine: Engine,
        store: Store,
        schedule: Schedule,
        post: Callable[[Event | Slot], None],
        keep_going: bool,
    ) -> None:
        super().__init__(name=f"slot {number}", daemon=True)
        self.number, self.place, self.engine = number, place, engine
        self.store, self.schedule, self.post, self.keep_going = store, schedule, post, keep_going
        self._worker: Worker | None = None
        self._interrupted = False
        self._guard = threading.Lock()
        self._seen_elsewhere: dict[str, int] = {}

    def run(self) -> None:
        """Take nodes until there are none."""
        try:
            worker = self.engine.start(self.place, self.store)
            with self._guard:
                self._worker = worker
                if self._interrupted:
                    worker.kill()
            while self._placed(worker) and (node := self.schedule.take(self.number)) is not None:
                self._attempt(node, worker)
        except BaseException as error:
            self.schedule.stop(error)
        finally:
            self.schedule.leave(self.number)
            try:
                if self._worker is not None:
                    self._worker.close()
            except BaseException as error:
                self.schedule.stop(error)
            self.post(self)  # whatever happened: the run waits for it

    def interrupt(self, *, save: bool = False) -> None:
        """End the worker, or let it save and leave; the node it runs is given back. Called from another thread."""
        with self._guard:
            self._interrupted = True
            if self._worker is not None:
                self._worker.kill(save=save)

    def _placed(self, worker: Worker) -> bool:
        """Wait until the worker can take a node; false when there is none left for it."""
        seconds = 0
        while not worker.wait(1.0):
            if self.schedule.over:
                return False
            seconds += 1
            if seconds == PLACE_SECONDS:
                self.post(SlotWaiting(*self._counts(), self.number))
        return True

    def _attempt(self, node: Node, worker: Worker) -> None:
        noted = self._seen_elsewhere.get(node.key)
        failed = noted is not None and not self.store.has(node.key) and self.store.failed_attempts(node.key) > noted
        if failed and (failure := self.store.failure(node.key)):
            self._fail(node, Failure(failure["type"], failure["text"]))
            return
        try:
            outcome = worker.attempt(node, lambda event: self._heard(node, event))
        except WorkerLostError as loss:
            self._lose(node, loss)
            return
        self._settle(node, outcome)

    def _settle(self, node: Node, outcome: Outcome) -> None:
        match outcome.status:
            case "done":
                self._finish(node, outcome.seconds)
            case "found":
                self._finish(node, 0.0, elsewhere=True)
            case "busy":
                self._wait_elsewhere(node, outcome.busy)
            case "failed":
                assert outcome.failure is not None
                self._fail(node, outcome.failure)
            case "released":
                self.schedule.leave(self.number)

    def _lose(self, node: Node, loss: WorkerLostError) -> None:
        losses = self.schedule.lost(node)
        if losses > LOSSES:
            failure = Failure("WorkerLost", f"{loss.what}; {losses} workers were lost at this node")
            self.store.fail(node, failure)
            self._fail(node, failure)
            return
        message = f"{node.title} is begun again, as its worker was lost: {loss.what}"
        self.post(NodeElsewhere(*self._counts(), node, self.number, message))
        self.schedule.postpone(self.number, node, BACK_OFF_SECONDS * 2 ** (losses - 1))

    def _wait_elsewhere(self, node: Node, message: str) -> None:
        if node.key not in self._seen_elsewhere:
            # Counted, not dated: the other machine's clock may be another one.
            self._seen_elsewhere[node.key] = self.store.failed_attempts(node.key)
            self.post(NodeElsewhere(*self._counts(), node, self.number, message))
        self.schedule.postpone(self.number, node)

    def _finish(self, node: Node, seconds: float, *, elsewhere: bool = False) -> None:
        with self.schedule.lock:  # so that no child is announced before
            self.schedule.finish(self.number, node, None if elsewhere else seconds)
            self.post(NodeDone(*self._counts(), node, self.number, seconds, elsewhere))

    def _fail(self, node: Node, failure: Failure) -> None:
        with self.schedule.lock:
            blocked = self.schedule.fail(self.number, node, failure.text, keep_going=self.keep_going)
            self.post(NodeFailed(*self._counts(), node, self.number, failure.type, failure.text))
            for child in blocked:
                self.post(NodeBlocked(*self._counts(), child, self.number, node))

    def _heard(self, node: Node, event: Mapping[str, Any]) -> None:
        if event["event"] == "started":
            self.post(NodeStarted(*self._counts(), node, self.number, self.place.resources.device))
        else:
            place = (event["done"], event["total"], event["unit"], event["note"])
            self.post(NodeProgress(*self._counts(), node, self.number, *place))

    def _counts(self) -> tuple[int, int, float | None]:
        schedule = self.schedule
        return schedule.found + len(schedule.done), schedule.total, schedule.eta_seconds()
