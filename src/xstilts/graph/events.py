"""What a run tells its listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xstilts.graph.node import Node


@dataclass(frozen=True)
class Event:
    """Anything that happens in a run.

    Args:
        done: finished nodes of those wanted, the ones that were finished before among them.
        total: wanted nodes.
        eta_seconds: forecast of the time left, from the mean seconds of each kind so far; ``None`` before the first.
    """

    done: int
    total: int
    eta_seconds: float | None


@dataclass(frozen=True)
class RunStarted(Event):
    """The first event: ``done`` nodes were finished before."""


@dataclass(frozen=True)
class NodeSetAside(Event):
    """Before a run: a finished node is damaged, so it is made again; ``title`` names it, ``message`` says what and where."""

    title: str
    message: str


@dataclass(frozen=True)
class NodeEvent(Event):
    """Something about one node, on the worker with number ``slot``."""

    node: Node
    slot: int


@dataclass(frozen=True)
class NodeStarted(NodeEvent):
    """A worker began."""

    device: str


@dataclass(frozen=True)
class NodeProgress(NodeEvent):
    """How far a running node is: ``position`` of ``length`` (``None``: unknown) ``unit``."""

    position: float
    length: float | None
    unit: str
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeDone(NodeEvent):
    """Finished and in the store; ``elsewhere``: by another driver."""

    seconds: float
    elsewhere: bool = False


@dataclass(frozen=True)
class NodeFailed(NodeEvent):
    """Failed; ``type`` and ``message`` are in the store with the traceback."""

    type: str
    message: str


@dataclass(frozen=True)
class NodeBlocked(NodeEvent):
    """Cannot run, because ``cause`` failed."""

    cause: Node


@dataclass(frozen=True)
class NodeElsewhere(NodeEvent):
    """Another driver is running it; this one waits for the outcome."""

    message: str


@dataclass(frozen=True)
class SlotWaiting(Event):
    """The worker with number ``slot`` has no machine to run on yet, or has lost it."""

    slot: int


@dataclass(frozen=True)
class Said(Event):
    """What people should know of the run as a whole."""

    text: str
