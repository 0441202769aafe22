"""What a plan holds: the graph, the places of the result table, the measurements, and where input lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from xstilts.graph.node import Graph
from xstilts.study import Study
from xstilts.tasks import load


@dataclass(frozen=True)
class Cell:
    """One place of the result table and the score node that fills it; ``retry`` counts how often its model was begun anew."""

    model: str
    arm: str
    target: str
    split: str
    seed: int
    key: str
    retry: int = 0


@dataclass(frozen=True)
class Checkpoint(Cell):
    """The same of an encoder that was kept on the way through the arm's intermediate training: the ``number``-th, from 1."""

    number: int = 0


@dataclass(frozen=True)
class Measured:
    """One measurement of a study on one target, and the node that makes it."""

    measurement: str
    target: str
    split: str
    key: str


@dataclass(frozen=True)
class Plan:
    """The graph of a study, its table, where inputs lie, what was left out and why, and where rows came from."""

    study: Study
    graph: Graph
    cells: tuple[Cell, ...]
    files: dict[str, str]
    models: dict[str, str]
    precision: str
    left_out: tuple[dict[str, str], ...] = ()
    hub: dict[str, Any] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()  # in no table, only beside the arms' retrieval by layer
    translated: dict[str, str] = field(default_factory=dict)  # task.split.language -> how a machine translated its rows
    random: dict[str, str] = field(default_factory=dict)  # model -> how its weights were drawn; it has learned nothing
    unjudged: tuple[str, ...] = ()  # targets of which a collapse cannot be told, and why; where retries are declared

    @property
    def wanted(self) -> set[str]:
        """Keys of the nodes whose output people read: scores and measurements."""
        scored = (*self.cells, *self.checkpoints)
        return {cell.key for cell in scored} | {each.key for each in self.measured}

    def payload(self) -> dict[str, Any]:
        """What the store records of a study: enough to show its table without the study file."""
        return {
            "study": self.study.model_dump(mode="json"),
            "nodes": [n.as_json() for n in self.graph],
            "cells": [asdict(c) for c in self.cells],
            "checkpoints": [asdict(c) for c in self.checkpoints],
            "measurements": [asdict(m) for m in self.measured],
            "precision": self.precision,
            "left_out": list(self.left_out),
            "hub": self.hub,
            "translated": self.translated,
            **({"random": self.random} if self.random else {}),
            "unjudged": list(self.unjudged),
            "targets": {
                t.name: {"group": t.group, "languages": list(t.languages)} for t in map(load, self.study.targets)
            },
        }
