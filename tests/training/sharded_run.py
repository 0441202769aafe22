"""One training of a mixture, on one process or on several: run by torchrun, and called by the test that compares.

``torchrun ... sharded_run.py HOME calm broken``: trains in ``HOME/calm``, then in ``HOME/broken`` until the second process
kills itself after a step. ``torchrun ... sharded_run.py HOME again``: goes on in ``HOME/broken``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from toys import toy

from xstilts.hyperparameters import Lora, Training
from xstilts.models.heads import HeadSet
from xstilts.models.model import Model
from xstilts.models.recomputing import recompute_layers
from xstilts.models.sharding import gather, shard
from xstilts.training import Checkpoints, MixtureCourse, TaskCourse, TrainingSummary, train
from xstilts.training.checkpoint_tensors import tensors_of
from xstilts.training.ranks import Ranks
from xstilts.training.sharded_checkpoint import ShardedCheckpoints

STEPS, STOP, TOKENS = 12, 7, 60
SETTINGS = Training(
    learning_rate=3e-3, batch_size=9, max_steps=STEPS, dropout=0.0, attention_dropout=0.0, evaluations_per_epoch=3
)
TASKS = {"classification": toy("classification", 40), "tagging": toy("tagging", 40)}
KINDS = {"full": None, "lora": Lora(rank=2, targets=("query", "output"))}


def start(home: Path, kind: str) -> Model:
    heads = {name: task.type.head for name, task in TASKS.items() if task.type.head is not None}
    return Model.start(home / "base", heads, 1, dropout=0.0, attention_dropout=0.0, lora=KINDS[kind])


def learn(model: Model, folder: Path, rank: int = 0, after: Callable[[int], None] = lambda _: None) -> TrainingSummary:
    """The mixture; ``after`` is called with the number of every step that is done."""
    folder.mkdir(parents=True, exist_ok=True)
    courses = {
        name: TaskCourse(task.type, task.type.encode(task.examples, model.tokenizer, task.encoding), SETTINGS, 1)
        for name, task in TASKS.items()
    }
    assert isinstance(model.head, HeadSet)
    shares = {"classification": 0.5, "tagging": 0.5}
    course = MixtureCourse(courses, shares, STEPS, 6, SETTINGS, 1, model.head)
    kinds = ShardedCheckpoints if dist.is_initialized() else Checkpoints
    done = 0

    def progress(step: int, *_: Any, **__: Any) -> None:
        nonlocal done
        done = step
        after(step)

    return train(
        model,
        course,
        micro_batch_tokens=TOKENS,
        dev=lambda: 50.0 + (done == 8),
        progress=progress,
        log=folder / f"log-{rank}",
        checkpoints=kinds(folder / "checkpoints", "a node", every_seconds=0.0),
    )


def sharded(home: Path, name: str, kind: str, ranks: Ranks, after: Callable[[int], None] = lambda _: None) -> None:
    model = start(home, kind)
    if kind == "lora":
        recompute_layers(model.encoder)
    shard(model, ranks.count)
    parted = sum(p.to_local().numel() for p in model.parameters())  # type: ignore[attr-defined]
    assert parted < 0.6 * sum(p.numel() for p in model.parameters()), "each process holds half"
    summary = learn(model, home / name, ranks.rank, after)
    result = start(home, kind)
    gather(model, result)
    if ranks.rank == 0:
        save_file(tensors_of(result), home / name / "weights.safetensors")
        (home / name / "resumed").write_text(repr([(r.step, r.same_conditions) for r in summary.resumed]))


def main(home: Path, tasks: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    ranks = Ranks.here()

    def die(step: int) -> None:
        if step == STOP and ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    for kind in KINDS:
        if "calm" in tasks:
            sharded(home, f"calm-{kind}", kind, ranks)
        if "again" in tasks:
            sharded(home, f"broken-{kind}", kind, ranks)
            sharded(home, f"from-one-{kind}", kind, ranks)
    if "calm" in tasks:
        sharded(home, f"broken-{os.environ['BREAK']}", os.environ["BREAK"], ranks, die)
    ranks.wait()
    dist.destroy_process_group()
    os._exit(0)  # all is written; a thread of gloo's that outlives the interpreter ends the process with an abort


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
