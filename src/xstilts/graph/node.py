"""A node: one stage of a study, and its identity.

Identity is data: the key is the sha-256 of the canonical JSON of kind, version, spec and parents' keys. Whatever can
change a result is in the spec; where and with what it runs (``Resources``) never is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from xstilts.errors import StudyError

VERSIONS = {
    "random": 1,
    "pretrain": 4,
    "prune": 1,
    "train": 3,
    "mix": 2,
    "predict": 3,
    "generate": 1,
    "parse": 1,
    "retrieve": 1,
    "calibrate": 1,
    "score": 4,
    "measure": 5,
}
"""Declared code version of every node kind: raised when the kind's output may change (a golden test watches)."""
ALONE = frozenset({"measure"})
"""Kinds that run while nothing else of this run does: beside another node a measurement would be of both."""

LIGHT = frozenset({"parse", "calibrate", "score"})
"""Kinds that load no model."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Node:
    """One stage.

    Args:
        kind: a key of ``VERSIONS``.
        spec: plain JSON; hashed.
        parents: role -> key of the node whose output is read; hashed.
        labels: what people call it (model, arm, task, seed); not hashed.
        version: of the code that makes its output; ``None`` is today's (``VERSIONS``).
    """

    kind: str
    spec: Mapping[str, Any]
    parents: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None

    @property
    def code_version(self) -> int:
        """The declared version that is part of the key."""
        return VERSIONS[self.kind] if self.version is None else self.version

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits."""
        identity = {"kind": self.kind, "version": self.code_version, "spec": self.spec, "parents": self.parents}
        return sha256_text(canonical(identity))

    @property
    def title(self) -> str:
        """One line for people: ``train e5-small/nli/xnli seed 1``."""
        names = [str(self.labels[k]) for k in ("measurement", "model", "arm", "task") if self.labels.get(k)]
        extra = [
            f"{k} {self.labels[k]}" for k in ("split", "seed", "checkpoint", "retry") if self.labels.get(k) is not None
        ]
        return " ".join([self.kind, "/".join(names), *extra])

    def as_json(self) -> dict[str, Any]:
        """Everything, for the store and for workers."""
        return {
            "key": self.key,
            "kind": self.kind,
            "version": self.code_version,
            "spec": dict(self.spec),
            "parents": dict(self.parents),
            "labels": dict(self.labels),
        }

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Node:
        """The node a record was made from. Its key is the recorded one: to hash 100,000 specs again takes half a minute."""
        node = Node(record["kind"], record["spec"], record["parents"], record["labels"], record["version"])
        if "key" in record:
            node.__dict__["key"] = record["key"]
        return node


@dataclass(frozen=True)
class Resources:
    """Where inputs lie and what to run on. Never part of a key.

    Args:
        files: sha-256 of an input file -> where it lies.
        models: identity of a model -> its folder (or hub id).
        device: ``cpu`` or ``cuda:N``; of a slot also several, ``cuda:0+1``, whose processes train one model together.
        threads: CPU threads a worker uses.
        cores: CPU threads of all workers together: what a node takes that others wait for (pre-training).
        micro_batch_tokens: sub-words in one forward pass; affects rounding and which dropout masks are drawn.
        task_files: files of tasks from outside the package; their digests are in the specs.
        checkpoint_seconds: training time between two checkpoints of a training; 0 for one after every step.
        memory_check: whether a node that would not fit in memory is refused before it runs.
        stream: whether predictions leave a model's weights in their files and read a layer at a time (``auto``: where they
            do not fit into memory); affects rounding only.
        gradient_checkpointing: trainings keep the input of every layer and compute the rest again: less memory, more time,
            the same gradients.
        rank, processes: which of how many processes that train one model this is; affects rounding and dropout masks.
        meeting: a file of this attempt, where these processes find each other.
        halvings: (step from 1, sub-words): micro-batches are smaller from there on, as memory ran out there before.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 2
    cores: int = 2
    micro_batch_tokens: int = 4096
    task_files: tuple[str, ...] = ()
    checkpoint_seconds: float = 120.0
    memory_check: bool = True
    stream: Literal["auto", "always", "never"] = "auto"
    gradient_checkpointing: bool = False
    rank: int = 0
    processes: int = 1
    meeting: str = ""
    halvings: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("threads", "micro_batch_tokens"):
            if (value := getattr(self, name)) < 1:
                raise StudyError(f"{value} was asked, and 1 is the least", where=f"--{name.replace('_', '-')}")

    def path(self, sha256: str) -> Path:
        """Where the input file with this digest lies."""
        return Path(self.files[sha256])


@dataclass(frozen=True)
class Graph:
    """The nodes of a study in an order in which each comes after its parents."""

    study: str
    nodes: tuple[Node, ...]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @cached_property
    def by_key(self) -> dict[str, Node]:
        """Key -> node."""
        return {n.key: n for n in self.nodes}
