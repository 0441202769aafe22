"""The heads: RoBERTa's classification head and one linear layer (jiant heads.py), and masked LM's.

Shape legend: R positions read; H hidden size; C outputs; V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from xstilts.errors import ModelError, nearest, shown
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


class MaskedLMHead(nn.Module):
    """Dense, activation, LayerNorm, then the embedding matrix as output layer, with a bias of its own (Devlin et al. 2019).

    The matrix stays the encoder's: ``tie`` says which one, and it is not among this head's weights.
    """

    def __init__(self, hidden_size: int, num_outputs: int, activation: str, epsilon: float) -> None:
        super().__init__()
        self.dense = _linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        if activation not in ACT2FN:
            raise ModelError(f"config.json: hidden_act is {shown(activation)}", hint=nearest(str(activation), ACT2FN))
        self.activation = ACT2FN[activation]
        self._tied: tuple[nn.Embedding, ...] = ()  # in a tuple, so that it is not registered twice

    def tie(self, embeddings: nn.Embedding) -> None:
        """Use ``embeddings.weight`` (V x H) as output layer.

        Raises:
            ModelError: the matrix is of another shape than V x H (ALBERT's embeddings are narrower than its layers).
        """
        needed, there = (len(self.bias), self.dense.out_features), tuple(embeddings.weight.shape)
        if there != needed:
            raise ModelError(
                f"the embedding matrix is {there[0]} x {there[1]}, but a masked-LM head that shares it needs {needed[0]} x "
                f"{needed[1]}"
            )
        self._tied = (embeddings,)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states R x H to logits R x V."""
        transformed = self.norm(self.activation(self.dense(hidden)))
        (embeddings,) = self._tied
        logits: Tensor = nn.functional.linear(transformed, embeddings.weight, self.bias)
        return logits


AnyHead = PooledHead | TokenHead | MaskedLMHead


class HeadSet(nn.ModuleDict):
    """Heads of several tasks on one encoder, of which one is in use."""

    def __init__(self, heads: Mapping[str, AnyHead]) -> None:
        super().__init__(heads)
        self.in_use = next(iter(heads))

    def use(self, name: str) -> None:
        """Answer with the head of this task from now on."""
        if name not in self:
            raise KeyError(name)
        self.in_use = name

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states R x H to logits R x C of the head in use."""
        logits: Tensor = self[self.in_use](hidden)
        return logits


MODULES: Mapping[str, set[str]] = {
    "pooled": {"dense", "output"},
    "token": {"output"},
    "masked_lm": {"", "dense", "norm"},
}
"""Kind of head -> its modules with weights; the empty name is the head itself."""


def new_head(head: Head, config: Any, seed: int, *, dropout: float | None = None) -> AnyHead:
    """A head with fresh weights, as transformers makes them: normal(0, ``initializer_range``), zero bias, norms at one.

    Masked LM takes activation and epsilon from the config; where it has none, GELU and BERT's 1e-12.

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
    hidden_size, dropout = int(config.hidden_size), 0.1 if dropout is None else float(dropout)
    made: AnyHead
    match head.kind:
        case "pooled":
            made = PooledHead(hidden_size, head.num_outputs, dropout)
        case "token":
            made = TokenHead(hidden_size, head.num_outputs, dropout)
        case "masked_lm":
            activation, epsilon = getattr(config, "hidden_act", "gelu"), getattr(config, "layer_norm_eps", 1e-12)
            made = MaskedLMHead(hidden_size, head.num_outputs, activation, epsilon)
    generator = torch.Generator().manual_seed(seed)
    deviation = float(getattr(config, "initializer_range", 0.02))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
            elif weight.ndim > 1:
                weight.normal_(0.0, deviation, generator=generator)
    return made


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer whose weights are set later, without a draw from the global random state."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    return layer
