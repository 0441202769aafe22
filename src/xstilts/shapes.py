"""Named shapes of published models, and every weight of a configuration, by arithmetic: nothing is loaded, no torch here.

Sizes are those of the published config.json files (XLM-R: Conneau et al. 2020; XL and XXL: Goyal et al. 2021; mT5: Xue et al.
2021). aya-101 and mT0-XXL have the shape of mT5-XXL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xstilts.errors import MissingNameError, ModelError

RANDOM = "xstilts_random_weights"
"""The field of config.json that says weights were drawn, not learned. Whatever is made from such a folder keeps it."""
AFTER_PADDING = ("camembert", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""Every ``model_type`` that numbers positions from ``pad_token_id + 1`` on and skips padding ids; others begin at 0."""
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Weight:
    """One weight of a checkpoint.

    Args:
        name: in the file.
        size: of each dimension.
        deviation: of the normal distribution that an untrained one is drawn from; 0 for a constant.
        mean: what a constant one is.
    """

    name: str
    size: tuple[int, ...]
    deviation: float = 0.0
    mean: float = 0.0

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.size)


def longest_sequence(family: str, numbered: int | None, padding_id: int | None) -> int | None:
    """Sub-words of the longest sequence that an encoder numbers; ``None`` where its configuration does not limit it.

    Args:
        family: its ``model_type``.
        numbered: its ``max_position_embeddings``.
        padding_id: its ``pad_token_id``: families of RoBERTa number from the one after it.
    """
    if not numbered or numbered < 0:
        return None
    before = (1 if padding_id is None else padding_id) + 1 if family in AFTER_PADDING else 0
    return numbered - before


def _xlmr(layers: int, hidden: int, heads: int, inner: int, vocabulary: int, *, pre_norm: bool = False) -> Config:
    return {
        "architectures": ["XLMRobertaXLModel" if pre_norm else "XLMRobertaModel"],
        "model_type": "xlm-roberta-xl" if pre_norm else "xlm-roberta",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-5,
        "initializer_range": 0.02,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }


def _mt5(layers: int, hidden: int, heads: int, inner: int) -> Config:
    return {
        "architectures": ["MT5ForConditionalGeneration"],
        "model_type": "mt5",
        "is_encoder_decoder": True,
        "d_model": hidden,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "num_heads": heads,
        "d_kv": 64,
        "d_ff": inner,
        "vocab_size": 250_112,
        "feed_forward_proj": "gated-gelu",
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6,
        "initializer_factor": 1.0,
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


SHAPES: Mapping[str, Config] = {
    "xlm-r-base": _xlmr(12, 768, 12, 3072, 250_002),
    "xlm-r-large": _xlmr(24, 1024, 16, 4096, 250_002),
    "xlm-r-xl": _xlmr(36, 2560, 32, 10_240, 250_880, pre_norm=True),
    "xlm-r-xxl": _xlmr(48, 4096, 32, 16_384, 250_880, pre_norm=True),
    "mt5-small": _mt5(8, 512, 6, 1024),
    "mt5-base": _mt5(12, 768, 12, 2048),
    "mt5-large": _mt5(24, 1024, 16, 2816),
    "mt5-xl": _mt5(24, 2048, 32, 5120),
    "mt5-xxl": _mt5(24, 4096, 64, 10_240),
}
"""Name -> what its config.json says."""


def shape_config(name: str, layers: int | None = None) -> dict[str, Any]:
    """The config.json of a named shape, with fewer or more layers if asked.

    Raises:
        MissingNameError: there is no such shape.
    """
    if name not in SHAPES:
        raise MissingNameError("shape", name, SHAPES)
    config = dict(SHAPES[name])
    if layers is not None:
        config.update(
            {field: layers for field in ("num_hidden_layers", "num_layers", "num_decoder_layers") if field in config}
        )
    return config


def weights(config: Config) -> Iterator[Weight]:
    """Every weight of a checkpoint with this configuration, without a head: in the order and by the names that transformers
    gives them, layer by layer.

    Raises:
        ModelError: the arithmetic of this family is not known.
    """
    family = str(config.get("model_type"))
    if family not in _FAMILIES:
        raise ModelError(
            f"the weights of model_type {family!r} are not known by arithmetic",
            hint=f"known are: {', '.join(_FAMILIES)}",
        )
    return _FAMILIES[family](config)


def knows(config: Config) -> bool:
    """Whether ``weights`` can say them."""
    return str(config.get("model_type")) in _FAMILIES


def parameters(config: Config) -> int:
    """How many numbers they hold."""
    return sum(weight.count for weight in weights(config))


def _linear(name: str, outputs: int, inputs: int, deviation: float) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (outputs, inputs), deviation)
    yield Weight(f"{name}.bias", (outputs,))


def _norm(name: str, hidden: int) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (hidden,), mean=1.0)
    yield Weight(f"{name}.bias", (hidden,))


def _bert(config: Config) -> Iterator[Weight]:
    """BERT and RoBERTa and all of their shape; XLM-R XL and XXL normalise before each part, not after it."""
    hidden, inner, deviation = config["hidden_size"], config["intermediate_size"], config.get("initializer_range", 0.02)
    pre_norm = config["model_type"] == "xlm-roberta-xl"
    tables = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    for table, rows in tables.items():
        yield Weight(f"embeddings.{table}_embeddings.weight", (config[rows], hidden), deviation)
    if not pre_norm:
        yield from _norm("embeddings.LayerNorm", hidden)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            yield from _linear(f"{layer}.attention.self.{part}", hidden, hidden, deviation)
        yield from _linear(f"{layer}.attention.output.dense", hidden, hidden, deviation)
        yield from _norm(f"{layer}.attention.{'self_attn_layer_norm' if pre_norm else 'output.LayerNorm'}", hidden)
        yield from _linear(f"{layer}.intermediate.dense", inner, hidden, deviation)
        yield from _linear(f"{layer}.output.dense", hidden, inner, deviation)
        yield from _norm(f"{layer}.{'LayerNorm' if pre_norm else 'output.LayerNorm'}", hidden)
    if pre_norm:
        yield from _norm("encoder.LayerNorm", hidden)


def _t5(config: Config) -> Iterator[Weight]:
    """T5.1.1 and mT5: gated GELU, no biases, an output matrix of its own where it is not tied to the embeddings."""
    hidden, factor = config["d_model"], config.get("initializer_factor", 1.0)
    yield Weight("shared.weight", (config["vocab_size"], hidden), factor)
    decoder_layers = config.get("num_decoder_layers") or config["num_layers"]
    for side, layers in (("encoder", config["num_layers"]), ("decoder", decoder_layers)):
        for number in range(layers):
            yield from _t5_layer(config, f"{side}.block.{number}.layer", number, decodes=side == "decoder")
        yield Weight(f"{side}.final_layer_norm.weight", (hidden,), mean=factor)
    if not config.get("tie_word_embeddings", True):
        yield Weight("lm_head.weight", (config["vocab_size"], hidden), factor)


def _t5_layer(config: Config, layer: str, number: int, *, decodes: bool) -> Iterator[Weight]:
    hidden, heads, inner = config["d_model"], config["num_heads"], config["d_ff"]
    width, factor = heads * config["d_kv"], config.get("initializer_factor", 1.0)
    parts = ("SelfAttention", "EncDecAttention") if decodes else ("SelfAttention",)
    for place, attention in enumerate(parts):
        name = f"{layer}.{place}.{attention}"
        yield Weight(f"{name}.q.weight", (width, hidden), factor * (hidden * config["d_kv"]) ** -0.5)
        yield Weight(f"{name}.k.weight", (width, hidden), factor * hidden**-0.5)
        yield Weight(f"{name}.v.weight", (width, hidden), factor * hidden**-0.5)
        yield Weight(f"{name}.o.weight", (hidden, width), factor * width**-0.5)
        if number == 0 and place == 0:  # later layers use the first one's
            buckets = (config["relative_attention_num_buckets"], heads)
            yield Weight(f"{name}.relative_attention_bias.weight", buckets, factor * hidden**-0.5)
        yield Weight(f"{layer}.{place}.layer_norm.weight", (hidden,), mean=factor)
    name = f"{layer}.{len(parts)}"
    gated = str(config.get("feed_forward_proj", "relu")).startswith("gated")
    for wide in ("wi_0", "wi_1") if gated else ("wi",):
        yield Weight(f"{name}.DenseReluDense.{wide}.weight", (inner, hidden), factor * hidden**-0.5)
    yield Weight(f"{name}.DenseReluDense.wo.weight", (hidden, inner), factor * inner**-0.5)
    yield Weight(f"{name}.layer_norm.weight", (hidden,), mean=factor)


_FAMILIES: Mapping[str, Callable[[Config], Iterator[Weight]]] = {
    **dict.fromkeys(("bert", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl"), _bert),
    **dict.fromkeys(("mt5", "t5"), _t5),
}
