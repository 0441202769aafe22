"""Inputs that ``benchmarks.fuzz`` found: each once ended in an error that was not ours, or was waited for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tiny_world import tiny_study
from xstilts.errors import ModelError, StudyError
from xstilts.graph.lease import Leases
from xstilts.memory.dimensions import stored_as_float32
from xstilts.model_source import longest_of
from xstilts.models.description import HEAD_WEIGHTS, Description, read_head
from xstilts.models.heads import new_head
from xstilts.study import parse_study
from xstilts.task_types import Head


@pytest.mark.parametrize("name", ["notes[] {made", "constrained-"])
def test_a_field_that_is_called_like_a_type_is_unknown(name: str) -> None:
    with pytest.raises(StudyError, match="unknown field"):
        parse_study({**tiny_study(), name: 1})


def test_nobody_holds_a_node_whose_key_no_folder_can_have(tmp_path: Path) -> None:
    assert Leases(tmp_path).state("9" * 5000) is None


def test_a_padding_id_that_is_no_number_limits_nothing_more() -> None:
    assert longest_of({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": {}}) == 512


def test_a_tensor_that_ends_at_infinity_is_damage(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, float("inf")]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="not a safetensors file"):
        stored_as_float32(tmp_path)


def test_a_pipe_in_the_place_of_a_heads_weights_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / HEAD_WEIGHTS)
    shape = Head("pooled", 2)
    description = Description("own", "classification", shape, "fp32", "", HEAD_WEIGHTS)
    with pytest.raises(ModelError, match="not a plain file"):
        read_head(tmp_path, new_head(shape, SimpleNamespace(hidden_size=4), 1, dropout=0.0), description, "electra")
