"""The local engine: one process a device slot, on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import StoreError, XstiltsError
from xstilts.graph.engine import Hear, Outcome, Place, WorkerLostError
from xstilts.graph.failure import Failure
from xstilts.graph.group import AnyWorker, start_worker
from xstilts.graph.node import Node, Resources
from xstilts.graph.owner import now
from xstilts.graph.process import WorkerDiedError
from xstilts.graph.store import ClaimLostError, NodeBusyError, Store


@dataclass(frozen=True)
class LocalEngine:
    """Processes of this machine.

    Args:
        resources: one entry a worker.
        command: starts a process that calls ``worker.serve``.
    """

    resources: Sequence[Resources]
    command: Sequence[str]
    measures = True

    @property
    def places(self) -> Sequence[Place]:
        """The device slots."""
        return [Place(each) for each in self.resources]

    def may(self, number: int, node: Node) -> bool:
        """All places are alike."""
        return True

    def start(self, place: Place, store: Store) -> LocalWorker:
        """A worker; its process starts with its first node."""
        return LocalWorker(store, self.command, place.resources)


class LocalWorker:
    """Makes attempts in a process of this machine, which lives on between them.

    Args:
        store: where nodes go.
        command: starts the process.
        resources: what it runs on.
    """

    def __init__(self, store: Store, command: Sequence[str], resources: Resources) -> None:
        self.store, self.command, self.resources = store, command, resources
        self._process: AnyWorker | None = None
        self._killed = False
        self._guard = threading.Lock()

    def wait(self, seconds: float) -> bool:
        """This machine is always there."""
        return True

    def attempt(self, node: Node, hear: Hear) -> Outcome:
        """Claim a node, have it run and commit it; see ``xstilts.graph.engine.Worker``."""
        if self.store.has(node.key):
            return Outcome("found")
        try:
            for parent in node.parents.values():
                self.store.verify_once(parent)
        except XstiltsError as error:
            return self._failed(node, Failure.of(error))
        process = self._ready()
        try:
            out = self.store.begin(node, writers=(process.pid,))
        except NodeBusyError as error:
            return Outcome("busy", busy=str(error))
        except StoreError:
            if not self.store.has(node.key):
                raise
            return Outcome("found")
        try:
            return self._execute(node, process, out, hear)
        except ClaimLostError as error:
            return Outcome("busy", busy=str(error))
        except BaseException:
            with suppress(OSError):  # the disk may refuse this too; the next claim removes what is left
                self.store.release(node.key)
            raise

    def _execute(self, node: Node, process: AnyWorker, out: Path, hear: Hear) -> Outcome:
        started = now()
        hear({"event": "started"})
        parents = {role: self.store.path(key) for role, key in node.parents.items()}
        try:
            answer = process.execute(node, parents, out, hear)
        except WorkerDiedError as death:
            return self._bury(node, process, death)
        if answer["event"] == "failed":
            if answer["disk"]:
                raise StoreError(**answer["disk"])
            text = (answer["type"], answer["message"], answer["traceback"], process.stderr_tail())
            return self._failed(node, Failure(*text))
        try:
            self.store.commit(node, out, self._record(process, answer, started))
        except (StoreError, ValueError) as error:
            if isinstance(error, ClaimLostError) or isinstance(error.__cause__, OSError):
                raise  # the disk's failure or another driver's doing, not the node's
            return self._failed(node, Failure.of(error))
        return Outcome("done", answer["seconds"])

    def _record(self, process: AnyWorker, answer: Mapping[str, Any], started: str) -> dict[str, Any]:
        return {
            "threads": self.resources.threads,
            **answer["counts"],  # pre-training takes other threads, and says so
            "started": started,
            "finished": now(),
            "seconds": answer["seconds"],
            "host": socket.gethostname(),
            "pid": process.pid,
            "device": self.resources.device,
            "micro_batch_tokens": self.resources.micro_batch_tokens,
            "gradient_checkpointing": self.resources.gradient_checkpointing,
            "peak_memory_bytes": answer["peak_memory_bytes"],
            "versions": process.versions,
        }

    def _failed(self, node: Node, failure: Failure) -> Outcome:
        self.store.fail(node, failure)
        return Outcome("failed", failure=failure)

    def _ready(self) -> AnyWorker:
        """The process, started if need be.

        Raises:
            XstiltsError: it does not start. No node is to blame, so the run ends.
        """
        if self._process is not None:
            return self._process
        try:
            process = start_worker(self.command, self.resources)
            with self._guard:
                self._process = process
                if self._killed:
                    process.kill()
            process.wait_ready()
        except WorkerDiedError as death:
            said = self._process.stderr_tail().strip() if self._process else ""
            raise XstiltsError(f"{death.text} before it was ready", where=" ".join(self.command), hint=said) from death
        return process

    def _bury(self, node: Node, process: AnyWorker, death: WorkerDiedError) -> Outcome:
        said = process.stderr_tail()
        with self._guard:
            self._process = None
        process.close()
        if self._killed:
            self.store.release(node.key)
            return Outcome("released")
        if death.told:  # by whoever signals all processes of a job: the driver, too, in a moment
            self.store.release(node.key)
            raise WorkerLostError(f"its process was told to stop ({death.text})")
        return self._failed(node, Failure("WorkerDied", death.text, stderr=said))

    def kill(self, *, save: bool = False) -> None:
        """End the process, or let it save and leave; the node it runs is given back. Called from another thread."""
        with self._guard:
            self._killed = True
            if self._process is not None:
                (self._process.terminate if save else self._process.kill)()

    def close(self) -> None:
        """Let the process leave."""
        if self._process is not None:
            self._process.close()
