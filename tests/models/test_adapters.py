"""LoRA: adapted layers of every family under every head, packed, and the merged folder that answers like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from tiny_models import PACKED, flat, make_batch, padded_inputs, tiny
from tiny_tasks import TYPES, head_of, largest, theirs
from torch import Tensor, nn
from transformers import AutoModel

from xstilts.errors import ModelError
from xstilts.hyperparameters import LORA_FAMILIES, Lora, Training
from xstilts.models.adapters import MODULES, has_adapters, plain_weights, save_adapters
from xstilts.models.encoder import Encoder
from xstilts.models.export import export
from xstilts.models.families import FAMILIES
from xstilts.models.loading import load_encoder
from xstilts.models.model import Model

EVERYWHERE = Lora(rank=4, alpha=6, dropout=0.1, targets=tuple(MODULES))
LENGTHS = (7, 12, 3, 12, 20, 5)
SHAPES = [*TYPES, "masked_lm"]


def moved(encoder: Encoder) -> Encoder:
    """Adapters as if they had been trained: B is no longer zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_" in name:
                parameter.normal_(0.0, 0.2, generator=generator)
    return encoder


def adapted(family: str, shape: str, lora: Lora = EVERYWHERE, seed: int = 3) -> Model:
    return Model.start(tiny(family), head_of(shape), seed, lora=lora)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", PACKED)
def test_the_merged_folder_answers_like_the_adapters(family: str, shape: str, tmp_path: Path) -> None:
    """Through ours, packed, and through the class of transformers, padded."""
    model = adapted(family, shape)
    moved(model.encoder)
    batch = make_batch(LENGTHS, read="first" if shape in ("classification", "multiple_choice") else "every second")
    with torch.no_grad():
        logits = model.logits(batch)
        before = Model.start(tiny(family), head_of(shape), 3).logits(batch)
        assert largest(logits, before) > 0.01, "the adapters do something"
        export(model, tmp_path / "merged", "a task", shape)
        assert largest(Model.load(tmp_path / "merged").logits(batch), logits) < 1e-4
        with safe_open(tmp_path / "merged" / "model.safetensors", "pt") as weights:
            assert not [name for name in weights.keys() if "lora" in name or "base_layer" in name]  # noqa: SIM118
        assert largest(model.logits(batch), logits) == 0, "exporting changes nothing of the model itself"
        if shape == "multiple_choice":
            return  # theirs takes choices side by side; that it reads our folder is tested for classification
        inputs = padded_inputs(batch, 0 if family == "bert" else 1, types=False)
        answered = theirs(tmp_path / "merged", shape).eval()(**inputs)
        if shape == "classification":
            assert largest(answered.logits, logits) < 1e-4
        elif shape != "span":
            assert largest(flat(answered.logits, LENGTHS)[batch.read], logits) < 1e-4
        else:
            ends = torch.stack([answered.start_logits, answered.end_logits], -1)
            assert largest(flat(ends, LENGTHS)[batch.read], logits) < 1e-4


@pytest.mark.parametrize("family", PACKED)
def test_adapters_compute_what_the_paper_says(family: str) -> None:
    """``W x + b + alpha / rank B A x`` in every place, and the activation after all of it: against dense matrices, padded."""
    encoder, batch = moved(load_encoder(tiny(family), lora=EVERYWHERE)), make_batch(LENGTHS)
    reference = AutoModel.from_pretrained(tiny(family), add_pooling_layer=False).eval()
    own = {name: p.detach() for name, p in encoder.transformer.named_parameters()}
    with torch.no_grad():
        for name, module in reference.named_modules():
            if f"{name}.lora_A.default.weight" in own:
                a, b = own[f"{name}.lora_A.default.weight"], own[f"{name}.lora_B.default.weight"]
                module.weight += EVERYWHERE.alpha / EVERYWHERE.rank * b @ a
        hidden = reference(**padded_inputs(batch, 0 if family == "bert" else 1, types=False)).last_hidden_state
        assert largest(encoder(batch), flat(hidden, LENGTHS)) < 1e-4
    places = {name.split(".lora_")[0] for name in own if ".lora_" in name}
    assert len(places) == len(MODULES) * encoder.num_layers


@pytest.mark.parametrize("target", MODULES)
def test_each_target_names_one_layer(target: str) -> None:
    encoder = load_encoder(tiny("xlm-roberta"), lora=Lora(targets=(target,)))
    places = {name.split(".lora_")[0] for name, _ in encoder.transformer.named_parameters() if ".lora_" in name}
    assert len(places) == encoder.num_layers


def test_the_first_pass_is_that_of_the_model_without_adapters_and_seeds_differ() -> None:
    batch = make_batch(LENGTHS)
    state = torch.get_rng_state()
    one, same, other = (adapted("xlm-roberta", "classification", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state()), "nobody else's random numbers are drawn"
    plain = Model.start(tiny("xlm-roberta"), head_of("classification"), 3)
    with torch.no_grad():
        assert largest(one.logits(batch), plain.logits(batch)) < 1e-5
    weights, again, others = (dict(m.encoder.named_parameters()) for m in (one, same, other))
    drawn = [name for name in weights if ".lora_A." in name]
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert all(not torch.equal(weights[name], others[name]) for name in drawn)


@pytest.mark.parametrize("embeddings", [False, True])
def test_only_adapters_head_and_perhaps_embeddings_learn(embeddings: bool) -> None:
    model = adapted("xlm-roberta", "tagging", EVERYWHERE.model_copy(update={"embeddings": embeddings})).train()
    moved(model.encoder)
    loss: Tensor = model.logits(make_batch(LENGTHS, read="every second")).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    matrix = "encoder.transformer.embeddings.word_embeddings.weight"
    assert learned == {n for n, p in model.named_parameters() if p.requires_grad}
    assert (matrix in learned) == embeddings
    assert all(n.startswith("head.") or ".lora_" in n or n == matrix for n in learned)


def test_what_is_trained_is_small_and_dropout_of_adapters_is_ours() -> None:
    model = adapted("xlm-roberta", "tagging")
    kinds = {type(m).__module__ for m in model.encoder.modules() if isinstance(m, nn.Dropout)}
    assert kinds == {"xstilts.models.dropout"}
    trained = sum(p.numel() for p in model.encoder.parameters() if p.requires_grad)
    # Six layers of 32 x 32 (four) and 32 x 48 (two), rank 4, in two layers.
    assert trained == 2 * 4 * (4 * (32 + 32) + 2 * (32 + 48))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks by the old name
def test_peft_reads_the_kept_adapters_beside_the_base_model(tmp_path: Path) -> None:
    encoder, batch = moved(load_encoder(tiny("bert"), lora=EVERYWHERE)), make_batch(LENGTHS)
    save_adapters(encoder.transformer, tmp_path / "adapters")
    assert {p.name for p in (tmp_path / "adapters").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    base = AutoModel.from_pretrained(tiny("bert"), add_pooling_layer=False)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapters")).eval()
    with torch.no_grad():
        hidden = loaded(**padded_inputs(batch, 0, types=False)).last_hidden_state
        assert largest(encoder(batch), flat(hidden, LENGTHS)) < 1e-4


def test_plain_weights_are_the_state_dict_where_there_are_no_adapters() -> None:
    transformer = load_encoder(tiny("xlm-roberta")).transformer
    assert not has_adapters(transformer)
    found, state = plain_weights(transformer), transformer.state_dict()
    assert [*found] == [*state]
    assert all(found[name].data_ptr() == state[name].data_ptr() for name in state)


def test_families_and_targets_are_those_that_are_known() -> None:
    assert set(LORA_FAMILIES) == set(FAMILIES)
    (names,) = get_args(Lora.model_fields["targets"].annotation)[:1]
    assert set(get_args(names)) == set(MODULES)
    with pytest.raises(ModelError, match="LoRA is not verified for 'electra'"):
        load_encoder(tiny("electra"), lora=Lora())


def test_a_training_without_it_is_dumped_as_before() -> None:
    assert "lora" not in Training().model_dump(mode="json")
    assert Training(lora=Lora(rank=2)).model_dump(mode="json")["lora"]["rank"] == 2
    assert Training.model_validate(Training(lora=Lora(rank=2)).model_dump(mode="json")).lora == Lora(rank=2)


def bfloat16(lora: Any = EVERYWHERE) -> Encoder:
    return moved(load_encoder(tiny("xlm-roberta"), "bf16", lora=lora))


def test_bfloat16_is_near() -> None:
    batch = make_batch(LENGTHS)
    with torch.no_grad():
        exact = moved(load_encoder(tiny("xlm-roberta"), lora=EVERYWHERE))(batch)
        assert largest(bfloat16()(batch), exact) < 0.2
