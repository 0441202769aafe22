"""Go on from a checkpoint that several processes wrote, with however many there are now."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load

from xstilts.training.checkpoint_tensors import Damaged, Tensors, set_moments, tensors_of
from xstilts.training.state import TrainingState


def restore_shards(folder: Path, model: nn.Module, state: TrainingState) -> None:
    """Put the tensors of a sharded checkpoint into ``model`` and ``state``, however many processes wrote and read it.

    Raises:
        Damaged: they are another model's.
    """
    reader = HuggingFaceStorageReader(path=str(folder))
    sizes = {name: tuple(found.size) for name, found in reader.read_metadata().state_dict_metadata.items()}  # type: ignore[union-attr]
    own = tensors_of(model)
    if {f"weights/{name}": tuple(t.shape) for name, t in own.items()} != _under("weights", sizes):
        raise Damaged("shards (of another model)")
    moments: Tensors = {}
    for key in _under("optimizer", sizes):
        name, _, kind = key.removeprefix("optimizer/").rpartition("/")
        moments[key] = torch.zeros(()) if kind == "step" else torch.zeros_like(own[name])
    best = {key: torch.zeros_like(own[key.removeprefix("best/")]) for key in _under("best", sizes)}
    with warnings.catch_warnings():  # without torchrun it says that there is one process
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        load({**{f"weights/{n}": t for n, t in own.items()}, **moments, **best}, storage_reader=reader)
    set_moments(model, state.optimizer, _named(moments))
    if best:
        state.best_weights = _named(best)


def _under(kind: str, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: size for name, size in sizes.items() if name.startswith(f"{kind}/")}


def _named(tensors: Mapping[str, Tensor]) -> Tensors:
    """Without the kind before the name."""
    return {key.partition("/")[2]: tensor for key, tensor in tensors.items()}
