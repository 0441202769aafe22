"""Dropout whose random bits cost little on a CPU.

torch draws one number for each element there, one after the other: a sixth of a training step. Here one drawn 64-bit word
decides about four elements, from the same generator: equal seeds give equal masks. Probabilities are multiples of 1/65536;
what is kept is scaled by the probability that is really used, so means are exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LANES = 4  # elements a word decides about
_STEPS = 1 << 16
_LEAST = -(1 << 15)


def kept_mask(like: Tensor, dropout: float) -> Tensor:
    """0 where an element of ``like`` is dropped, else what it is multiplied with; of its shape and dtype, on the CPU."""
    dropped = round(dropout * _STEPS)
    if dropped == _STEPS:
        return torch.zeros_like(like)
    words = torch.empty(-(-like.numel() // _LANES), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    kept = words.view(torch.int16)[: like.numel()] >= _LEAST + dropped
    return kept.to(like.dtype).mul_(_STEPS / (_STEPS - dropped)).view(like.shape)


class Dropout(nn.Dropout):
    """``nn.Dropout``, with those masks on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return input * kept_mask(input, self.p)


def use_own_dropout(module: nn.Module) -> None:
    """Replace every plain dropout layer in ``module``, in place."""
    for name, child in list(module.named_children()):
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout(child.p).train(child.training))
        else:
            use_own_dropout(child)
