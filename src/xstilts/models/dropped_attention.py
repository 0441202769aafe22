"""Attention with dropout on a CPU, where torch's fast kernel has none and its other path walks through memory many times.

The mathematics are those of ``scaled_dot_product_attention``: softmax, then each weight dropped with probability p and the
others divided by 1 - p.

Shape legend: n sequences; h heads; L length; d head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def dropped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
) -> Tensor:
    """Attention of a block, n x h x L x d, with dropout.

    Args:
        query, key, value: n x h x L x d, any strides.
        mask: n x 1 x 1 x L, True where a key may be attended to; ``None`` for everywhere.
        dropout: the probability with which a weight is dropped, above 0.
        scale: of the products.
    """
    attended: Tensor = _DroppedAttention.apply(query, key, value, mask, dropout, scale)  # type: ignore[no-untyped-call]
    return attended


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
    ) -> Tensor:
        shape, dtype = query.shape, query.dtype
        q, k, v = (states.reshape(-1, *shape[2:]) for states in (query, key, value))  # n * h x L x d
        with torch.autocast("cpu", enabled=False):  # products in the dtype of the states, the softmax in float32
            scores = torch.bmm(q * scale, k.transpose(1, 2))
            if mask is not None:
                scores.view(*shape[:3], -1).masked_fill_(~mask, -torch.inf)
            weights = torch.softmax(scores, -1, dtype=torch.promote_types(dtype, torch.float32)).to(dtype)
            kept = torch.empty_like(weights).bernoulli_(1 - dropout).div_(1 - dropout)
            attended = torch.bmm(weights * kept, v)
        ctx.save_for_backward(q, k, v, weights, kept)
        ctx.scale, ctx.shape = scale, shape
        return attended.view(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, kept = ctx.saved_tensors
        gradient = gradients[0].reshape(v.shape)
        of_value = torch.bmm((weights * kept).transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, v.transpose(1, 2)).mul_(kept)
        # Of a softmax: w (g - sum w g).
        of_scores = of_weights.sub_((of_weights * weights).sum(-1, keepdim=True)).mul_(weights).mul_(ctx.scale)
        of_query, of_key = torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q)
        return of_query.view(ctx.shape), of_key.view(ctx.shape), of_value.view(ctx.shape), None, None, None
