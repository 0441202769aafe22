"""Weights read by name and by row, and what is said of files that are damaged; memory as control groups limit it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny

from xstilts.errors import ModelError
from xstilts.models.weight_files import WeightFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(3)
    tensors = {
        "odd": torch.randn(3, generator=generator).bfloat16(),  # what follows begins at any byte
        "matrix": torch.randn((50, 7), generator=generator),
        "half": torch.randn((5, 3), generator=generator).half(),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def test_reads_what_was_written_and_counts_it(folder: Path) -> None:
    with WeightFiles(folder) as files:
        for name, stored in files.stored.items():
            into = torch.empty(stored.shape, dtype=stored.dtype)
            files.read(name, into)
            from safetensors import safe_open

            with safe_open(folder / "model.safetensors", "pt") as weights:
                assert torch.equal(into, weights.get_tensor(name))
        assert files.bytes_read == 3 * 2 + 350 * 4 + 15 * 2


@pytest.mark.parametrize("rows", [[0], [49], [0, 1, 2, 7, 30, 31, 49], list(range(50))])
def test_reads_rows_and_no_others(folder: Path, rows: list[int]) -> None:
    with WeightFiles(folder) as files:
        whole = torch.empty(50, 7)
        files.read("matrix", whole)
        before = files.bytes_read
        assert torch.equal(files.read_rows("matrix", np.array(rows)), whole[rows])
        assert files.bytes_read - before == len(rows) * 28


def test_the_identity_is_that_of_the_files(folder: Path, tmp_path: Path) -> None:
    first = WeightFiles(folder).identity
    assert WeightFiles(folder).identity == first
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    save_file({"odd": torch.ones(3)}, other / "model.safetensors")
    assert WeightFiles(other).identity != first


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("roberta"), tmp_path / "model"))
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for damage in (content[:-10], b"", b"\xff" * 100, content[:40]):
        path.write_bytes(damage)
        with pytest.raises(ModelError, match=r"model\.safetensors: the weights cannot be read"):
            WeightFiles(folder)
    path.unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(ModelError, match=r"model-00001-of-00002\.safetensors: the weights cannot be read"):
        WeightFiles(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(ModelError, match="outside its folder"):
        WeightFiles(folder)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(folder: Path) -> None:
    with WeightFiles(folder) as files:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-900])
        with pytest.raises(ModelError, match="end before their header says so"):
            files.read("matrix", torch.empty(50, 7))


MEMINFO = "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n"
