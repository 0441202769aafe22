"""The two heads (jiant heads.py): RoBERTa's classification head, and one linear layer.

Shape legend: R positions read; H hidden size; C outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xstilts.task_types import Head


class PooledHead(nn.Module):
    """Dropout, dense, tanh, dropout, linear on the first token: classification, and one score for each choice."""

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = _linear(hidden_size, hidden_size)
        self.output = _linear(hidden_size, num_outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states R x H to logits R x C."""
        logits: Tensor = self.output(self.dropout(torch.tanh(self.dense(self.dropout(hidden)))))
        return logits


class TokenHead(nn.Module):
    """Dropout, linear: tags, and the start and end of spans."""

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = _linear(hidden_size, num_outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states R x H to logits R x C."""
        logits: Tensor = self.output(self.dropout(hidden))
        return logits


def new_head(head: Head, config: Any, seed: int, *, dropout: float | None = None) -> PooledHead | TokenHead:
    """A head with fresh weights, as transformers makes them: normal(0, ``initializer_range``), zero bias.

    Args:
        head: what the shape of task needs.
        config: the encoder's transformers config.
        seed: of the weights; the global random state is not touched.
        dropout: overrides the config's ``classifier_dropout`` or ``hidden_dropout_prob``.
    """
    if dropout is None:
        dropout = getattr(config, "classifier_dropout", None)
    if dropout is None:
        dropout = getattr(config, "hidden_dropout_prob", None)
    kind = PooledHead if head.kind == "pooled" else TokenHead
    made = kind(int(config.hidden_size), head.num_outputs, 0.1 if dropout is None else float(dropout))
    generator = torch.Generator().manual_seed(seed)
    deviation = float(getattr(config, "initializer_range", 0.02))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
            else:
                weight.normal_(0.0, deviation, generator=generator)
    return made


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer whose weights are set later, without a draw from the global random state."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    return layer
