"""The masked-LM head is that of the checkpoint where it has one: logits and gradients equal transformers'; else it is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_batch, padded_inputs, tiny, write_tokenizer
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForMaskedLM

from xstilts.errors import ModelError
from xstilts.models.export import export
from xstilts.models.heads import MaskedLMHead
from xstilts.models.loading import WEIGHTS
from xstilts.models.masked_lm_head import NEW, TAKEN, UNTIED, masked_lm_shape, take_masked_lm_head
from xstilts.models.model import Model

FAMILIES = ("xlm-roberta", "bert")


def masked_lm_folder(folder: Path, family: str, **options: Any) -> Path:
    """A random ``...ForMaskedLM`` around the tiny model of a family, biases and norms away from 0 and 1."""
    torch.manual_seed(11)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(tiny(family)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder, **options)
    write_tokenizer(folder, "bert" if family == "bert" else "roberta")
    return folder


def started(folder: Path) -> tuple[Model, str]:
    model = Model.start(folder, masked_lm_shape(folder), 3)
    assert isinstance(model.head, MaskedLMHead)
    return model, take_masked_lm_head(folder, model.head, model.encoder.config)


def renamed(folder: Path, names: dict[str, str | None]) -> None:
    """The same weights under other names; ``None`` leaves one out."""
    weights = load_file(folder / WEIGHTS)
    for old, new in names.items():
        weight = weights.pop(old)
        if new is not None:
            weights[new] = weight
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_the_gradient_of_the_shared_matrix_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    folder = masked_lm_folder(tmp_path, family)
    ours, said = started(folder)
    assert said == TAKEN
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
    batch = make_batch((7, 3, 12), read="every second")
    targets = torch.randint(5, 200, (len(batch.read),), generator=torch.Generator().manual_seed(1))
    pad = int(ours.encoder.config.pad_token_id)
    inputs = padded_inputs(batch, pad, types=False)
    whole = theirs(**inputs).logits
    expected = whole[inputs["attention_mask"].bool()][batch.read]
    found = ours.logits(batch)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    cross_entropy(found, targets).backward()  # type: ignore[no-untyped-call]
    cross_entropy(expected, targets).backward()  # type: ignore[no-untyped-call]
    own = ours.encoder.transformer.get_input_embeddings().weight.grad
    torch.testing.assert_close(own, theirs.get_input_embeddings().weight.grad, atol=1e-5, rtol=1e-4)
    assert (own.abs().sum(dim=1) > 0).all(), "every row of the matrix is compared with, so every row learns"


@pytest.mark.parametrize("family", ["xlm-roberta", "bert", "distilbert"])
def test_a_bare_encoder_gets_a_new_head_and_it_is_said(family: str) -> None:
    model, said = started(tiny(family))
    assert said == NEW
    assert model.logits(make_batch((4, 5))).shape == (2, 200)


def test_a_checkpoint_in_several_files_is_read_by_its_index(tmp_path: Path) -> None:
    folder = masked_lm_folder(tmp_path, "xlm-roberta", max_shard_size="20KB")
    assert not (folder / WEIGHTS).exists()
    model, said = started(folder)
    whole, _ = started(masked_lm_folder(tmp_path / "whole", "xlm-roberta"))
    assert said == TAKEN
    batch = make_batch((6, 4))
    torch.testing.assert_close(model.logits(batch), whole.logits(batch))


def test_old_names_of_layer_norm_and_the_bias_beside_the_decoder_are_known(tmp_path: Path) -> None:
    whole, _ = started(masked_lm_folder(tmp_path / "a", "bert"))
    folder = masked_lm_folder(tmp_path / "b", "bert")
    stem = "cls.predictions"
    norm = f"{stem}.transform.LayerNorm"
    there = load_file(folder / WEIGHTS).keys()
    bias = {f"{stem}.bias": f"{stem}.decoder.bias"} if f"{stem}.decoder.bias" not in there else {f"{stem}.bias": None}
    renamed(folder, {f"{norm}.weight": f"{norm}.gamma", f"{norm}.bias": f"{norm}.beta", **bias})
    model, said = started(folder)
    assert said == TAKEN
    assert isinstance(model.head, MaskedLMHead) and isinstance(whole.head, MaskedLMHead)
    for name, weight in whole.head.state_dict().items():
        assert torch.equal(model.head.state_dict()[name], weight), name


def test_a_part_of_a_head_is_an_error(tmp_path: Path) -> None:
    folder = masked_lm_folder(tmp_path, "xlm-roberta")
    renamed(folder, {"lm_head.dense.weight": None})
    with pytest.raises(ModelError, match=r"lm_head\.dense\.weight"):
        started(folder)


def test_an_output_layer_of_its_own_is_not_taken_for_the_embedding_matrix(tmp_path: Path) -> None:
    folder = masked_lm_folder(tmp_path, "xlm-roberta")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    assert started(folder)[1] == UNTIED


def test_a_matrix_that_is_narrower_than_the_layers_cannot_be_shared() -> None:
    with pytest.raises(ModelError, match="200 x 16"):
        Model.start(tiny("albert"), masked_lm_shape(tiny("albert")), 3)


@pytest.mark.parametrize("family", ["xlm-roberta", "distilbert"])
def test_what_was_exported_is_taken_up_again(family: str, tmp_path: Path) -> None:
    first, _ = started(tiny(family))
    with torch.no_grad():
        for weight in first.parameters():
            weight.add_(0.01)
    export(first, tmp_path / "out", "text", "masked_lm")
    again, said = started(tmp_path / "out")
    assert said == TAKEN
    batch = make_batch((6, 4))
    torch.testing.assert_close(again.logits(batch), first.logits(batch))
