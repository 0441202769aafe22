"""Fewer layers of a model: what is kept computes what it did, and what cannot be cut is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_batch, tiny

from xstilts.errors import ModelError
from xstilts.models.loading import load_encoder
from xstilts.models.prune import keep_layers


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "distilbert"])
def test_the_kept_layers_compute_what_they_did(family: str, tmp_path: Path) -> None:
    counts = keep_layers(tiny(family), [2], tmp_path / "cut")
    whole, cut = load_encoder(tiny(family)), load_encoder(tmp_path / "cut")
    assert whole._stack is not None
    del whole._stack[0]
    whole.config.num_hidden_layers = 1
    batch = make_batch((3, 5, 2))
    with torch.no_grad():
        assert torch.equal(cut(batch), whole(batch))
    assert cut.num_layers == counts["layers_kept"] == 1
    assert counts["layers_of"] == 2


def test_the_lower_layers_are_the_hidden_states_of_the_whole(tmp_path: Path) -> None:
    keep_layers(tiny("bert"), [1], tmp_path / "cut")
    batch = make_batch((3, 5))
    with torch.no_grad():
        assert torch.equal(load_encoder(tmp_path / "cut")(batch), load_encoder(tiny("bert")).layer(batch, 1))


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="layer 3 was asked of an encoder with 2 layers"):
        keep_layers(tiny("bert"), [1, 3], tmp_path / "cut")
    assert not (tmp_path / "cut").exists()


def changed(folder: Path, **fields: Any) -> Path:
    shutil.copytree(tiny("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    return folder


def test_what_a_configuration_says_of_each_layer_is_cut_too(tmp_path: Path) -> None:
    source = changed(tmp_path / "source", layer_types=["full_attention", "sliding_attention"])
    keep_layers(source, [2], tmp_path / "cut")
    assert json.loads((tmp_path / "cut" / "config.json").read_text())["layer_types"] == ["sliding_attention"]


def test_a_pattern_over_layers_that_is_not_written_out_is_refused(tmp_path: Path) -> None:
    source = changed(tmp_path / "source", global_attn_every_n_layers=3)
    with pytest.raises(ModelError, match="every n-th layer of this model attends globally"):
        keep_layers(source, [2], tmp_path / "cut")


def test_layers_that_the_weights_do_not_show_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"show layers \[\], the configuration 2 layers"):
        keep_layers(tiny("albert"), [1], tmp_path / "cut")
