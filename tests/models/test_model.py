"""Heads read only what is read; new heads are seeded; a training step equals one of plain transformers."""

from __future__ import annotations

import pytest
import torch
import transformers
from tiny_models import PACKED, PADDED, make_batch, padded_inputs, tiny
from torch import nn
from torch.nn.functional import cross_entropy

from xstilts.models.export import export
from xstilts.models.heads import PooledHead, TokenHead, new_head
from xstilts.models.loading import load_encoder
from xstilts.models.model import Model
from xstilts.task_types import Head

THREE = Head("pooled", 3, ("a", "b", "c"))


def test_logits_read_only_the_positions_asked_for() -> None:
    model, batch = Model.start(tiny("bert"), Head("token", 4), seed=0), make_batch((6, 3, 9), read="some")
    seen: list[torch.Size] = []
    assert isinstance(model.head, TokenHead)
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    logits = model.logits(batch)
    assert seen == [torch.Size([10, 32])] and logits.shape == (10, 4)
    torch.testing.assert_close(logits, model.head.output(model.hidden(batch))[batch.read])


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
@pytest.mark.parametrize("lengths", [(7,), (3, 9, 3, 1, 30), (5, 5, 5)])
def test_reading_some_positions_equals_computing_all(family: str, lengths: tuple[int, ...]) -> None:
    encoder, batch = load_encoder(tiny(family)), make_batch(lengths, read="some")
    torch.testing.assert_close(encoder.read(batch), encoder(batch)[batch.read], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("family", PACKED)
def test_the_gradients_of_reading_some_positions_are_those_of_computing_all(family: str) -> None:
    encoder, batch = load_encoder(tiny(family)).train(), make_batch((3, 9, 3, 12), read="some")
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0

    def gradients(some: bool) -> dict[str, torch.Tensor]:
        encoder.zero_grad()
        states = encoder.read(batch) if some else encoder(batch)[batch.read]
        (states * torch.linspace(-1, 1, states.numel()).reshape(states.shape)).sum().backward()
        return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}

    found, expected = gradients(True), gradients(False)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_the_last_layer_goes_on_with_what_is_read_alone() -> None:
    encoder, batch = load_encoder(tiny("xlm-roberta")), make_batch((6, 3, 9))
    sizes = {}
    for number, layer in enumerate(encoder.transformer.encoder.layer):
        layer.intermediate.register_forward_pre_hook(lambda _, args, n=number: sizes.update({n: args[0].shape[1]}))
    encoder.read(batch)
    assert sizes == {0: 18, 1: 3}
    encoder(batch)
    assert sizes == {0: 18, 1: 18}, "nothing stays behind"


def test_pooled_head_is_dense_tanh_linear() -> None:
    head = PooledHead(4, 2, 0.5).eval()
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_()
        hidden = torch.randn(5, 4)
        assert torch.equal(head(hidden), head.output(torch.tanh(head.dense(hidden))))
        assert not torch.equal(head.train()(hidden), head(hidden))


@pytest.mark.parametrize("shape", [THREE, Head("token", 500), Head("masked_lm", 300)])
def test_new_heads_are_seeded_as_transformers_makes_them_and_leave_the_global_state_alone(shape: Head) -> None:
    config = load_encoder(tiny("xlm-roberta")).config
    state = torch.get_rng_state()
    one, same, other = (dict(new_head(shape, config, seed).named_parameters()) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    matrices = [name for name, p in one.items() if p.ndim > 1]
    assert matrices and not any(p.any() for name, p in one.items() if name.endswith("bias"))
    assert all(torch.equal(one[name], same[name]) and not torch.equal(one[name], other[name]) for name in matrices)
    weights = torch.cat([one[name].detach().flatten() for name in matrices])
    assert abs(float(weights.std()) / config.initializer_range - 1) < 0.15 and abs(float(weights.mean())) < 0.05


def test_dropout_overrides_reach_encoder_and_head() -> None:
    model = Model.start(tiny("bert"), THREE, 0, dropout=0.25, attention_dropout=0.0)
    drops = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    attention = {p for name, p in drops.items() if "attention.self" in name}
    rest = {p for name, p in drops.items() if "attention.self" not in name}
    assert attention == {0.0} and rest == {0.25}
    assert Model.start(tiny("bert"), THREE, 0).head.dropout.p == 0.1  # type: ignore[union-attr]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "xlm-roberta-xl"])
@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_an_adamw_step_equals_plain_transformers(
    family: str, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("start")
    shape = THREE if kind == "classification" else Head("token", 3)
    model = Model.start(tiny(family), shape, seed=3, dropout=0.0, attention_dropout=0.0)
    export(model, out, "task", kind)
    cls = {"classification": "AutoModelForSequenceClassification", "tagging": "AutoModelForTokenClassification"}[kind]
    plain = getattr(transformers, cls).from_pretrained(out).eval()
    lengths = (4, 17, 2, 9, 10)
    batch = make_batch(lengths, read="first")
    gold = torch.tensor([0, 1, 2, 1, 0])

    def their_logits() -> torch.Tensor:
        logits: torch.Tensor = plain(**padded_inputs(batch, 1, types=False)).logits
        return logits if kind == "classification" else logits[:, 0]

    model.train()
    losses = [cross_entropy(model.logits(batch), gold), cross_entropy(their_logits(), gold)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=0)
    for loss, trained in zip(losses, (model, plain), strict=True):
        optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-3, eps=1e-3)
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(model.eval().logits(batch), their_logits(), atol=1e-4, rtol=0)


def test_bf16_logits_are_float32_and_close() -> None:
    batch = make_batch((4, 9))
    exact = Model.start(tiny("xlm-roberta"), THREE, 0).logits(batch)
    rounded = Model.start(tiny("xlm-roberta"), THREE, 0, precision="bf16").logits(batch)
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.2, rtol=0.1)


def test_what_peers_ask_of_a_model() -> None:
    model = Model.start(tiny("electra"), THREE, 0)
    assert (model.num_layers, model.hidden_size, model.device.type, model.precision) == (2, 32, "cpu", "fp32")
    assert not model.training and model.encoder.execution.kind == "padded"
    assert model.tokenizer.encode(["a b"])[0].ids[0] == 0
