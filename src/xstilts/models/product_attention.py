"""Attention by batched products on a CPU: with dropout, which torch's fast kernel has not (its other path walks through
memory many times), and in bfloat16, where products of short sequences are up to twice as fast as that kernel.

The mathematics are those of ``scaled_dot_product_attention``: softmax, then each weight dropped with probability p and the
others divided by 1 - p.

Shape legend: n sequences; h heads; L length; d head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xstilts.models.dropout import kept_mask

LONGEST = 256
"""Above this many sub-words the L x L weights of bfloat16 attention leave the cache, and torch's kernel is as fast."""


def suits_products(query: Tensor, dropout: float) -> bool:
    """Whether attention of ``query``, ... x L x d, is faster this way."""
    if query.device.type != "cpu":
        return False
    return dropout > 0 or (query.dtype == torch.bfloat16 and query.shape[-2] <= LONGEST)


def product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
) -> Tensor:
    """Attention of a block, n x h x L x d.

    Args:
        query, key, value: n x h x L x d, any strides.
        mask: n x 1 x 1 x L, True where a key may be attended to; ``None`` for everywhere.
        dropout: the probability with which a weight is dropped; 0 for none.
        scale: of the products.
    """
    attended: Tensor = _ProductAttention.apply(query, key, value, mask, dropout, scale)  # type: ignore[no-untyped-call]
    return attended


class _ProductAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
    ) -> Tensor:
        shape = query.shape
        q, k, v = (states.reshape(-1, *shape[2:]) for states in (query, key, value))  # n * h x L x d
        with torch.autocast("cpu", enabled=False):  # products in the dtype of the states; softmax adds up in float32
            scores = _scores(q, k, mask, shape, scale)
            weights = torch.softmax(scores, -1)
            kept = kept_mask(weights, dropout) if dropout else None
            attended = torch.bmm(weights if kept is None else weights * kept, v)
        ctx.save_for_backward(q, k, v, weights, kept)
        ctx.scale, ctx.shape = scale, shape
        return attended.view(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, kept = ctx.saved_tensors
        gradient = gradients[0].reshape(v.shape)
        of_value = torch.bmm((weights if kept is None else weights * kept).transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, v.transpose(1, 2))
        if kept is not None:
            of_weights.mul_(kept)
        # Of a softmax: w (g - sum w g).
        of_scores = of_weights.sub_((of_weights * weights).sum(-1, keepdim=True)).mul_(weights).mul_(ctx.scale)
        of_query, of_key = torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q)
        return of_query.view(ctx.shape), of_key.view(ctx.shape), of_value.view(ctx.shape), None, None, None


def _scores(q: Tensor, k: Tensor, mask: Tensor | None, shape: torch.Size, scale: float) -> Tensor:
    """Scaled products n * h x L x L, minus infinity where a key may not be attended to."""
    if mask is None:
        return torch.bmm(q * scale, k.transpose(1, 2))
    n, h, longest, _ = shape
    bias = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, -torch.inf)
    return torch.baddbmm(bias.expand(n, h, 1, longest).reshape(n * h, 1, longest), q, k.transpose(1, 2), alpha=scale)
