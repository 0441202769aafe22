"""Text-to-text models: loss and folders are transformers' own; what is no such model is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import write_folder
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSeq2SeqLM

from tiny_text_models import FAMILIES, text_folder
from xstilts.batching.texts import encode_texts, gather_texts
from xstilts.errors import ModelError
from xstilts.models.text_model import TextModel
from xstilts.task_types.cast import Rendered
from xstilts.text_hyperparameters import TextEncoding

SAID = [Rendered("the cat sat", "1"), Rendered("a dog", "the mat is 12"), Rendered("premise: a b c d e f", "x y")]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_transformers(family: str, tied: bool) -> None:
    model = TextModel.load(text_folder(family, tied=tied))
    features = encode_texts(SAID, model.tokenizer, TextEncoding())
    batch = gather_texts(features, np.arange(3), model.padding_id, model.device)
    plain = AutoModelForSeq2SeqLM.from_pretrained(model.source).eval()
    given = plain(input_ids=batch.input_ids, attention_mask=batch.mask, labels=batch.targets)
    assert batch.targets is not None
    wanted = cross_entropy(given.logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    assert model.loss(batch).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert given.loss.item() * int((batch.targets != -100).sum()) == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_padding_changes_nothing(tied: bool) -> None:
    model = TextModel.load(text_folder(tied=tied))
    features = encode_texts(SAID, model.tokenizer, TextEncoding())
    together = model.loss(gather_texts(features, np.arange(3), model.padding_id, model.device))
    rows = [gather_texts(features, np.array([k]), model.padding_id, model.device) for k in range(3)]
    assert together.item() == pytest.approx(sum(model.loss(row).item() for row in rows), rel=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_exported_folder_is_the_same_model(family: str, tied: bool, tmp_path: Path) -> None:
    model = TextModel.load(text_folder(family, tied=tied), dropout=0.3)
    model.export(tmp_path / "out")
    again = TextModel.load(tmp_path / "out")
    assert again.config.dropout_rate == 0.1, "an override is not handed on"
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out").state_dict()
    for name, weight in model.transformer.state_dict().items():
        assert torch.equal(plain[name], weight)
        assert torch.equal(again.transformer.state_dict()[name], weight)
    assert not list((tmp_path / "out").glob("*.bin"))
    with pytest.raises(ModelError, match="nothing is overwritten"):
        model.export(tmp_path / "out")


def test_an_encoder_is_no_text_to_text_model(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "enc", "xlm-roberta")
    with pytest.raises(ModelError, match="'xlm-roberta' is no text-to-text model"):
        TextModel.load(folder)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    from transformers import MT5EncoderModel

    shutil.copytree(text_folder(), tmp_path / "half")
    config = (tmp_path / "half/config.json").read_bytes()
    MT5EncoderModel.from_pretrained(text_folder()).save_pretrained(tmp_path / "half")
    (tmp_path / "half/config.json").write_bytes(config)
    with pytest.raises(ModelError, match="of the weights are missing"):
        TextModel.load(tmp_path / "half")


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    shutil.copytree(text_folder(), tmp_path / "bin")
    (tmp_path / "bin/model.safetensors").rename(tmp_path / "bin/pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin"):
        TextModel.load(tmp_path / "bin")
