"""One slot of a run: a thread that takes nodes, has its worker run them and commits what came out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xstilts.errors import StoreError, XstiltsError
from xstilts.graph.events import (
    Event,
    NodeBlocked,
    NodeDone,
    NodeElsewhere,
    NodeFailed,
    NodeProgress,
    NodeStarted,
)
from xstilts.graph.failure import Failure
from xstilts.graph.node import Node, Resources
from xstilts.graph.owner import now
from xstilts.graph.process import WorkerDiedError, WorkerProcess
from xstilts.graph.schedule import Schedule
from xstilts.graph.store import NodeBusyError, Store


class Slot(threading.Thread):
    """A device slot.

    Args:
        number: 0, 1, ...
        resources: what its worker runs on.
        command: starts the worker.
        store: where nodes go.
        schedule: shared by all slots.
        post: takes events, and the slot itself when it has ended.
        keep_going: whether to go on after a failure.
    """

    def __init__(
        self,
        number: int,
        resources: Resources,
        command: Sequence[str],
        store: Store,
        schedule: Schedule,
        post: Callable[[Event | Slot], None],
        keep_going: bool,
    ) -> None:
        super().__init__(name=f"slot {number}", daemon=True)
        self.number, self.resources, self.command = number, resources, command
        self.store, self.schedule, self.post, self.keep_going = store, schedule, post, keep_going
        self._worker: WorkerProcess | None = None
        self._interrupted = False
        self._guard = threading.Lock()
        self._seen_elsewhere: dict[str, str] = {}

    def run(self) -> None:
        """Take nodes until there are none."""
        try:
            while (node := self.schedule.take(self.number)) is not None:
                self._attempt(node)
        except BaseException as error:
            self.schedule.stop(error)
        finally:
            self.schedule.leave(self.number)
            if self._worker is not None:
                self._worker.close()
            self.post(self)

    def interrupt(self) -> None:
        """Kill the worker; the node it runs is given back. Called from another thread."""
        with self._guard:
            self._interrupted = True
            if self._worker is not None:
                self._worker.kill()

    def _attempt(self, node: Node) -> None:
        noted = self._seen_elsewhere.get(node.key)
        if self.store.has(node.key):
            self._finish(node, 0.0, elsewhere=True)
            return
        failure = self.store.failure(node.key) if noted else None
        if noted and failure and failure["when"] >= noted:
            self._fail(node, Failure(failure["type"], failure["text"]), record=False)
            return
        try:
            for parent in node.parents.values():
                self.store.verify_once(parent)
        except XstiltsError as error:
            self._fail(node, Failure.of(error))
            return
        worker = self._ready_worker()
        try:
            out = self.store.begin(node, writers=(worker.pid,))
        except NodeBusyError as error:
            self._wait_elsewhere(node, str(error))
            return
        except StoreError:
            if not self.store.has(node.key):
                raise
            self._finish(node, 0.0, elsewhere=True)
            return
        try:
            self._execute(node, worker, out)
        except BaseException:
            with suppress(OSError):  # the disk may refuse this too; the next claim removes what is left
                self.store.release(node.key)
            raise

    def _execute(self, node: Node, worker: WorkerProcess, out: Path) -> None:
        started = now()
        self.post(NodeStarted(*self._counts(), node, self.number, self.resources.device))
        parents = {role: self.store.path(key) for role, key in node.parents.items()}
        try:
            answer = worker.execute(node, parents, out, lambda event: self._progress(node, event))
        except WorkerDiedError as death:
            self._bury(node, worker, death)
            return
        if answer["event"] == "failed":
            if answer["disk"]:
                raise StoreError(**answer["disk"])
            text = (answer["type"], answer["message"], answer["traceback"], worker.stderr_tail())
            self._fail(node, Failure(*text))
            return
        try:
            self.store.commit(node, out, self._record(worker, answer, started))
        except (StoreError, ValueError) as error:
            if isinstance(error.__cause__, OSError):
                raise  # the disk's failure, not the node's
            self._fail(node, Failure.of(error))
            return
        self._finish(node, answer["seconds"])

    def _record(self, worker: WorkerProcess, answer: Mapping[str, Any], started: str) -> dict[str, Any]:
        return {
            "threads": self.resources.threads,
            **answer["counts"],  # pre-training takes other threads, and says so
            "started": started,
            "finished": now(),
            "seconds": answer["seconds"],
            "host": socket.gethostname(),
            "pid": worker.pid,
            "device": self.resources.device,
            "micro_batch_tokens": self.resources.micro_batch_tokens,
            "gradient_checkpointing": self.resources.gradient_checkpointing,
            "peak_memory_bytes": answer["peak_memory_bytes"],
            "versions": worker.versions,
        }

    def _ready_worker(self) -> WorkerProcess:
        """The worker, started if need be.

        Raises:
            XstiltsError: it does not start. No node is to blame, so the run ends.
        """
        if self._worker is not None:
            return self._worker
        try:
            worker = WorkerProcess(self.command, self.resources)
            with self._guard:
                self._worker = worker
                if self._interrupted:
                    worker.kill()
            worker.wait_ready()
        except WorkerDiedError as death:
            said = self._worker.stderr_tail().strip() if self._worker else ""
            raise XstiltsError(f"{death.text} before it was ready", where=" ".join(self.command), hint=said) from death
        return worker

    def _bury(self, node: Node, worker: WorkerProcess, death: WorkerDiedError) -> None:
        said = worker.stderr_tail()
        with self._guard:
            self._worker = None
        worker.close()
        if self._interrupted:
            self.store.release(node.key)
        else:
            self._fail(node, Failure("WorkerDied", death.text, stderr=said))

    def _wait_elsewhere(self, node: Node, message: str) -> None:
        if node.key not in self._seen_elsewhere:
            self._seen_elsewhere[node.key] = now()
            self.post(NodeElsewhere(*self._counts(), node, self.number, message))
        self.schedule.postpone(self.number, node)

    def _finish(self, node: Node, seconds: float, *, elsewhere: bool = False) -> None:
        with self.schedule.lock:  # so that no child is announced before
            self.schedule.finish(self.number, node, None if elsewhere else seconds)
            self.post(NodeDone(*self._counts(), node, self.number, seconds, elsewhere))

    def _fail(self, node: Node, failure: Failure, *, record: bool = True) -> None:
        if record:
            self.store.fail(node, failure)
        with self.schedule.lock:
            blocked = self.schedule.fail(self.number, node, failure.text, keep_going=self.keep_going)
            self.post(NodeFailed(*self._counts(), node, self.number, failure.type, failure.text))
            for child in blocked:
                self.post(NodeBlocked(*self._counts(), child, self.number, node))

    def _progress(self, node: Node, event: Mapping[str, Any]) -> None:
        place = (event["done"], event["total"], event["unit"], event["note"])
        self.post(NodeProgress(*self._counts(), node, self.number, *place))

    def _counts(self) -> tuple[int, int, float | None]:
        schedule = self.schedule
        return schedule.found + len(schedule.done), schedule.total, schedule.eta_seconds()
