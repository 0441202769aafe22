from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import ToyModel
from transformers import get_linear_schedule_with_warmup

from xstilts.hyperparameters import Training
from xstilts.training.optimizer import adamw, learning_rate, warmup_steps


def test_biases_and_norms_do_not_decay() -> None:
    model = ToyModel(2)
    optimizer = adamw(model, Training(weight_decay=0.1))
    names = {id(p): n for n, p in model.named_parameters()}
    decays = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {n for n, decay in decays.items() if decay == 0} == {
        "own.bias",
        "mean.bias",
        "norm.weight",
        "norm.bias",
        "output.bias",
    }
    assert {n for n, decay in decays.items() if decay == 0.1} == {
        "words.weight",
        "own.weight",
        "mean.weight",
        "output.weight",
    }


def test_frozen_parameters_are_left_out() -> None:
    model = ToyModel(2)
    model.words.requires_grad_(False)
    trained = [p for group in adamw(model, Training()).param_groups for p in group["params"]]
    assert all(p is not model.words.weight for p in trained)
    assert len(trained) == len(list(model.parameters())) - 1


def test_the_fused_update_equals_the_plain_loop() -> None:
    settings = Training(learning_rate=1e-2, weight_decay=0.1)
    weights = []
    for fused in (True, False):
        torch.manual_seed(0)
        layer = nn.Linear(8, 8)
        optimizer = adamw(layer, settings)
        assert optimizer.param_groups[0]["fused"] is True
        if not fused:
            plain = [{**g, "fused": False} for g in optimizer.param_groups]
            optimizer = torch.optim.AdamW(plain, foreach=False)
        for _ in range(10):
            optimizer.zero_grad()
            layer(torch.randn(4, 8)).square().sum().backward()
            optimizer.step()
        weights.append(layer.weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (0.1, 30), (0.25, 7), (3, 10), (500, 20), (0.1, 1), (1, 5)])
def test_the_schedule_is_that_of_transformers(warmup: float, total: int) -> None:
    settings = Training(learning_rate=0.5, warmup=warmup)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    oracle = get_linear_schedule_with_warmup(optimizer, warmup_steps(warmup, total), total)
    for step in range(total):
        assert learning_rate(step, total, settings) == pytest.approx(oracle.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        oracle.step()


@pytest.mark.parametrize(
    ("warmup", "total", "steps"), [(0.1, 30, 3), (0.29, 100, 29), (0.1, 9, 0), (1, 9, 1), (0, 9, 0)]
)
def test_warmup_is_a_share_below_one_and_steps_from_one(warmup: float, total: int, steps: int) -> None:
    assert warmup_steps(warmup, total) == steps
