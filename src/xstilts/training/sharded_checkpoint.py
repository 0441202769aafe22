"""Checkpoints of a training on several processes: each writes its part, and any number of processes can go on from them.

Written and read by ``torch.distributed.checkpoint`` as safetensors, where each part's place in its tensor stands in the
file's header. (DCP's usual format has a pickled index; it is not used.) Folder, record, digests and what makes a checkpoint
whole are those of ``checkpoint``:

    step-00000120/
        shard-00001-model-...safetensors   of each process: weights/NAME, optimizer/NAME/KIND, best/NAME
        training.jsonl, checkpoint.json    as ever, by the first process
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_saver import save

from xstilts.training.checkpoint import Checkpoints
from xstilts.training.checkpoint_tensors import Damaged, moments_of, tensors_of
from xstilts.training.ranks import Ranks
from xstilts.training.state import TrainingState


@dataclass(frozen=True)
class ShardedCheckpoints(Checkpoints):
    """Checkpoints that all processes of a training write and read together; every method is called by each of them."""

    ranks: Ranks = field(default_factory=Ranks.here)

    def save(self, model: nn.Module, state: TrainingState, log: Path, conditions: Mapping[str, Any]) -> None:
        """As ever; the first process makes the folder, the record and what the others must not do twice."""
        if self.ranks.rank == 0:
            super().save(model, state, log, conditions)
        else:
            self._store(model, state, self._fresh(state.step))
        self.ranks.wait()

    def _fresh(self, step: int) -> Path:
        """All processes know it; what a killed training left there is removed when it is taken up again."""
        return self.folder / f".step-{step:08d}.shards.aside"

    def _store(self, model: nn.Module, state: TrainingState, fresh: Path) -> None:
        self.ranks.wait()  # for the folder
        best = state.best_weights or {}
        tensors = {
            **{f"weights/{name}": tensor for name, tensor in tensors_of(model).items()},
            **{f"optimizer/{name}": tensor for name, tensor in moments_of(model, state.optimizer).items()},
            **{f"best/{name}": tensor for name, tensor in best.items()},
        }
        writer = HuggingFaceStorageWriter(path=str(fresh), save_distributed=True)
        save(tensors, storage_writer=writer)

    def _verified(self, folder: Path) -> dict[str, Any]:
        """The first process reads every byte, and the others take its word."""
        record, damaged = {}, None
        if self.ranks.rank == 0:
            try:
                record = super()._verified(folder)
            except Damaged as error:
                damaged = error
        if not self.ranks.decided(int(damaged is None), _device()):
            raise damaged or Damaged(*_names(folder))
        return record or super()._verified(folder)

    def _remove(self, folders: list[Path]) -> None:
        self.ranks.wait()  # until nobody looks at them any more
        if self.ranks.rank == 0:
            super()._remove(folders)
        self.ranks.wait()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) or ["all of it"]


def _device() -> torch.device:
    """Where the processes talk: NCCL only knows tensors of a GPU."""
    if torch.distributed.is_initialized() and torch.distributed.get_backend() == "nccl":
        return torch.device("cuda")
    return torch.device("cpu")
