"""Named shapes: their parameters by arithmetic are those that transformers makes, and those of the published models."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.errors import MissingNameError, ModelError
from xstilts.shapes import SHAPES, knows, parameters, shape_config, weights

# FACTS 6.1 and 6.2, in units of 10^9, to the digits that are given there.
BILLIONS = {
    "xlm-r-base": "0.277",
    "xlm-r-large": "0.559",
    "xlm-r-xl": "3.476",
    "xlm-r-xxl": "10.70",
    "mt5-small": "0.300",
    "mt5-base": "0.582",
    "mt5-large": "1.229",
    "mt5-xl": "3.742",  # 3.7426: FACTS cuts it off
    "mt5-xxl": "12.92",
}
WITHOUT_EMBEDDINGS = {"xlm-r-base": "0.085", "xlm-r-large": "0.303", "xlm-r-xl": "2.83", "xlm-r-xxl": "9.67"}


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_of_the_published_models(name: str) -> None:
    digits = len(BILLIONS[name].partition(".")[2])
    assert abs(parameters(shape_config(name)) / 1e9 - float(BILLIONS[name])) < 10**-digits


@pytest.mark.parametrize("name", WITHOUT_EMBEDDINGS)
def test_parameters_without_embeddings(name: str) -> None:
    config = shape_config(name)
    rest = parameters(config) - config["vocab_size"] * config["hidden_size"]
    digits = len(WITHOUT_EMBEDDINGS[name].partition(".")[2])
    assert abs(rest / 1e9 - float(WITHOUT_EMBEDDINGS[name])) < 10**-digits


def test_the_halves_of_mt5_xxl() -> None:
    found = list(weights(shape_config("mt5-xxl")))
    encoder = sum(w.count for w in found if w.name.startswith("encoder."))
    decoder = sum(w.count for w in found if w.name.startswith("decoder."))
    shared = next(w.count for w in found if w.name == "shared.weight")
    for count, printed in ((encoder, 4.63), (encoder + shared, 5.65), (decoder, 6.24)):
        assert abs(count / 1e9 - printed) < 0.01


def made_on_meta(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

    said = {name: value for name, value in config.items() if name != "architectures"}
    made = AutoConfig.for_model(**said)
    with torch.device("meta"):
        if config["model_type"] != "mt5":
            model = AutoModel.from_config(made, add_pooling_layer=False)
        else:
            # transformers 5 ties the output matrix too, whatever the published config says; untied, it gives both sides a
            # matrix of sub-words of their own, which are one in every T5.
            made.tie_word_embeddings = False
            model = AutoModelForSeq2SeqLM.from_config(made)
    named = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    return {name: size for name, size in named.items() if not name.endswith("embed_tokens.weight")}


@pytest.mark.parametrize("name", SHAPES)
def test_every_weight_has_the_name_and_size_that_transformers_gives_it(name: str) -> None:
    config = shape_config(name)
    assert {w.name: w.size for w in weights(config)} == made_on_meta(config)


@pytest.mark.parametrize("family", ["bert", "roberta", "camembert"])
def test_relatives_are_counted_too(family: str) -> None:
    config = {**shape_config("xlm-r-base", 2), "model_type": family, "type_vocab_size": 2}
    assert {w.name: w.size for w in weights(config)} == made_on_meta(config)


def test_fewer_layers_are_counted_as_they_are() -> None:
    whole, half = shape_config("mt5-small"), shape_config("mt5-small", 4)
    assert (half["num_layers"], half["num_decoder_layers"]) == (4, 4)
    assert parameters(half) < parameters(whole)
    assert shape_config("xlm-r-xl", 12)["num_hidden_layers"] == 12


def test_a_wrong_name_says_the_nearest() -> None:
    with pytest.raises(MissingNameError, match="xlm-r-xxl"):
        shape_config("xlmr-xxl")


def test_an_unknown_family_is_refused() -> None:
    assert not knows({"model_type": "modernbert"})
    with pytest.raises(ModelError, match="modernbert"):
        list(weights({"model_type": "modernbert"}))
