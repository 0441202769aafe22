"""The encoder half of a text-to-text model is an encoder like others: its states, heads, folders, and a study's nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import make_batch
from transformers import AutoModelForSeq2SeqLM

from tiny_text_models import FAMILIES, text_folder
from xstilts.models.encoder import Encoder
from xstilts.models.export import export
from xstilts.models.loading import load_encoder
from xstilts.models.model import Model
from xstilts.task_types import Head

LENGTHS = (3, 9, 1, 17, 4, 9, 2)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_of_the_whole_model(family: str, tied: bool) -> None:
    encoder: Encoder = load_encoder(text_folder(family, tied=tied))
    assert (encoder.execution.kind, encoder.num_layers, encoder.hidden_size) == ("padded", 3, 16)
    whole = AutoModelForSeq2SeqLM.from_pretrained(text_folder(family, tied=tied)).eval().get_encoder()
    batch = make_batch(LENGTHS)
    with torch.inference_mode():
        layers = encoder.layers(batch)
        for number, found in enumerate(layers):
            assert torch.equal(found, encoder.layer(batch, number))
        for at, ids in enumerate(torch.split(batch.input_ids, list(LENGTHS))):
            wanted = whole(input_ids=ids[None], output_hidden_states=True)
            place = slice(sum(LENGTHS[:at]), sum(LENGTHS[: at + 1]))
            for found, theirs in zip(layers, wanted.hidden_states, strict=True):
                torch.testing.assert_close(found[place], theirs[0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(encoder(batch)[place], wanted.last_hidden_state[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", [Head("pooled", 3, ("a", "b", "c")), Head("token", 2), None])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_exported_folder_has_equal_logits(family: str, head: Head | None, tmp_path: Path) -> None:
    model = Model.start(text_folder(family), head, 3)
    shape = "encoder" if head is None else {"pooled": "classification", "token": "span"}[head.kind]
    export(model, tmp_path / "out", "xnli", shape)
    again = Model.load(tmp_path / "out")
    batch = make_batch(LENGTHS)
    with torch.inference_mode():
        assert torch.equal(again.hidden(batch), model.hidden(batch))
        if head is not None:
            assert torch.equal(again.logits(batch), model.logits(batch))
