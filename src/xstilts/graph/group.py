"""Several worker processes that look to a slot like one: what is learned in one model over several devices.

The first process runs every node; the nodes of ``TOGETHER`` are given to all of them at once, and they find each other at
a meeting place, a file that nobody used before. What the others write goes beside the node's outputs and is dropped with the
claim. Processes that wait for each other cannot go on when one of them cannot, so then all begin anew, from the training's
last checkpoint:

* when one ran out of memory (its answer says with which resources to begin anew), as often as that helps;
* when one was killed, as long as each attempt left a checkpoint that the one before had not.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from xstilts.device import members
from xstilts.graph.claim import CHECKPOINTS
from xstilts.graph.node import Node, Resources
from xstilts.graph.process import WorkerDiedError, WorkerProcess

TOGETHER = frozenset({"train", "mix"})
"""Kinds that all processes run; what else is learned (a model from scratch, text to text) is the first one's alone."""
LAST_WORDS_SECONDS = 2.0
"""How long the others may still answer once one process has failed or died: the cause may come a moment later."""

Answer = dict[str, Any]


def start_worker(command: Sequence[str], resources: Resources) -> AnyWorker:
    """The worker of a slot: one process, or one for each of its devices."""
    if len(members(resources.device)) == 1:
        return WorkerProcess(command, resources)
    return WorkerGroup(command, resources)


class WorkerGroup:
    """The processes of one slot, one a device; used as a ``WorkerProcess`` is.

    Args:
        command: what to start; it calls ``worker.serve``.
        resources: of the slot; ``device`` names several.
    """

    def __init__(self, command: Sequence[str], resources: Resources) -> None:
        self._command, self._resources = command, resources
        self._guard, self._ended = threading.Lock(), False
        self._meetings = tempfile.TemporaryDirectory(prefix="xstilts-group-")
        self._numbers = count()
        self._members: list[WorkerProcess] = []
        self._start()

    def _start(self) -> None:
        devices = members(self._resources.device)
        with self._guard:
            if self._ended:
                raise WorkerDiedError("the group was ended", ready=True)
            for rank, device in enumerate(devices):
                own = replace(self._resources, device=device, rank=rank, processes=len(devices))
                self._members.append(WorkerProcess(self._command, own))

    @property
    def pid(self) -> int:
        """Of the first process."""
        return self._members[0].pid

    @property
    def versions(self) -> dict[str, str]:
        """What every process has."""
        return self._members[0].versions

    def wait_ready(self) -> None:
        """Wait for the first event of each."""
        for member in self._members:
            member.wait_ready()

    def execute(
        self, node: Node, parents: Mapping[str, Path], out: Path, progress: Callable[[dict[str, Any]], None]
    ) -> Answer:
        """Run a node; gives the event that ends it, ``done`` or ``failed``, as the cause told it.

        Raises:
            WorkerDiedError: a process ended, and going on from a checkpoint did not or would not help.
        """
        if node.kind not in TOGETHER:
            return self._members[0].execute(node, parents, out, progress)
        again: dict[str, Any] = {"halvings": ()}  # of this node: those of the one before mean nothing here
        while True:
            before = _checkpoints(out)
            ended = self._together(node, parents, out, progress, again)
            if all(isinstance(each, dict) and each["event"] == "done" for each in ended):
                answers = [each for each in ended if isinstance(each, dict)]
                return {**answers[0], "peak_memory_bytes": max(each["peak_memory_bytes"] for each in answers)}
            cause = _cause(ended)
            if isinstance(cause, WorkerDiedError) and (self._ended or not _checkpoints(out) - before):
                for member in self._members:  # the rest have lost it
                    member.kill()
                raise cause
            self._restart()
            if isinstance(cause, dict):
                if not cause["again"]:
                    return cause
                again |= cause["again"]

    def _together(
        self,
        node: Node,
        parents: Mapping[str, Path],
        out: Path,
        progress: Callable[[dict[str, Any]], None],
        again: Mapping[str, Any],
    ) -> list[Answer | WorkerDiedError | None]:
        """How each process ended; ``None`` for one that was still waiting when another could not go on."""
        meeting = Path(self._meetings.name) / str(next(self._numbers))

        def ask(rank: int) -> Answer | WorkerDiedError:
            own = out if rank == 0 else out.parent / f"{out.name}-{rank}"
            _empty(own)
            member = self._members[rank]
            member.resources |= {**again, "meeting": str(meeting)}
            try:
                return member.execute(node, parents, own, progress if rank == 0 else lambda _: None)
            except WorkerDiedError as death:
                place = f"process {rank + 1} of {len(self._members)}"
                return WorkerDiedError(
                    f"{place} on {self._resources.device}: {death.text}", ready=death.ready, told=death.told
                )

        with ThreadPoolExecutor(len(self._members)) as threads:
            asked = [threads.submit(ask, rank) for rank in range(len(self._members))]
            silent = _wait(asked)
            for rank in silent:
                self._members[rank].kill()
            wait(asked)
        return [None if rank in silent else of.result() for rank, of in enumerate(asked)]

    def _restart(self) -> None:
        """New processes: those that are left wait for one that is not there."""
        for member in self._members:
            member.kill()
            member.close()
        self._members.clear()
        self._start()
        self.wait_ready()

    def stderr_tail(self) -> str:
        """The end of what each printed."""
        said = {rank: member.stderr_tail().strip() for rank, member in enumerate(self._members, 1)}
        return "\n".join(f"process {rank}: {text}" for rank, text in said.items() if text)

    def kill(self) -> None:
        """End all now; a thread waiting for their answer gets ``WorkerDiedError``."""
        with self._guard:
            self._ended = True
            for member in self._members:
                member.kill()

    def terminate(self) -> None:
        """Ask all to save together what can go on and leave; the first process says when."""
        with self._guard:
            self._ended = True
            for member in self._members:
                member.terminate()

    def close(self) -> None:
        """Let idle processes leave, else kill them; then free everything."""
        for member in self._members:
            member.close()
        self._meetings.cleanup()


AnyWorker = WorkerProcess | WorkerGroup
"""What a slot's place is served by."""


def _wait(asked: Sequence[Future[Answer | WorkerDiedError]]) -> set[int]:
    """Until all have answered, or one says that it cannot go on; gives those that had not answered then."""
    rest = set(asked)
    while rest:
        done, rest = wait(rest, return_when=FIRST_COMPLETED)
        results = [each.result() for each in done]
        if any(isinstance(each, WorkerDiedError) or each["event"] == "failed" for each in results):
            _, rest = wait(rest, timeout=LAST_WORDS_SECONDS)
            break
    return {rank for rank, each in enumerate(asked) if each in rest}


def _cause(ended: Sequence[Answer | WorkerDiedError | None]) -> Answer | WorkerDiedError:
    """Why they could not go on: one ran out of memory, or died (so that others lost a connection), or just failed."""
    failed: list[Answer | WorkerDiedError] = [of for of in ended if isinstance(of, dict) and of["event"] == "failed"]
    short = [of for of in failed if isinstance(of, dict) and of["again"]]
    deaths = [of for of in ended if isinstance(of, WorkerDiedError)]
    return next(iter([*short, *deaths, *failed]))


def _checkpoints(out: Path) -> set[str]:
    return {path.name for path in (out.parent / CHECKPOINTS).glob("[!.]*")}


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
