"""Attention with dropout on a CPU: torch's own mathematics, gradients and rate of dropping."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from xstilts.models.product_attention import product_attention

SHAPE = (3, 2, 5, 4)  # n, h, L, d


States = tuple[Tensor, Tensor, Tensor]


def states(*, dtype: torch.dtype = torch.float64) -> States:
    """Query, key and value as the packed row gives them: n x L x h x d, transposed."""
    generator = torch.Generator().manual_seed(1)
    n, h, length, d = SHAPE
    q, k, v = (torch.randn(n, length, h, d, generator=generator, dtype=dtype).requires_grad_() for _ in range(3))
    return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def mask() -> Tensor:
    lengths = torch.tensor([5, 2, 4])
    return (torch.arange(SHAPE[2]) < lengths[:, None])[:, None, None, :]


@pytest.mark.parametrize("masked", [False, True])
def test_with_next_to_no_dropout_it_is_attention_and_so_are_its_gradients(masked: bool) -> None:
    inputs, of = states(), torch.linspace(-1, 1, 120, dtype=torch.float64).reshape(SHAPE)
    query, key, value = inputs
    ours = product_attention(query, key, value, mask() if masked else None, 1e-12, 0.3)
    theirs = scaled_dot_product_attention(query, key, value, attn_mask=mask() if masked else None, scale=0.3)
    torch.testing.assert_close(ours, theirs)
    for found, expected in zip(
        torch.autograd.grad((ours * of).sum(), inputs), torch.autograd.grad((theirs * of).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_with_dropout_are_the_slopes_of_the_same_draw(masked: bool) -> None:
    leaves = [each.detach().requires_grad_() for each in states()]

    def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        torch.manual_seed(3)
        return product_attention(query, key, value, mask() if masked else None, 0.4, 0.5)

    assert torch.autograd.gradcheck(attended, leaves)


def test_it_drops_as_many_weights_as_asked_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    length = 400
    query = key = torch.zeros(1, 1, length, length)  # equal weights
    value = torch.eye(length)[None, None]
    weights = product_attention(query, key, value, None, 0.25, 1.0) * length
    assert weights.eq(0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert sorted(set(weights.flatten().tolist())) == pytest.approx([0, 1 / 0.75])


def test_equal_seeds_drop_equal_weights() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return product_attention(*states(), mask(), 0.3, 1.0)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_in_bfloat16_it_computes_as_torch_does_and_so_do_its_gradients() -> None:
    q, k, v = (each.to(torch.bfloat16).detach().requires_grad_() for each in states(dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        ours = product_attention(q, k, v, None, 1e-6, 0.5)
        theirs = scaled_dot_product_attention(q, k, v, scale=0.5)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=2e-2)
    for found, expected in zip(
        torch.autograd.grad(ours.float().square().sum(), (q, k, v)),
        torch.autograd.grad(theirs.float().square().sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
