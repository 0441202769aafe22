"""Tiny text-to-text models with large random weights, of every family, saved by transformers."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from xstilts.hyperparameters import Architecture
from xstilts.models.text_scratch import make_text_model

FAMILIES = ("mt5", "umt5", "t5")
TEXTS = ("the cat sat on the mat", "a dog is not a cat", "premise hypothesis question context tag")
_HOME = tempfile.TemporaryDirectory(prefix="xstilts-tiny-text-")
atexit.register(_HOME.cleanup)


@cache
def text_folder(family: str = "mt5", *, tied: bool = False, layers: int = 3) -> Path:
    """A Hugging Face folder: real checkpoints of mT5 and umT5 have an output matrix of their own (``tied`` false)."""
    folder = Path(_HOME.name) / f"{family}-{tied}-{layers}"
    shape = Architecture(hidden_size=16, num_layers=layers, num_heads=2, intermediate_size=24, vocabulary=160)
    make_text_model(folder, shape, TEXTS, seed=0)
    # Some rows of the matrix stand for no sub-word, as mT5's do.
    changes: dict[str, Any] = {"tie_word_embeddings": tied, "vocab_size": 256}
    given = AutoConfig.from_pretrained(folder).to_dict() | changes
    names = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size", "tie_word_embeddings")
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = AutoConfig.for_model(family, **{name: given[name] for name in names}, **ids)
    torch.manual_seed(1)
    model = AutoModelForSeq2SeqLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.4)
    model.save_pretrained(folder)
    return folder
