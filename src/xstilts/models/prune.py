"""A smaller model from a larger one: some of its layers, all else as it is.

Dropping every second layer and then fine-tuning keeps most of the quality at half the cost (Sajjad et al. 2020, "On the
effect of dropping layers of pre-trained transformer models"): a size of one's own where only one size was published.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from xstilts.errors import ModelError
from xstilts.model_source import TOKENIZER_FILES, config_of
from xstilts.models.loading import WEIGHTS, check_weights

_LAYER = re.compile(r"^(?P<before>(?:.*\.)?layers?\.)(?P<number>\d+)(?P<after>\..*)$")
_LAYER_COUNTS = ("num_hidden_layers", "num_layers", "n_layers")


def keep_layers(source: Path, layers: Sequence[int], out: Path) -> dict[str, Any]:
    """Write the model of ``source`` with only ``layers`` (from 1, as hidden states are counted) to ``out``.

    Returns:
        Counts, kept with the node.

    Raises:
        ModelError: no such layer, or the weights' names do not say which layer they belong to.
    """
    check_weights(source)
    config = config_of(source)
    field = next(name for name in _LAYER_COUNTS if isinstance(config.get(name), int))
    if beyond := [layer for layer in layers if not 1 <= layer <= config[field]]:
        raise ModelError(f"layer {beyond[0]} was asked of an encoder with {config[field]} layers", where=str(source))
    new_numbers = {layer - 1: new for new, layer in enumerate(layers)}
    weights, seen = {}, set()
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping, it only has keys()
                found = _LAYER.match(name)
                if found is None:
                    weights[name] = tensors.get_tensor(name)
                    continue
                seen.add(int(found["number"]))
                if (number := new_numbers.get(int(found["number"]))) is not None:
                    weights[f"{found['before']}{number}{found['after']}"] = tensors.get_tensor(name)
    if seen != set(range(config[field])):
        raise ModelError(
            f"the names of the weights show layers {sorted(seen)}, the configuration {config[field]} layers",
            where=str(source),
            hint="layers can be dropped from families whose weights are named layer.N or layers.N",
        )
    if "layer_types" in config:
        config["layer_types"] = [config["layer_types"][layer - 1] for layer in layers]
    elif "global_attn_every_n_layers" in config:
        raise ModelError(
            "every n-th layer of this model attends globally, and its configuration does not say which",
            where=str(source),
            hint="save it with a newer transformers, which writes layer_types",
        )
    out.mkdir(parents=True)
    save_file(weights, out / WEIGHTS, metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps({**config, field: len(layers)}, indent=2) + "\n", encoding="utf-8")
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    return {
        "layers_kept": len(layers),
        "layers_of": config[field],
        "parameters": sum(w.numel() for w in weights.values()),
    }
