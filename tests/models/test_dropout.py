"""Dropout by the word: as many dropped as asked for, means kept, equal seeds equal masks, nothing in evaluation."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import tiny
from torch import nn

from xstilts.models.dropout import Dropout, kept_mask
from xstilts.models.loading import load_encoder


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_many_are_dropped_as_asked_for(dropout: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    count = 400_003  # no whole number of words
    mask = kept_mask(torch.empty(count, dtype=dtype), dropout)
    assert mask.dtype == dtype and mask.shape == (count,)
    error = math.sqrt(dropout * (1 - dropout) / count)
    assert float((mask == 0).float().mean()) == pytest.approx(dropout, abs=4 * error + 2**-16)
    if dropout < 1:
        assert float(mask[mask != 0].float().mean()) == pytest.approx(1 / (1 - dropout), rel=5e-3)


def test_neighbours_that_share_a_word_are_independent() -> None:
    torch.manual_seed(2)
    kept = (kept_mask(torch.empty(400_000), 0.5) != 0).float().view(-1, 4)
    correlations = torch.corrcoef(kept.T) - torch.eye(4)
    assert float(correlations.abs().max()) < 4 / math.sqrt(len(kept))


def test_equal_seeds_give_equal_masks_and_evaluation_none() -> None:
    layer, states = Dropout(0.3), torch.ones(50, 7)
    torch.manual_seed(5)
    first = layer(states)
    torch.manual_seed(5)
    assert torch.equal(first, layer(states)) and not torch.equal(first, layer(states))
    assert torch.equal(layer.eval()(states), states)


def test_the_gradient_is_the_mask() -> None:
    states = torch.ones(40, requires_grad=True)
    output = Dropout(0.4)(states)
    (gradient,) = torch.autograd.grad(output.sum(), states)
    assert torch.equal(gradient, output.detach())


def test_an_encoder_has_ours_with_its_own_probabilities() -> None:
    encoder = load_encoder(tiny("xlm-roberta"), dropout=0.25)
    layers = [m for m in encoder.transformer.modules() if isinstance(m, nn.Dropout)]
    assert layers and all(type(m) is Dropout for m in layers)
    assert {m.p for m in layers} >= {0.25} and not any(m.training for m in layers)
