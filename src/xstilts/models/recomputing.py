"""Gradient checkpointing (Chen et al. 2016): layers keep their input and compute the rest again when gradients are due.

A resource choice, not one of the method: dropout draws the same numbers again from the generator's saved state, so gradients
are those of an ordinary training to the last bit (a test compares). Where activations are what fills the memory it buys
longer or more sequences in one forward pass for about a third more computing.

The last layer is left as it is: its gradients are due at once, so nothing would be saved by forgetting what it computed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from xstilts.errors import ModelError
from xstilts.models.encoder import Encoder


def recompute_layers(encoder: Encoder) -> None:
    """Let every layer of ``encoder`` but the last forget what it computed, in training mode; evaluation is as before.

    Raises:
        ModelError: the family's layers are not one list (ALBERT shares one layer).
    """
    if encoder.stack is None:
        raise ModelError(
            f"gradient checkpointing needs the layers in one list, which {encoder.config.model_type!r} has not",
            hint="run without --gradient-checkpointing; fewer --micro-batch-tokens need less memory too",
        )
    for layer in encoder.stack[:-1]:
        _recompute(layer)


def _recompute(layer: nn.Module) -> None:
    inner = layer.forward

    def forward(*args: Any, **named: Any) -> Any:
        if layer.training and torch.is_grad_enabled():
            return checkpoint(inner, *args, use_reentrant=False, **named)
        return inner(*args, **named)

    layer.forward = forward
