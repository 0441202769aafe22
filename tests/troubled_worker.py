"""Groups of two processes that train: one in which the second is killed and short of memory, one that is told to stop.

Run as a script, it takes a folder with ``plan.json`` and leaves there, of a mixture and the training after it,

    trouble/    a store: the second process was killed once in the mixture, and was short of memory once in the training
    killed      says that the first has happened; ``kept`` are the checkpoints that both had written by then
    told/       a store: the driver got SIGTERM in the middle of the mixture, and went on
    calm/       a store: nothing happened to the mixture
    said.json   how the runs ended
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp

import xstilts.learning
import xstilts.training.sharded_checkpoint  # noqa: F401
from forked import forked
from xstilts.execute import execute
from xstilts.graph.claim import Claim
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Graph, Node, Resources
from xstilts.graph.run import Interrupted, run
from xstilts.graph.stopping import asked
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.training import TaskCourse

KILLED, SHORT, FITS, STOPPED_AT = 5, 2, 80, 3
"""The step of the mixture after which it is killed; steps of the training before memory is short; sub-words that fit then;
the step of the mixture at which its driver is told to stop."""
HOME = Path(sys.argv[1] if __name__ == "__main__" else ".")


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
        if node.kind == "mix" and resources.rank == 0 and done == STOPPED_AT and (HOME / "stop").exists():
            (HOME / "stop").unlink()
            os.kill(os.getppid(), signal.SIGTERM)
            while not asked():
                time.sleep(0.005)

    def loss(course: TaskCourse, model: Any, micro_batch: Any) -> torch.Tensor:
        found = whole(course, model, micro_batch)
        short = node.kind == "train" and resources.rank == 1 and done >= SHORT
        if short and micro_batch.batch.num_tokens > FITS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return found

    TaskCourse.loss = loss  # type: ignore[method-assign, assignment]
    try:
        rarely = node.kind == "mix" and (HOME / "killed").exists()
        again = Resources(**{**asdict(resources), "checkpoint_seconds": 1e9 if rarely else 0.0})
        return execute(node, parents, out, again, told)  # type: ignore[arg-type]
    finally:
        TaskCourse.loss = whole  # type: ignore[method-assign]


def go(graph: Graph, name: str) -> dict[str, Any]:
    """A run of the group on the store of this name."""
    slot = Resources(PLAN["files"], PLAN["models"], "cpu+cpu", threads=1, micro_batch_tokens=PLAN["tokens"])
    try:
        summary = run(graph, Store(HOME / name), LocalEngine([slot], ()), listen=lambda event: None)
    except Interrupted as stopped:
        left = Store(HOME / name)
        return {
            "code": stopped.exit_code,
            "failures": left.failures(),
            "held": [key for key in left.claims() if left.owner(key)],
            "checkpoints": [path.name for path in left.root.glob("work/*/*/*/checkpoints/*")],
        }
    return {"complete": summary.complete, "failed": summary.failed}


if __name__ == "__main__":
    PLAN = json.loads((HOME / "plan.json").read_text())
    nodes = tuple(map(Node.from_json, PLAN["nodes"]))
    mixture = Graph("g", tuple(node for node in nodes if node.kind == "mix"))
    with forked(troubled):
        said = {"trouble": go(Graph("g", nodes), "trouble")}
        (HOME / "stop").touch()
        said |= {"stopped": go(mixture, "told"), "told": go(mixture, "told"), "calm": go(mixture, "calm")}
    (HOME / "said.json").write_text(json.dumps(said))
