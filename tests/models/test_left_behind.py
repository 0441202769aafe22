"""What a layer leaves for its backward pass is counted as autograd keeps it: to the number, in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_batch, tiny
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from xstilts.hyperparameters import Lora
from xstilts.memory.dimensions import Dimensions, dimensions
from xstilts.memory.estimate import FLOAT, How, Work, saved_by_layer
from xstilts.memory.texts import left_by_decoder, left_by_encoder
from xstilts.models.dropout import use_own_dropout
from xstilts.models.model import Model
from xstilts.models.random_weights import write_random_model
from xstilts.shapes import shape_config
from xstilts.task_types import Head

ROWS, READ, WRITTEN = 3, 20, 7
SIZES = {"hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 300}
EVERYWHERE = ("query", "key", "value", "attention_output", "intermediate", "output")
THIN: dict[str, Any] = {"d_model": 24, "d_kv": 5, "d_ff": 40, "num_heads": 4, "vocab_size": 50}


def left(model: nn.Module, run: Callable[[], object]) -> int:
    """Bytes of tensors that a forward pass keeps, weights not counted."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def note(saved: Tensor) -> Tensor:
        kept.setdefault(saved.untyped_storage().data_ptr(), saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        run()
    return sum(of.untyped_storage().nbytes() for place, of in kept.items() if place not in weights)


def left_by_encoder_of(layers: int, lora: Lora | None, home: Path) -> int:
    folder = home / str(layers)
    write_random_model(folder, {**shape_config("xlm-r-base", layers), **SIZES}, 1, tokenizer=tiny("xlm-roberta"))
    model = Model.start(folder, Head("pooled", 3, ("a", "b", "c")), 1, lora=lora).train()
    batch = make_batch((READ,) * ROWS)
    return left(model, lambda: model(batch))


@pytest.mark.parametrize(
    "lora",
    [
        None,
        Lora(rank=8),
        Lora(rank=8, dropout=0.1),
        Lora(rank=8, targets=EVERYWHERE),
        Lora(rank=8, targets=EVERYWHERE, dropout=0.1),
        Lora(rank=8, targets=("output", "key")),
    ],
)
def test_a_layer_of_an_encoder(lora: Lora | None, tmp_path: Path) -> None:
    three, two = (left_by_encoder_of(layers, lora, tmp_path) for layers in (3, 2))
    of, tokens = dimensions({**shape_config("xlm-r-base", 2), **SIZES}), ROWS * READ
    few = (
        FLOAT * tokens * (4 if lora is None else 4 + lora.rank * len(lora.targets))
    )  # norms' statistics, adapters' ranks
    assert three - two == saved_by_layer(of, Work(longest=READ), How(lora=lora), tokens) + few


def left_by_text_model(layers: int, decoder_layers: int) -> int:
    torch.manual_seed(0)
    given = {**shape_config("mt5-small"), **THIN, "num_layers": layers, "num_decoder_layers": decoder_layers}
    config = AutoConfig.for_model(given.pop("model_type"), **given)
    model = AutoModelForSeq2SeqLM.from_config(config).train()
    use_own_dropout(model)
    ids, written = torch.full((ROWS, READ), 3), torch.full((ROWS, WRITTEN), 3)
    mask = torch.ones_like(ids)
    return left(model, lambda: model(input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False))


def mt5() -> Dimensions:
    return dimensions({**shape_config("mt5-small"), **THIN})


def test_a_layer_of_a_text_to_text_model_on_either_side() -> None:
    base = left_by_text_model(2, 2)
    work = Work(longest=READ, written=WRITTEN)
    reading = sum(count * size for count, size in left_by_encoder(mt5(), work, How(), ROWS))
    writing = sum(count * size for count, size in left_by_decoder(mt5(), work, How(), ROWS))
    norms = FLOAT * ROWS  # one number for each sub-word and norm
    assert left_by_text_model(3, 2) - base == reading + 2 * norms * READ
    mask = WRITTEN * WRITTEN  # bytes
    assert left_by_text_model(2, 3) - base == writing + 3 * norms * WRITTEN + mask
