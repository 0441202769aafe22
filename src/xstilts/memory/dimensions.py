"""The sizes of a model that memory depends on, from its config.json; from the headers of its files where a family's weights
are not known by arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xstilts.errors import ModelError
from xstilts.outside import open_plain, parse_json
from xstilts.shapes import knows, weights

_NAMES = {
    "layers": ("num_hidden_layers", "num_layers", "n_layers"),
    "hidden": ("hidden_size", "d_model", "dim"),
    "inner": ("intermediate_size", "d_ff", "hidden_dim"),
    "heads": ("num_attention_heads", "num_heads", "n_heads"),
    "vocabulary": ("vocab_size",),
}
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}
_LARGEST_HEADER = 100 * 2**20


@dataclass(frozen=True)
class Dimensions:
    """Sizes of an encoder, or of an encoder and its decoder.

    Args:
        family: ``model_type``.
        layers, hidden, inner, heads, vocabulary: as config.json has them; ``layers`` are the encoder's.
        parameters: all but a head.
        layer_parameters: of one encoder layer.
        decoder_layers: 0 for an encoder.
        decoder_layer_parameters: of one of these.
        gated: whether the feed-forward part multiplies two wide products.
        attends: width of what attends, all heads together; 0 for H.
    """

    family: str
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int
    parameters: int
    layer_parameters: int
    decoder_layers: int = 0
    decoder_layer_parameters: int = 0
    gated: bool = False
    attends: int = 0

    @property
    def embedding(self) -> int:
        """Numbers in the matrix of sub-words."""
        return self.vocabulary * self.hidden

    @property
    def encoder_half(self) -> Dimensions:
        """Of a text-to-text model what an encoder with a head is made of."""
        if not self.decoder_layers:
            return self
        parameters = self.embedding + self.layers * self.layer_parameters
        return replace(self, decoder_layers=0, decoder_layer_parameters=0, parameters=parameters)

    @property
    def every_layer(self) -> int:
        """Numbers in all layers."""
        return self.layers * self.layer_parameters + self.decoder_layers * self.decoder_layer_parameters


def dimensions(config: Mapping[str, Any], folder: Path | None = None) -> Dimensions:
    """The sizes that a config.json states.

    Args:
        config: its content.
        folder: where the weights lie: asked for a family whose weights are not known by arithmetic.

    Raises:
        ModelError: a size is not stated, or nobody can say how many parameters there are.
    """
    sizes: dict[str, Any] = {name: _size(config, name) for name in _NAMES}
    family = str(config.get("model_type"))
    every = _counted(config)
    if not every:
        if folder is None:
            raise ModelError(f"how many parameters a {family!r} of this shape has can only be read from its files")
        parameters = stored_parameters(folder)
        layer = (parameters - sizes["vocabulary"] * sizes["hidden"]) // sizes["layers"]
        return Dimensions(family, **sizes, parameters=parameters, layer_parameters=layer)
    # The second layer is like all that follow; T5's first one also holds the position biases of all.
    number = min(1, sizes["layers"] - 1)
    encodes = (f"encoder.layer.{number}.", f"encoder.block.{number}.")
    layer = sum(n for name, n in every.items() if name.startswith(encodes))
    decodes = sum(n for name, n in every.items() if name.startswith(f"decoder.block.{number}."))
    decoder_layers = int(config.get("num_decoder_layers") or sizes["layers"]) if decodes else 0
    gated = str(config.get("feed_forward_proj", "")).startswith("gated")
    decoder = {"decoder_layers": decoder_layers, "decoder_layer_parameters": decodes}
    decoder["attends"] = sizes["heads"] * int(config.get("d_kv") or 0)
    return Dimensions(family, **sizes, **decoder, parameters=sum(every.values()), layer_parameters=layer, gated=gated)


def _counted(config: Mapping[str, Any]) -> dict[str, int]:
    """Name -> numbers of every weight; empty where the family, or a size it needs, is not known."""
    try:
        return {weight.name: weight.count for weight in weights(config)} if knows(config) else {}
    except KeyError:
        return {}


def _size(config: Mapping[str, Any], name: str) -> int:
    found = next((config[field] for field in _NAMES[name] if isinstance(config.get(field), int)), None)
    if found is None:
        raise ModelError(f"config.json does not say {' or '.join(_NAMES[name])}")
    return int(found)


def stored_tensors(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Name, type and bytes of every tensor in a folder's safetensors files, from their headers alone.

    Raises:
        ModelError: a file is damaged.
    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open_plain(path) as file:
                length = int.from_bytes(file.read(8), "little")
                if length > _LARGEST_HEADER:
                    raise ValueError(f"a header of {length} bytes")
                header = parse_json(file.read(length))
            for name, entry in header.items():
                if name != "__metadata__":
                    start, end = entry["data_offsets"]
                    yield name, str(entry["dtype"]), int(end) - int(start)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ModelError(f"not a safetensors file: {error}", where=str(path)) from error


def stored_parameters(folder: Path) -> int:
    """Numbers in a folder's files."""
    return sum(size // _ITEM_BYTES[kind] for _, kind, size in stored_tensors(folder) if kind in _ITEM_BYTES)


def stored_as_float32(folder: Path) -> bool:
    """Whether weights can be used where they lie in the file; others are converted into memory of their own."""
    return all(kind == "F32" for _, kind, _ in stored_tensors(folder) if kind in _ITEM_BYTES)
