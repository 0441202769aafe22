"""Trains the model of a node, on one process or parted among several, and gives it whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress
from xstilts.models.adapters import has_adapters, save_adapters
from xstilts.models.model import Model
from xstilts.models.sharding import gather, shard
from xstilts.models.trained_rows import rows_met
from xstilts.task_types import Features
from xstilts.training import Checkpoints, Course, TrainingSummary
from xstilts.training import train as run_training
from xstilts.training.kept import Kept
from xstilts.training.ranks import Ranks

Counts = dict[str, Any]


def learn(
    node: Node,
    model: Model,
    start: Callable[[Resources], Model],
    course: Course,
    features: Sequence[Features] | None,
    dev: Callable[[], float] | None,
    out: Path,
    resources: Resources,
    progress: Progress,
) -> tuple[TrainingSummary, Model | None]:
    """Train; gives the model as it is exported, ``None`` in a process that is not the first of several.

    Args:
        start: makes such a model anew: one that is parted among processes is put together in it, on the host.
        features: all that is learned from, so that other rows of the embedding matrix can be left where they are.
    """
    ranks = Ranks.here()

    def whole(parted: Model) -> Model | None:
        if ranks.count == 1:
            return parted
        found = start(replace(resources, device="cpu")) if ranks.rank == 0 else None
        gather(parted, found)
        return found

    checkpoints, kept = checkpoints_in(node, out, resources), Kept.of(node, course.total, out, whole)
    if kept is not None:
        kept.make_ready(checkpoints)
    with nullcontext() if features is None else rows_met(model.encoder, features):
        if ranks.count > 1:
            shard(model, ranks.count)
        summary = run_training(
            model,
            course,
            micro_batch_tokens=resources.micro_batch_tokens,
            dev=dev,
            progress=progress,
            log=out / "training.jsonl",
            checkpoints=checkpoints,
            kept=kept,
            halvings=resources.halvings,
        )
    learned = whole(model)
    if kept is not None and learned is not None:
        kept.deliver(out)
    if learned is not None and has_adapters(learned.encoder.transformer):
        save_adapters(learned.encoder.transformer, out / "adapters")
    return summary, learned


@contextmanager
def every_core(resources: Resources) -> Iterator[None]:
    """Within, this process computes on every core of the run: all other nodes wait for a model that is made from scratch."""
    own = torch.get_num_threads()
    torch.set_num_threads(resources.cores)
    try:
        yield
    finally:
        torch.set_num_threads(own)


def of_training(model: Model, summary: TrainingSummary) -> Counts:
    """What is kept with the node of how its model was trained."""
    execution = model.encoder.execution
    found: Counts = {"training": summary.as_json(), "execution": f"{execution.kind}: {execution.reason}"}
    if (processes := Ranks.here().count) > 1:
        found["processes"] = processes
    if has_adapters(model.encoder.transformer):
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        found["lora"] = {"trained_parameters": trained, "peft": version("peft")}
    return found


def write_counts(counts: Counts, out: Path) -> Counts:
    """Leave ``training.json``."""
    (out / "training.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return counts


def checkpoints_in(node: Node, out: Path, resources: Resources) -> Checkpoints:
    """Beside the outputs, in the node's claim: the next attempt goes on from there."""
    claim = Claim.of(out)
    place = (claim.checkpoints, node.key, resources.checkpoint_seconds, claim.held)
    if Ranks.here().count == 1:
        return Checkpoints(*place)
    from xstilts.training.sharded_checkpoint import ShardedCheckpoints  # brings half a second of imports with it

    return ShardedCheckpoints(*place)
