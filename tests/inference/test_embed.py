from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from layered_toys import LayeredModel, sentences

from xstilts.errors import DataError, MissingNameError, ModelError, StoreError
from xstilts.hyperparameters import Encoding
from xstilts.inference import embed as embed_module
from xstilts.inference.embed import embed, first, mean

ENCODING = Encoding(max_length=10)


def test_every_layer_and_pooling_equals_one_sentence_at_a_time(tmp_path: Path) -> None:
    model, texts = LayeredModel(), sentences(60, seed=1)
    found = embed(model, texts, ENCODING, layers=[0, 2, 3], poolings=["mean", "first"], out=tmp_path)
    for layer in (0, 2, 3):
        for pooling in ("mean", "first"):
            matrix = found.matrix(layer, pooling)[found.rows]
            expected = np.stack([model.by_hand(t, layer, pooling, 10) for t in texts])
            np.testing.assert_allclose(matrix, expected, atol=1e-5)


def test_mean_counts_special_sub_words() -> None:
    """XTREME averages under the attention mask, which covers <s> and </s>."""
    states = torch.tensor([[3.0], [6.0], [0.0], [5.0], [7.0]])
    assert mean(states, (3, 2)).tolist() == [[3.0], [6.0]]
    assert first(states, (3, 2)).tolist() == [[3.0], [5.0]]


def test_half_precision_states_are_pooled_in_float32() -> None:
    states = torch.ones(4000, 1, dtype=torch.bfloat16)
    assert mean(states, (4000,)).dtype == torch.float32
    assert mean(states, (4000,)).item() == 1.0
    assert first(states, (4000,)).dtype == torch.float32


@pytest.mark.parametrize(("micro_batch_tokens", "at_once"), [(1, 7), (30, 16384), (100000, 5)])
def test_micro_batches_and_chunks_change_rounding_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micro_batch_tokens: int, at_once: int
) -> None:
    texts = sentences(40, seed=2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = embed(LayeredModel(), texts, ENCODING, layers=[3], poolings=["mean"], out=tmp_path / "a")
    monkeypatch.setattr(embed_module, "SENTENCES_AT_ONCE", at_once)
    cut = embed(
        LayeredModel(),
        texts,
        ENCODING,
        layers=[3],
        poolings=["mean"],
        out=tmp_path / "b",
        micro_batch_tokens=micro_batch_tokens,
    )
    np.testing.assert_array_equal(cut.rows, whole.rows)
    np.testing.assert_allclose(cut.matrix(3, "mean"), whole.matrix(3, "mean"), atol=1e-5)


def test_equal_sentences_are_embedded_once(tmp_path: Path) -> None:
    model = LayeredModel()
    found = embed(model, ["w1 w2", "w3", "w1 w2", "w3", "w4"], ENCODING, layers=[1], poolings=["mean"], out=tmp_path)
    assert found.rows.tolist() == [0, 1, 0, 1, 2]
    assert found.sentences.tolist() == [0, 1, 4]
    assert found.matrix(1, "mean").shape == (3, model.hidden_size)
    assert model.encoder.tokens_run == 4 + 3 + 3


def test_layers_above_the_largest_asked_are_not_run(tmp_path: Path) -> None:
    model = LayeredModel(num_layers=9)
    embed(model, ["w1 w2"], ENCODING, layers=[2, 1], poolings=["first"], out=tmp_path)
    assert model.encoder.layers_run == 2


def test_what_is_cut_is_counted(tmp_path: Path) -> None:
    long = " ".join(["w1"] * 13)
    found = embed(LayeredModel(), [long, "w2", long], ENCODING, layers=[0], poolings=["mean"], out=tmp_path)
    assert found.counts == {"dropped_tokens": 5, "truncated_examples": 1}


def test_matrices_are_plain_float32_files_and_can_be_discarded(tmp_path: Path) -> None:
    found = embed(LayeredModel(), ["w1", "w2"], ENCODING, layers=[0], poolings=["mean"], out=tmp_path)
    matrix = found.matrix(0, "mean")
    assert matrix.dtype == np.float32 and isinstance(matrix, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1
    found.discard(0, "mean")
    assert list(tmp_path.iterdir()) == []


def test_progress_reaches_the_number_of_distinct_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "SENTENCES_AT_ONCE", 2)
    seen: list[tuple[int, int]] = []
    embed(
        LayeredModel(),
        ["w1", "w2", "w1", "w3"],
        ENCODING,
        layers=[0],
        poolings=["mean"],
        out=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 3), (3, 3)]


def test_unknown_pooling_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(MissingNameError, match="did you mean 'mean'"):
        embed(LayeredModel(), ["w1"], ENCODING, layers=[0], poolings=["means"], out=tmp_path)


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_the_encoder_does_not_have(tmp_path: Path, layer: int) -> None:
    with pytest.raises(ModelError, match=f"layer {layer} was asked of an encoder with 3 layers"):
        embed(LayeredModel(num_layers=3), ["w1"], ENCODING, layers=[layer], poolings=["mean"], out=tmp_path)


def test_nothing_to_embed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sentence"):
        embed(LayeredModel(), [], ENCODING, layers=[0], poolings=["mean"], out=tmp_path)


def test_a_full_disk_is_an_error_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    model = LayeredModel()
    with pytest.raises(StoreError, match=r"scratch folder: No space left") as caught:
        embed(model, ["w1"], ENCODING, layers=[0], poolings=["mean"], out=tmp_path)
    assert str(tmp_path) in caught.value.where
    assert model.encoder.tokens_run == 0
