"""The tensors of a checkpoint: what a training changes, by name, written by one process and put back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xstilts.models.sharding import put
from xstilts.training.state import TrainingState

WEIGHTS, MOMENTS, BEST = "weights.safetensors", "optimizer.safetensors", "best.safetensors"

Tensors = dict[str, Tensor]


class Damaged(Exception):  # noqa: N818 - it never leaves these checkpoints
    """Files of a checkpoint are not what was written."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = names


def restore(folder: Path, model: nn.Module, state: TrainingState, files: Mapping[str, Any]) -> None:
    """Put the tensors of a checkpoint that one process wrote into ``model`` and ``state``.

    Raises:
        Damaged: they are another model's.
    """
    own, weights = tensors_of(model), load_file(folder / WEIGHTS)
    if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in weights.items()}:
        raise Damaged(f"{WEIGHTS} (of another model)")
    for name, tensor in own.items():
        put(weights[name], tensor)
    set_moments(model, state.optimizer, load_file(folder / MOMENTS))
    if BEST in files:
        found = _own_memory(load_file(folder / BEST))
        state.best_weights = {name: _like(own[name], t) for name, t in found.items() if name in own}


def tensors_of(model: nn.Module) -> Tensors:
    """The trained parameters and the buffers of ``model`` itself, no copies; one that has two names stands once.

    Frozen parameters are those of the model that training started from.
    """
    found: Tensors = {}
    seen: set[int] = set()
    every = model.named_parameters(remove_duplicate=False)
    frozen = {name for name, parameter in every if not parameter.requires_grad}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name not in frozen and id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


def moments_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's state by the names of the parameters."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}/{kind}": value
        for parameter, values in optimizer.state.items()
        for kind, value in values.items()
    }


def set_moments(model: nn.Module, optimizer: torch.optim.Optimizer, moments: Tensors) -> None:
    """The inverse of ``moments_of``; where each tensor lives is the optimizer's own decision."""
    parameters = dict(model.named_parameters())
    names = {id(parameter): name for name, parameter in parameters.items()}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    by_name: dict[str, Tensors] = {}
    for key, value in _own_memory(moments).items():
        name, _, kind = key.rpartition("/")
        by_name.setdefault(name, {})[kind] = value if kind == "step" else _like(parameters[name], value)
    numbered = {i: by_name[name] for i, name in enumerate(order) if name in by_name}
    optimizer.load_state_dict({"state": numbered, "param_groups": optimizer.state_dict()["param_groups"]})


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """``value``, parted among the processes where ``parameter`` is and it is not."""
    if hasattr(parameter, "device_mesh") and not hasattr(value, "device_mesh"):
        parted = torch.zeros_like(parameter, requires_grad=False)
        put(value, parted)
        return parted
    return value


def write(tensors: Tensors, path: Path) -> None:
    """Write them as one file of safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def _own_memory(tensors: Tensors) -> Tensors:
    """Copies that need the file no more."""
    return {name: tensor.clone() for name, tensor in tensors.items()}
