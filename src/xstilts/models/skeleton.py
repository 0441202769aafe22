"""A transformers encoder without memory: its modules and the names and shapes of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from xstilts.errors import ModelError
from xstilts.model_source import STREAMED_FAMILIES
from xstilts.models.loading import ENCODER_HALVES, read_any_config, read_config
from xstilts.models.packed_attention import NAME

STREAMED_HALVES = {name: of for name, of in ENCODER_HALVES.items() if name in STREAMED_FAMILIES}
"""``model_type`` of text-to-text models -> the class of their encoder half."""


def streams_family(folder: Path) -> bool:
    """Whether the model of a folder is of a family that can be streamed."""
    try:
        config = read_any_config(folder)
    except ModelError:  # whatever is wrong with it is said by whoever loads it
        return False
    return str(config.model_type) in STREAMED_FAMILIES


def without_weights(folder: Path) -> Any:
    """The encoder of a folder on the meta device.

    Raises:
        ModelError: it is of a family that is not streamed.
    """
    name = str(read_any_config(folder).model_type)
    with torch.device("meta"):
        if name in STREAMED_HALVES:
            config = AutoConfig.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True, attn_implementation="eager"
            )
            return STREAMED_HALVES[name](config)
        config = read_config(folder)
        if name not in STREAMED_FAMILIES:
            raise ModelError(
                f"models of type {name!r} are not streamed",
                where=str(folder),
                hint=f"families that are: {', '.join(STREAMED_FAMILIES)}; others run in memory (--stream never)",
            )
        return AutoModel.from_config(config, attn_implementation=NAME, add_pooling_layer=False)
