"""Our linear layers are torch's, up to rounding: outputs, gradients, GELU, and bfloat16 weights that follow a change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import make_batch, tiny
from tiny_tasks import RAGGED
from torch import Tensor, nn
from torch.nn.functional import gelu

from xstilts.models.linear import Activation, Linear, has_onednn, use_onednn
from xstilts.models.loading import load_encoder

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this build of torch has no oneDNN")


@pytest.fixture(params=[True, False], ids=["oneDNN", "torch"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where float32 products are faster: another library is taken on every other kind of CPU."""
    monkeypatch.setattr("xstilts.models.linear.prefers_onednn", lambda: request.param)


def plain(bias: bool = True) -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(24, 40, bias=bias)


def after(layer: nn.Linear, inputs: Tensor, activation: Activation) -> Tensor:
    output: Tensor = layer(inputs)
    return gelu(output) if activation == "gelu" else output


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("activation", ["none", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24,), (7, 24), (1, 7, 24)])
def test_outputs_and_gradients_are_torchs(activation: Activation, bias: bool, shape: tuple[int, ...]) -> None:
    theirs, inputs = plain(bias), torch.randn(shape, requires_grad=True)
    ours = Linear(plain(bias), activation)
    expected, found = after(theirs, inputs, activation), ours(inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = list(theirs.parameters()), list(ours.parameters())
    upstream = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [inputs, *weights[0]], upstream)
    for gradient, want in zip(torch.autograd.grad(found, [inputs, *weights[1]], upstream), wanted, strict=True):
        torch.testing.assert_close(gradient, want, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_bfloat16_weights_follow_the_weights(activation: Activation) -> None:
    theirs, ours, inputs = plain(), Linear(plain(), activation), torch.randn(9, 24)
    with torch.no_grad():
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                found = ours(inputs)
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found.float(), after(theirs, inputs, activation), atol=0.05, rtol=0.05)
            for layer in (theirs, ours):
                layer.weight.mul_(-1.5)  # as an optimizer changes it, in place


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "xlm-roberta-xl", "electra"])
def test_every_linear_layer_of_an_encoder_is_replaced_and_says_the_same(family: str) -> None:
    encoder, batch = load_encoder(tiny(family)), make_batch(RAGGED)
    layers = [m for m in encoder.transformer.modules() if isinstance(m, nn.Linear)]
    assert layers and all(isinstance(m, Linear) for m in layers)
    assert any(m.activation == "gelu" for m in layers if isinstance(m, Linear))
    names = list(encoder.transformer.state_dict())
    with torch.no_grad():
        found = encoder(batch)
        _back(encoder.transformer)
        assert list(encoder.transformer.state_dict()) == names
        torch.testing.assert_close(found, encoder(batch), atol=2e-5, rtol=1e-4)


def _back(module: Any) -> None:
    """torch's own layers again, and the activation behind them."""
    for name, child in list(module.named_children()):
        if isinstance(child, Linear):
            old = nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
            old.weight, old.bias = child.weight, child.bias
            setattr(module, name, old)
            if child.activation == "gelu":
                module.intermediate_act_fn = nn.GELU()
        else:
            _back(child)


def test_a_subclass_of_a_linear_layer_is_left_alone() -> None:
    class Special(nn.Linear):
        pass

    holder = nn.ModuleDict({"special": Special(3, 3), "plain": nn.Linear(3, 3)})
    use_onednn(holder)
    assert type(holder["special"]) is Special and type(holder["plain"]) is Linear


@pytest.mark.usefixtures("products")
def test_a_frozen_layer_keeps_nothing_of_what_goes_in() -> None:
    theirs, ours = plain().requires_grad_(False), Linear(plain(), "none").requires_grad_(False)
    inputs, kept = torch.randn(7, 24, requires_grad=True), list[torch.Size]()

    def note(saved: Tensor) -> Tensor:
        kept.append(saved.shape)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        found = ours(inputs)
    assert inputs.shape not in kept
    upstream = torch.randn_like(found)
    (wanted,) = torch.autograd.grad(theirs(inputs), inputs, upstream)
    torch.testing.assert_close(*(torch.autograd.grad(found, inputs, upstream)[0], wanted), atol=1e-4, rtol=1e-4)
