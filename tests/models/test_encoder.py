"""Packed and padded execution: the same hidden states, gradients and steps as plain transformers; no way to mix them up."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import PACKED, PADDED, flat, make_batch, padded_inputs, tiny
from transformers import AutoModel

from xstilts.batching.batch import Batch
from xstilts.errors import ModelError
from xstilts.models.encoder import Encoder
from xstilts.models.loading import load_encoder
from xstilts.models.packed_attention import NAME, Packing, packed_attention

RAGGED = (7, 2, 19, 2, 11, 12, 13, 2, 30, 3)
TYPED = ("bert", "electra", "albert")


def reference(folder: Path, batch: Batch, family: str, model: Any = None) -> list[torch.Tensor]:
    """Hidden states of every layer by plain transformers on a padded batch."""
    model = model if model is not None else AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    output = model(**padded_inputs(batch, 1, types=family in TYPED), output_hidden_states=True)
    return [flat(state, batch.lengths) for state in output.hidden_states]


@pytest.mark.parametrize("family", PACKED + PADDED)
def test_hidden_states_equal_plain_transformers(family: str) -> None:
    encoder, batch = load_encoder(tiny(family)), make_batch(RAGGED, types=family in TYPED)
    with torch.no_grad():
        expected = reference(tiny(family), batch, family)
        layers = encoder.layers(batch)
        torch.testing.assert_close(encoder(batch), expected[-1], atol=1e-4, rtol=0)
    assert len(layers) == encoder.num_layers + 1
    for ours, theirs in zip(layers, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", PACKED + PADDED)
def test_execution_says_which_and_why(family: str) -> None:
    execution = load_encoder(tiny(family)).execution
    assert execution.kind == ("packed" if family in PACKED else "padded")
    assert family in execution.reason


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "xlm-roberta-xl", "electra"])
def test_gradients_and_a_step_equal_plain_transformers(family: str) -> None:
    encoder = load_encoder(tiny(family), dropout=0.0, attention_dropout=0.0).train()
    plain = AutoModel.from_pretrained(tiny(family), attn_implementation="eager").eval()
    batch = make_batch(RAGGED, types=family in TYPED)
    weights = torch.randn(batch.num_tokens, encoder.hidden_size, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward((encoder(batch) * weights).sum())
    torch.autograd.backward((reference(tiny(family), batch, family, plain)[-1] * weights).sum())
    theirs = dict(plain.named_parameters())
    for name, ours in encoder.transformer.named_parameters():
        gradient = theirs[name].grad
        assert (ours.grad is None) == (gradient is None), name
        if gradient is not None and ours.grad is not None:
            size = gradient.norm()
            assert (ours.grad - gradient).norm() <= 1e-4 * size + 1e-3, name
    for model in (encoder, plain):
        torch.optim.SGD(model.parameters(), lr=1e-3).step()
    with torch.no_grad():
        expected = reference(tiny(family), batch, family, plain)[-1]
        torch.testing.assert_close(encoder.eval()(batch), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "electra"])
@pytest.mark.parametrize("seed", range(4))
def test_a_sequence_does_not_depend_on_its_batch_or_order(family: str, seed: int) -> None:
    encoder, draw = load_encoder(tiny(family)), random.Random(seed)
    lengths = [draw.choice([2, 2, 3, 8, 9, 20, 31]) for _ in range(draw.randint(2, 14))]
    batch = make_batch(lengths, seed)
    with torch.no_grad():
        together = torch.split(encoder(batch), lengths)
        texts = list(torch.split(batch.input_ids, lengths))
        shuffled = draw.sample(range(len(lengths)), len(lengths))
        mixed = make_batch([lengths[i] for i in shuffled])
        mixed.input_ids.copy_(torch.cat([texts[i] for i in shuffled]))
        elsewhere = torch.split(encoder(mixed), [lengths[i] for i in shuffled])
        for place, i in enumerate(shuffled):
            alone = make_batch([lengths[i]])
            alone.input_ids.copy_(texts[i])
            torch.testing.assert_close(elsewhere[place], together[i], atol=1e-5, rtol=0)
            torch.testing.assert_close(encoder(alone), together[i], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["xlm-roberta", "roberta", "xlm-roberta-xl"])
def test_a_padding_id_inside_a_text_is_numbered_as_transformers_does(family: str) -> None:
    batch = make_batch((6, 9, 5))
    batch.input_ids[2], batch.input_ids[8] = 1, 1
    with torch.no_grad():
        expected = reference(tiny(family), batch, family)[-1]
        torch.testing.assert_close(load_encoder(tiny(family))(batch), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta-xl", "electra", "distilbert", "albert"])
def test_layers_up_to_equal_the_full_run(family: str) -> None:
    encoder, batch = load_encoder(tiny(family)), make_batch(RAGGED)
    with torch.no_grad():
        whole = encoder.layers(batch)
        for up_to in range(encoder.num_layers + 1):
            part = encoder.layers(batch, up_to=up_to)
            assert len(part) == up_to + 1
            assert all(torch.equal(a, b) for a, b in zip(part, whole[: up_to + 1], strict=True))
            assert torch.equal(encoder.layer(batch, up_to), whole[up_to])
    with pytest.raises(ModelError, match=r"layer 3 .* layers 0 to 2"):
        encoder.layers(batch, up_to=3)


@pytest.mark.parametrize("family", ["bert", "electra", "distilbert"])
def test_layers_above_up_to_are_not_run(family: str) -> None:
    encoder, runs = load_encoder(tiny(family)), [0, 0]
    assert encoder._stack is not None
    for i, layer in enumerate(encoder._stack):
        layer.register_forward_hook(lambda *_, i=i: runs.__setitem__(i, runs[i] + 1))
    encoder.layers(make_batch((4, 4)), up_to=1)
    assert runs == [1, 0]


def test_a_packed_encoder_whose_attention_was_changed_refuses() -> None:
    encoder = load_encoder(tiny("xlm-roberta"))
    encoder.transformer.set_attn_implementation("sdpa")
    with pytest.raises(ModelError, match="sequences would see each other"):
        encoder(make_batch((3, 5)))


def test_a_layer_that_attends_elsewhere_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    encoder = load_encoder(tiny("xlm-roberta"))
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, NAME, sdpa_attention_forward)
    with pytest.raises(ModelError, match="0 attended within their sequences"):
        encoder(make_batch((3, 5)))


def test_a_padded_batch_under_the_packed_name_refuses() -> None:
    batch = make_batch((3, 5))
    inputs = padded_inputs(batch, 1, types=False)
    packed = load_encoder(tiny("xlm-roberta"))
    with pytest.raises(ModelError, match="padding mask"):
        packed.transformer(**inputs)
    with pytest.raises(ModelError, match="without a packing"):
        packed.transformer(input_ids=inputs["input_ids"])
    padded = load_encoder(tiny("electra"))
    padded.transformer.set_attn_implementation(NAME)
    with pytest.raises(ModelError, match="padding mask"):
        padded(batch)


def test_a_decoder_config_is_not_packed() -> None:
    config = load_encoder(tiny("bert")).config
    config.is_decoder = True
    config._attn_implementation = "eager"
    encoder = Encoder(AutoModel.from_config(config))
    assert encoder.execution.kind == "padded" and "decoder" in encoder.execution.reason


def test_attention_dropout_is_honoured_in_training_only() -> None:
    encoder, batch = load_encoder(tiny("xlm-roberta"), dropout=0.0, attention_dropout=0.5), make_batch(RAGGED)
    plain = load_encoder(tiny("xlm-roberta"), dropout=0.0, attention_dropout=0.0).train()
    with torch.no_grad():
        assert torch.equal(encoder(batch), encoder(batch))
        torch.testing.assert_close(encoder(batch), plain(batch))
        encoder.train()
        assert not torch.allclose(encoder(batch), encoder(batch), atol=1e-2)


def test_attention_dropout_keeps_the_mean() -> None:
    from xstilts.models.layout import arrange

    torch.manual_seed(0)
    packing = Packing(arrange([40, 50, 60], torch.device("cpu")))
    query = torch.zeros(1, 4, 150, 8)
    output, _ = packed_attention(torch.nn.Module(), query, query, torch.ones_like(query), None, 0.3, packing=packing)
    assert abs(float(output.mean()) - 1) < 0.02 and float(output.std()) > 0.05


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "electra"])
def test_sequences_too_long_or_empty_are_errors(family: str) -> None:
    encoder = load_encoder(tiny(family))
    longest = encoder.max_length
    assert longest == (38 if family == "xlm-roberta" else 40)
    assert encoder(make_batch((longest, 2))).shape == (longest + 2, 32)
    with pytest.raises(ModelError, match=f"{longest + 1} sub-words exceeds the {longest}"):
        encoder(make_batch((2, longest + 1)))
    with pytest.raises(ModelError, match="at least one"):
        encoder(make_batch((2, 0)))


@pytest.mark.parametrize("family", ["xlm-roberta", "electra"])
def test_bf16_is_autocast_over_float32_weights(family: str) -> None:
    exact, rounded = load_encoder(tiny(family)), load_encoder(tiny(family), "bf16")
    batch = make_batch(RAGGED)
    assert {weight.dtype for weight in rounded.parameters()} == {torch.float32}
    with torch.no_grad():
        ours, full = rounded(batch), exact(batch)
    assert ours.dtype == torch.float32
    difference = float((ours - full).norm() / full.norm())
    assert 1e-4 < difference < 0.1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "xlm-roberta-xl", "electra"])
def test_a_gpu_gives_the_same_hidden_states(family: str) -> None:
    batch = make_batch(RAGGED)
    there = replace(batch, input_ids=batch.input_ids.cuda(), type_ids=batch.type_ids.cuda(), read=batch.read.cuda())
    with torch.no_grad():
        expected = load_encoder(tiny(family))(batch)
        ours = load_encoder(tiny(family), device="cuda")(there)
    torch.testing.assert_close(ours.cpu(), expected, atol=1e-3, rtol=0)


@pytest.mark.real_model
def test_real_encoder_equals_plain_transformers(e5_small: Path) -> None:
    from transformers import AutoTokenizer

    sentences = [
        "query: How far is it to the station?",
        "query: Das Haus am See wurde 1911 gebaut.",
        "passage: Die Katze schläft.",
        "query: यह किताब बहुत पुरानी है।",
        "query: 雨が降っています。",
        "passage: Rivers carry sand and mud to the sea, where the two are sorted by their weight over many years.",
        "query: Ok.",
        "passage: La municipalidad aprobó ayer el presupuesto del año próximo sin votos en contra.",
    ]
    tokenizer = AutoTokenizer.from_pretrained(e5_small)
    ids = tokenizer(sentences)["input_ids"]
    batch = make_batch([len(i) for i in ids])
    batch.input_ids.copy_(torch.tensor([i for sentence in ids for i in sentence]))
    with torch.no_grad():
        plain = AutoModel.from_pretrained(e5_small, dtype=torch.float32).eval()
        expected = reference(e5_small, batch, "xlm-roberta", plain)
        ours = load_encoder(e5_small).layers(batch)
    assert [len(i) for i in ids] != sorted(len(i) for i in ids)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
