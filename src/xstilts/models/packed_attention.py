"""Attention over one flat row of sequences, registered with transformers under our own name.

Both ways to misuse it raise instead of computing something else: a model that carries our name but gets no packing (a
padded batch would silently lose its mask), and a packed row whose layers did not attend through here (plain SDPA would
attend across sequences); the second is seen by counting the calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers.masking_utils import AttentionMaskInterface
from transformers.modeling_utils import AttentionInterface

from xstilts.errors import ModelError
from xstilts.models.layout import Layout
from xstilts.models.product_attention import product_attention, suits_products

NAME = "xstilts_packed"
_LARGEST_FLASH_HEAD = 256


@dataclass
class Packing:
    """Travels through the transformers model as the keyword argument ``packing``."""

    layout: Layout
    calls: int = 0  # layers that have attended through this packing

    @cached_property
    def masks(self) -> list[Tensor | None]:
        """Of each run, n x 1 x 1 x L; built once for all layers."""
        masks = [run.mask(self.layout.positions.device) for run in self.layout.runs]
        return [None if mask is None else mask[:, None, None, :] for mask in masks]


def takes_whole_rows(query: Tensor, dropout: float) -> bool:
    """Whether one kernel attends within all sequences of a row at once: flash attention on CUDA (Ampere or later), in half
    precision, without dropout, for heads it is made for."""
    return (
        query.device.type == "cuda"
        and dropout == 0
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= _LARGEST_FLASH_HEAD
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    packing: Packing | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Each sequence attends to itself only: one flash call for the whole row where there is one, else one SDPA call a run.

    Args:
        query, key, value: 1 x heads x T x head size, tokens sorted as ``packing.layout`` says.
        attention_mask: must be ``None``: the packing is the mask.
        dropout: the probability with which attention weights are dropped.

    Returns:
        1 x T x heads x head size, and no attention weights.
    """
    if packing is None or attention_mask is not None:
        raise ModelError(
            f"attention {NAME!r} was called without a packing or with a mask: sequences would see padding or each other",
            hint="call xstilts.models.encoder.Encoder, not the transformers model inside it",
        )
    packing.calls += 1
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if takes_whole_rows(query, dropout):
        own = scale * query.shape[-1] ** 0.5  # the kernel itself divides by the root of the head size
        query = query if math.isclose(own, 1) else query * own
        bounds, longest = packing.layout.bounds, packing.layout.longest
        q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
        whole = varlen_attn(q, k, v, bounds, bounds, longest, longest)
        assert isinstance(whole, Tensor)  # a pair only where the log-sum-exp is asked for
        return whole.unsqueeze(0), None
    parts = (packing.layout.split(tensor[0].transpose(0, 1)) for tensor in (query, key, value))
    outputs = []
    for run, mask, *of_run in zip(packing.layout.runs, packing.masks, *parts, strict=True):
        q, k, v = (run.spread(rows).transpose(1, 2) for rows in of_run)
        if suits_products(q, dropout):
            attended = product_attention(q, k, v, mask, dropout, scale)
        else:
            attended = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
        outputs.append(run.flatten(attended.transpose(1, 2)))
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return whole.unsqueeze(0), None


def no_mask(*_: Any, attention_mask: Tensor | None = None, **__: Any) -> None:
    """The mask a packed model builds: none; a padding mask meant for it is an error, not something to forget."""
    if attention_mask is not None:
        raise ModelError(
            f"a padding mask was given to a model that attends by {NAME!r}",
            hint="call xstilts.models.encoder.Encoder, not the transformers model inside it",
        )


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, no_mask)
