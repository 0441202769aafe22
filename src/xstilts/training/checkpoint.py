"""Checkpoints of a training: stopped at any moment, it goes on to the very weights it would have had.

What is saved: the parameters that are trained and the buffers, the optimizer's moments, the numbers of ``TrainingState`` with
its evaluations, the best weights so far, and the log. What is not, because it is a pure function of (seed, step): the
learning rate, the order of the data, masks and dropout. There is no other random state: torch's generator is seeded anew
before every update, and nothing in training draws from Python's or numpy's global ones (a test watches).

Equality is bit for bit when threads, micro-batches, device and library versions are those of the attempt that wrote the
checkpoint. Otherwise it goes on all the same, and the record says ``same_conditions: false``.

    step-00000120/            appears whole by one rename, everything in it flushed before; the last two are kept
        weights.safetensors   trained parameters, and buffers
        optimizer.safetensors PARAMETER/exp_avg, PARAMETER/exp_avg_sq, PARAMETER/step (of Adafactor: row_var, col_var)
        best.safetensors      the weights of the best dev score, if there is one
        training.jsonl        the log so far
        checkpoint.json       numbers, conditions, sha-256 of every file and of this record itself

Cost: 12 bytes a parameter (16 with best weights), written, flushed and read once for the digests: 1.4 to 1.9 GB for 118M
parameters, that is about 10 s at 200 MB/s. It is counted apart from the training's time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import xstilts
from xstilts.errors import StoreError
from xstilts.graph.disk import as_text, aside, digest_file, explain, read_json, settle, sync_folder, write_synced
from xstilts.graph.node import canonical, sha256_text
from xstilts.models.linear import prefers_onednn
from xstilts.training.checkpoint_tensors import (
    BEST,
    MOMENTS,
    WEIGHTS,
    Damaged,
    moments_of,
    restore,
    tensors_of,
    write,
)
from xstilts.training.state import Resumption, TrainingState

FORMAT = 1
KEPT = 2
LOG, RECORD = "training.jsonl", "checkpoint.json"


@dataclass(frozen=True)
class Checkpoints:
    """Where a training keeps its state, and how often.

    Args:
        folder: holds the checkpoints of one training; made when the first is written.
        of: what is trained (the node's key, and what else the weights mean nothing without): a checkpoint of anything
            else is passed over.
        every_seconds: training time between two; 0 for after every step.
        held: entered while the folder's list of checkpoints changes; raises when the folder is another process's by now.
    """

    folder: Path
    of: str
    every_seconds: float = 120.0
    held: Callable[[], AbstractContextManager[None]] = nullcontext

    def save(self, model: nn.Module, state: TrainingState, log: Path, conditions: Mapping[str, Any]) -> None:
        """Write a checkpoint and drop all but the last two.

        Raises:
            StoreError: the disk refuses, or the folder is another process's by now. The older ones are as they were.
        """
        home = self.folder / f"step-{state.step:08d}"
        fresh = self._fresh(state.step)
        try:
            fresh.mkdir(parents=True)
            self._store(model, state, fresh)
            shutil.copyfile(log, fresh / LOG)
            record = {
                "format": FORMAT,
                "of": self.of,
                "state": state.numbers(),
                "conditions": dict(conditions),
                "files": {path.name: settle(path) for path in sorted(fresh.iterdir())},
            }
            write_synced(fresh / RECORD, as_text({**record, "sha256": sha256_text(canonical(record))}))
            sync_folder(fresh)
            with self.held():
                fresh.rename(home)
                sync_folder(self.folder)
                for old in self._all()[KEPT:]:
                    shutil.rmtree(old)
        except BaseException as error:
            shutil.rmtree(fresh, ignore_errors=True)
            told = explain(error, fresh)
            if told is None or isinstance(error, StoreError):
                raise
            raise told from error

    def resume(
        self, model: nn.Module, state: TrainingState, log: Path, conditions: Mapping[str, Any]
    ) -> Resumption | None:
        """Put the newest whole checkpoint into ``model``, ``state`` and ``log``; remove damaged and half-written ones.

        Returns:
            What happened, which is also added to ``state.resumed``; ``None`` when there was no checkpoint at all.
        """
        damaged: list[str] = []
        bad: list[Path] = []
        resumption = None
        for folder in self._all():
            try:
                differs = self._take(folder, model, state, log, conditions)
            except Damaged as error:
                damaged += [f"{folder.name}/{name}" for name in error.names]
                bad.append(folder)
            else:
                resumption = Resumption(state.step, tuple(damaged), not differs, differs)
                break
        if damaged and resumption is None:
            resumption = Resumption(0, tuple(damaged))
        if resumption is not None:
            state.resumed.append(resumption)
        self._remove([*bad, *self.folder.glob(".*.aside")])
        return resumption

    def drop_from(self, step: int) -> None:
        """Remove the checkpoints of ``step`` and later: what was made beside them is not there."""
        self._remove([path for path in self._all() if int(path.name.removeprefix("step-")) >= step])

    def _remove(self, folders: list[Path]) -> None:
        if folders:
            with self.held():
                for folder in folders:
                    shutil.rmtree(folder)

    def _fresh(self, step: int) -> Path:
        """Where a checkpoint is written before it gets its name."""
        return aside(self.folder / f"step-{step:08d}")

    def _store(self, model: nn.Module, state: TrainingState, fresh: Path) -> None:
        """All tensors."""
        write(tensors_of(model), fresh / WEIGHTS)
        write(moments_of(model, state.optimizer), fresh / MOMENTS)
        if state.best_weights is not None:
            write(state.best_weights, fresh / BEST)

    def _all(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)

    def _take(
        self, folder: Path, model: nn.Module, state: TrainingState, log: Path, conditions: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Everything from ``folder``, or nothing; gives the names of the conditions that differ."""
        record = self._verified(folder)
        if WEIGHTS in record["files"]:
            restore(folder, model, state, record["files"])
        else:
            from xstilts.training.shards import restore_shards  # brings half a second of imports with it

            restore_shards(folder, model, state)
        state.set_numbers(record["state"])
        shutil.copyfile(folder / LOG, log)
        before = record["conditions"]
        return tuple(sorted(name for name in {*before, *conditions} if before.get(name) != conditions.get(name)))

    def _verified(self, folder: Path) -> dict[str, Any]:
        """The record of a checkpoint of which every byte is what was written."""
        try:
            record = read_json(folder / RECORD)
            digest = record.pop("sha256")
            if sha256_text(canonical(record)) != digest:
                raise Damaged(RECORD)
        except (OSError, StoreError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise Damaged(RECORD) from error
        if (record["format"], record["of"]) != (FORMAT, self.of):
            raise Damaged(f"{RECORD} (of another training or version)")
        names = [name for name, promised in record["files"].items() if not is_whole(folder / name, promised)]
        if names:
            raise Damaged(*names)
        verified: dict[str, Any] = record
        return verified


def conditions(device: torch.device, micro_batch_tokens: int, processes: int = 1) -> dict[str, Any]:
    """What bit-for-bit equality needs besides the seed."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    return {
        "threads": torch.get_num_threads(),
        "micro_batch_tokens": micro_batch_tokens,
        "device": f"{device.type} {hardware}".strip(),
        "torch": torch.__version__,
        **{name: metadata.version(name) for name in ("transformers", "tokenizers")},
        "numpy": np.__version__,
        "products": "oneDNN" if prefers_onednn() else "torch",
        "xstilts": xstilts.__version__,
        **({"processes": processes} if processes > 1 else {}),
    }


def is_whole(path: Path, promised: Mapping[str, Any]) -> bool:
    """Whether a file has the ``bytes`` and the ``sha256`` that ``settle`` found when it was written."""
    try:
        return (path.stat().st_size, digest_file(path)) == (promised["bytes"], promised["sha256"])
    except OSError:
        return False  # missing, or the disk cannot read it: the checkpoint before may be better
