"""What a run asks of whoever computes: places, and workers that take one node after the other there.

An attempt at a node - claim it, run it, commit what came out - is made whole by one worker, on the machine that computes, in
the store that all share. A run only decides which node goes where and hears how it ended; so where nodes run is exchangeable,
and what an attempt finished stays finished whatever happens to the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from xstilts.errors import XstiltsError
from xstilts.graph.failure import Failure
from xstilts.graph.node import Node, Resources
from xstilts.graph.store import Store

Hear = Callable[[Mapping[str, Any]], None]
"""Takes the events of an attempt: ``{"event": "started"}`` and those of progress (see ``xstilts.graph.worker``)."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Args:
        status: ``done``: committed; ``found``: finished by somebody else; ``busy``: somebody else is at it; ``failed``: and
            recorded; ``released``: the worker was stopped, the node is free again.
        seconds: that the node ran, if it is done.
        busy: who is at it.
        failure: why it failed.
    """

    status: Literal["done", "found", "busy", "failed", "released"]
    seconds: float = 0.0
    busy: str = ""
    failure: Failure | None = None


class WorkerLostError(XstiltsError):
    """A worker's machine is gone or cannot be reached, or it was told to stop; no node is to blame."""


class Worker(Protocol):
    """Takes one node after the other at one place, in a process that keeps what it loaded."""

    def wait(self, seconds: float) -> bool:
        """Wait until it can take a node, at most so long; whether it can."""

    def attempt(self, node: Node, hear: Hear) -> Outcome:
        """Make one attempt at a node whose parents are finished.

        Raises:
            WorkerLostError: it may not have ended. The worker may be waited for again.
            StoreError: the disk refuses: no other node would fare better.
            XstiltsError: no process can be started here.
        """

    def kill(self, *, save: bool = False) -> None:
        """Stop now and for good: at once, or as soon as what runs has saved; it is released. Called from another thread."""

    def close(self) -> None:
        """Let it leave, after the last node."""


@dataclass(frozen=True)
class Place:
    """Where one worker runs beside the others.

    Args:
        resources: what it runs on.
        memory_bytes: memory that is its own; ``None`` where the workers share what there is.
        light: whether it only takes nodes that load no model (``LIGHT``).
        machine: the cluster's name of the machine that was found to hold it, if there are several.
    """

    resources: Resources
    memory_bytes: int | None = None
    light: bool = False
    machine: str = field(default="", compare=False)


class Engine(Protocol):
    """Where nodes run."""

    @property
    def places(self) -> Sequence[Place]:
        """What there is."""

    @property
    def measures(self) -> bool:
        """Whether it runs what is measured (``ALONE``): on this machine, with nothing beside it."""

    def may(self, number: int, node: Node) -> bool:
        """Whether the place of this number takes a node at all; for every node one does."""

    def start(self, place: Place, store: Store) -> Worker:
        """A worker at one of the places."""
