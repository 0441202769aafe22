"""One model over several processes: torch's fully sharded data parallelism (FSDP2), set up from outside the model.

Every process holds its part of each weight, gradient and moment; a layer is whole only while it computes. The processes are
started by torchrun and know each other through ``torch.distributed`` (gloo on CPUs, NCCL on GPUs).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xstilts.errors import ModelError
from xstilts.models.heads import HeadSet
from xstilts.models.linear import Linear
from xstilts.models.model import Model


def shard(model: Model, processes: int) -> None:
    """Part the weights of ``model`` among the processes, in place; each of them calls this with the same model.

    Raises:
        ModelError: the family's layers are not one list.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    stack = model.encoder.stack
    if stack is None:
        raise ModelError(f"sharding needs the layers in one list, which {model.encoder.config.model_type!r} has not")
    mesh = init_device_mesh(model.device.type, (processes,))
    heads = model.head.values() if isinstance(model.head, HeadSet) else [model.head]
    for module in (*stack, model.encoder.transformer, *(head for head in heads if head is not None)):
        fully_shard(module, mesh=mesh)
    for module in model.modules():
        if isinstance(module, Linear):
            module.keeps_packed = False  # weights are gathered anew without a mark that they have changed


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be parted; every process must ask."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


@torch.no_grad()
def put(every: Tensor, into: Tensor) -> None:
    """Copy all of a tensor into one that may be parted; every process must do so."""
    if hasattr(into, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        every = distribute_tensor(every.to(into.device), into.device_mesh, into.placements)  # type: ignore[attr-defined]
    into.copy_(every)


@torch.no_grad()
def gather(model: nn.Module, into: nn.Module | None) -> None:
    """Put the weights of a sharded model into an ordinary one of the same make.

    Every process must ask; one that has no use for them says ``None``.
    """
    ours: dict[str, Any] = {} if into is None else into.state_dict(keep_vars=True)
    for name, tensor in model.state_dict().items():
        found = whole(tensor)
        if into is not None:
            ours[name].copy_(found)
