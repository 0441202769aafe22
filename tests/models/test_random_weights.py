"""Models with random weights: the format, the seed, the shards, and what memory writing one takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSeq2SeqLM

from tiny_world import tiny_model
from xstilts.errors import ModelError, StoreError
from xstilts.models import random_weights
from xstilts.models.loading import load_encoder
from xstilts.models.random_weights import write_random_model
from xstilts.shapes import RANDOM, parameters, shape_config

SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 300}


def small(name: str = "xlm-r-base", **changes: Any) -> dict[str, Any]:
    return {**shape_config(name, 2), **SMALL, **changes}


def stored(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            found |= {name: tensors.get_tensor(name).clone() for name in tensors.keys()}  # noqa: SIM118
    return found


@pytest.mark.parametrize("name", ["xlm-r-base", "xlm-r-xl"])
def test_an_encoder_loads_with_every_weight_in_its_place(tmp_path: Path, name: str) -> None:
    written = write_random_model(tmp_path / "m", small(name), 1, tokenizer=tiny_model())
    encoder = load_encoder(tmp_path / "m")
    assert written == {"parameters": parameters(small(name)), "bytes": 4 * parameters(small(name))}
    state, files = encoder.transformer.state_dict(), stored(tmp_path / "m")
    assert state.keys() == files.keys()
    assert all(torch.equal(state[n], files[n]) for n in files)
    layer = state["encoder.layer.0.output.dense.weight"]
    assert abs(float(layer.std()) - 0.02) < 0.002
    assert abs(float(layer.mean())) < 0.002
    assert not state["encoder.layer.0.output.dense.bias"].any()


def test_an_encoder_and_decoder_loads(tmp_path: Path) -> None:
    sizes = {"d_model": 32, "num_heads": 2, "d_kv": 16, "d_ff": 48, "vocab_size": 300}
    write_random_model(tmp_path / "m", {**shape_config("mt5-small", 2), **sizes}, 1)
    _, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_the_seed_decides_and_the_files_do_not(tmp_path: Path) -> None:
    write_random_model(tmp_path / "one", small(), 1)
    write_random_model(tmp_path / "again", small(), 1, shard_bytes=20_000)
    write_random_model(tmp_path / "other", small(), 2)
    one, again, other = (stored(tmp_path / name) for name in ("one", "again", "other"))
    assert len(list((tmp_path / "again").glob("*.safetensors"))) > 2
    assert all(torch.equal(one[n], again[n]) for n in one)
    assert not torch.equal(one["embeddings.word_embeddings.weight"], other["embeddings.word_embeddings.weight"])
    index = json.loads((tmp_path / "again" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == one.keys()
    assert torch.equal(
        load_encoder(tmp_path / "again").transformer.state_dict()["encoder.layer.1.output.dense.weight"],
        one["encoder.layer.1.output.dense.weight"],
    )


def test_half_the_bytes_are_the_same_numbers_rounded(tmp_path: Path) -> None:
    write_random_model(tmp_path / "whole", small(), 1)
    write_random_model(tmp_path / "half", small(), 1, dtype="bf16")
    whole, half = stored(tmp_path / "whole"), stored(tmp_path / "half")
    assert all(torch.equal(half[n], whole[n].bfloat16()) for n in whole)
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"


def test_long_weights_are_drawn_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_weights, "BLOCK", 1000)
    write_random_model(tmp_path / "m", small(), 1)
    words = stored(tmp_path / "m")["embeddings.word_embeddings.weight"].flatten()
    assert len(set(words.tolist())) > 0.9 * len(words)  # no block is a copy of the one before


def test_the_folder_says_that_it_has_learned_nothing(tmp_path: Path) -> None:
    write_random_model(tmp_path / "m", small(), 3)
    assert json.loads((tmp_path / "m" / "config.json").read_text())[RANDOM]["seed"] == 3


def test_nothing_is_overwritten_and_nothing_half_written_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ModelError, match="already there"):
        write_random_model(tmp_path / "there", small(), 1)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(random_weights, "_put", full)
    with pytest.raises(StoreError):
        write_random_model(tmp_path / "new", small(), 1)
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sub-words.*10"):
        write_random_model(tmp_path / "m", small(vocab_size=10), 1, tokenizer=tiny_model())
    assert not (tmp_path / "m").exists()


WRITE = """
import re, sys
from pathlib import Path
from xstilts.models.random_weights import write_random_model
from xstilts.shapes import shape_config
def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
write_random_model(Path(sys.argv[1]) / "small", shape_config("xlm-r-base", 1) | {"vocab_size": 100}, 1)
before, most = own(), 0
def watch(done, total):
    global most
    most = max(most, own())
config = shape_config("xlm-r-base", 1) | {"vocab_size": 60_000}
write_random_model(Path(sys.argv[1]) / "m", config, 1, progress=watch)
print(most - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_writing_takes_a_block_of_memory_not_a_model(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, text=True, check=True)
    size = (tmp_path / "m" / "model.safetensors").stat().st_size
    assert size > 200 * 2**20
    assert int(re.findall(r"-?\d+", done.stdout)[-1]) < size / 4  # a block is 16 MiB, and nothing else is kept
