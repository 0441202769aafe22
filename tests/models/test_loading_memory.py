"""What loading takes: weights are used where they lie in their file, and never a second time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from xstilts.models.loading import load_encoder
from xstilts.models.precision import Precision
from xstilts.models.random_weights import write_random_model
from xstilts.shapes import shape_config

CONFIG = {**shape_config("xlm-r-base", 4), "vocab_size": 20_000}
SMALL = {**CONFIG, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 300}
MIB = 2**20
LOAD = """
import re, sys, threading, time
from pathlib import Path
from xstilts.models.loading import load_encoder
def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
load_encoder(sys.argv[1])
before, most, over = own(), 0, False
def watch():
    global most
    while not over:
        most = max(most, own())
        time.sleep(0.001)
thread = threading.Thread(target=watch)
thread.start()
encoder = load_encoder(sys.argv[2])
over = True
thread.join()
print(most - before, sum(p.numel() * 4 for p in encoder.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
@pytest.mark.parametrize(("dtype", "share"), [("fp32", 0.0), ("bf16", 1.0)])
def test_loading_on_a_cpu_makes_no_second_copy(tmp_path: Path, dtype: Precision, share: float) -> None:
    """float32 files are mapped; half-precision ones are widened once, shard by shard."""
    write_random_model(tmp_path / "warm", SMALL, 1, dtype=dtype)
    write_random_model(tmp_path / "m", CONFIG, 1, dtype=dtype, shard_bytes=40 * MIB)
    command = [sys.executable, "-c", LOAD, str(tmp_path / "warm"), str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took, weights = map(int, done.stdout.split()[-2:])
    assert weights > 150 * MIB
    assert abs(took - share * weights) < 0.15 * weights


@pytest.mark.parametrize(("dtype", "loaded"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_on_the_way_to_another_device_nothing_is_widened_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Precision, loaded: torch.dtype
) -> None:
    write_random_model(tmp_path / "m", SMALL, 1, dtype=dtype)
    seen: list[Any] = []
    usual = AutoModel.from_pretrained

    def watched(*args: Any, **options: Any) -> Any:
        seen.append(options["dtype"])
        return usual(*args, **options)

    monkeypatch.setattr(AutoModel, "from_pretrained", watched)
    encoder = load_encoder(tmp_path / "m", device="meta")
    assert seen == [loaded]
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert {p.device.type for p in encoder.parameters()} == {"meta"}


@pytest.mark.gpu
def test_a_card_gets_the_same_numbers_from_half_precision_files(tmp_path: Path) -> None:
    write_random_model(tmp_path / "m", SMALL, 1, dtype="bf16")
    there, here = load_encoder(tmp_path / "m", device="cuda"), load_encoder(tmp_path / "m")
    for one, other in zip(there.parameters(), here.parameters(), strict=True):
        assert torch.equal(one.cpu(), other)
