"""A worker of a group in which the second process is killed once, in a mixture, and is short of memory once, in a training.

Run as a script. ``TROUBLE`` names a folder: ``killed`` there says that the first has happened; ``kept`` are the checkpoints
that the two processes had written by then.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from xstilts.execute import execute
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress, serve
from xstilts.training import TaskCourse

KILLED, SHORT, FITS = 5, 2, 80
"""The step of the mixture after which it is killed; steps of the training before memory is short; sub-words that fit then."""
HOME = Path(os.environ.get("TROUBLE", "."))


def troubled(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress
) -> dict[str, Any]:
    done, whole = 0, TaskCourse.loss

    def told(position: float, total: float | None, unit: str, **notes: Any) -> None:
        nonlocal done
        done = int(position) if unit == "steps" else done
        progress(position, total, unit, **notes)
        if node.kind == "mix" and resources.rank == 1 and done == KILLED and not (HOME / "killed").exists():
            shutil.copytree(Claim.of(out).checkpoints, HOME / "kept")
            (HOME / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def loss(course: TaskCourse, model: Any, micro_batch: Any) -> torch.Tensor:
        found = whole(course, model, micro_batch)
        short = node.kind == "train" and resources.rank == 1 and done >= SHORT
        if short and micro_batch.batch.num_tokens > FITS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return found

    TaskCourse.loss = loss  # type: ignore[method-assign, assignment]
    try:
        again = Resources(**{**asdict(resources), "checkpoint_seconds": 0.0})
        return execute(node, parents, out, again, told)  # type: ignore[arg-type]
    finally:
        TaskCourse.loss = whole  # type: ignore[method-assign]


if __name__ == "__main__":
    serve(troubled)
