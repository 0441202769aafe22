"""Pseudo-perplexity: every sub-word is hidden once, guessing gives the size of the vocabulary, and learning lowers it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from xstilts.batching import gather
from xstilts.batching.masking import Masking
from xstilts.errors import ModelError
from xstilts.hyperparameters import Architecture, MaskedLM, Training
from xstilts.inference.pseudo_perplexity import hidden_in_turn, pseudo_perplexity
from xstilts.models.model import Model
from xstilts.models.scratch import make_model
from xstilts.task_types import Head
from xstilts.task_types.base import FeatureBuilder
from xstilts.training import train
from xstilts.training.masked_lm import Texts, masked_lm_course

WORDS = ["bado", "kelu", "mira", "sonte", "gapu", "rile", "doma", "tesk"]
LINES = [f"{a} {b} {a}." for a in WORDS for b in WORDS]
LEARNED, UNSEEN = LINES[::2], LINES[1::2]
SHAPE = Architecture(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, vocabulary=80, max_length=32)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    size = make_model(tmp_path, SHAPE, LINES, 1)
    return Model.start(tmp_path, Head("masked_lm", size), 2)


def size_of(model: Model) -> int:
    assert model.head_shape is not None
    return model.head_shape.num_outputs


def test_a_head_that_says_nothing_scores_the_size_of_the_vocabulary(model: Model) -> None:
    assert model.head is not None
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.zero_()
    found = pseudo_perplexity(model, UNSEEN)
    assert found.value == pytest.approx(size_of(model), rel=1e-5)
    assert found.texts == len(UNSEEN) and found.dropped_sub_words == 0


@pytest.mark.parametrize("copies", [None, 1, 2, 5])
def test_every_sub_word_that_is_not_special_is_hidden_once(model: Model, copies: int | None) -> None:
    masking = Masking.of(model.tokenizer, 0.5)
    features = hidden_in_turn(LINES[:9], model, masking, 32, copies)
    assert features.targets is not None
    for example, encoded in enumerate(model.tokenizer.encode(LINES[:9])):
        mine = np.flatnonzero(features.example == example)
        places = [features.read[features.read_offsets[i] : features.read_offsets[i + 1]].tolist() for i in mine]
        ordinary = [i for i, number in enumerate(encoded.ids) if number not in masking.special_ids]
        assert sorted(place for found in places for place in found) == ordinary
        assert len(mine) == (len(ordinary) if copies is None else min(copies, len(ordinary)))
        for i, hidden in zip(mine, places, strict=True):
            ids = features.input_ids[features.offsets[i] : features.offsets[i + 1]].tolist()
            assert [k for k, (now, was) in enumerate(zip(ids, encoded.ids, strict=True)) if now != was] == hidden
            targets = features.targets[features.read_offsets[i] : features.read_offsets[i + 1]].tolist()
            assert targets == [encoded.ids[k] for k in hidden]


@pytest.mark.parametrize("tokens", [40, 4096])
def test_it_equals_one_forward_pass_a_sub_word(model: Model, tokens: int) -> None:
    masking, logs = Masking.of(model.tokenizer, 0.5), []
    for encoded in model.tokenizer.encode(UNSEEN[:5]):
        for place, number in enumerate(encoded.ids):
            if number in masking.special_ids:
                continue
            ids = [masking.mask_id if i == place else other for i, other in enumerate(encoded.ids)]
            builder = FeatureBuilder()
            builder.add(0, ids, [0] * len(ids), [place])
            batch = gather(builder.build(1, None), np.array([0]), model.device)
            with torch.no_grad():
                logs.append(float(model.logits(batch)[0].double().log_softmax(0)[number]))
    found = pseudo_perplexity(model, UNSEEN[:5], micro_batch_tokens=tokens)
    assert found.sub_words == len(logs)
    assert found.log_likelihood == pytest.approx(math.fsum(logs), abs=1e-3)
    assert found.value == pytest.approx(math.exp(-math.fsum(logs) / len(logs)), rel=1e-4)


def test_what_is_too_long_is_cut_and_counted_and_the_mode_is_put_back(model: Model) -> None:
    model.train()
    line = " ".join(WORDS * 4)
    found = pseudo_perplexity(model, [line], max_length=16)
    assert found.sub_words == 14
    assert found.dropped_sub_words == len(model.tokenizer.encode([line])[0].ids) - 16
    assert model.training


def test_dropout_has_no_part_in_it(model: Model) -> None:
    model.train()
    assert pseudo_perplexity(model, UNSEEN).log_likelihood == pseudo_perplexity(model, UNSEEN).log_likelihood


def test_learning_lowers_it_on_text_that_was_not_learned(model: Model, tmp_path: Path) -> None:
    before = pseudo_perplexity(model, UNSEEN).value
    settings = Training(max_steps=120, batch_size=16, learning_rate=3e-3, selection="last")
    text = MaskedLM(languages=("en",))
    course = masked_lm_course(Texts({"en": LEARNED}, {}), model.tokenizer, text, settings, 1, max_length=32)
    train(
        model,
        course,
        micro_batch_tokens=4096,
        dev=None,
        progress=lambda *_, **__: None,
        log=tmp_path / "training.jsonl",
    )
    after = pseudo_perplexity(model, UNSEEN).value
    assert 1 <= after < 0.6 * before


def test_what_has_no_masked_lm_head_or_no_sub_word_is_refused(model: Model) -> None:
    bare = Model(model.encoder, None, None, model.tokenizer, model.source)
    with pytest.raises(ModelError, match="no"):
        pseudo_perplexity(bare, UNSEEN)
    with pytest.raises(ModelError, match="sub-word"):
        pseudo_perplexity(model, [])
    with pytest.raises(ValueError, match="copies"):
        pseudo_perplexity(model, UNSEEN, copies=0)
