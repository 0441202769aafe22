"""What a measurement ran on: the names of processors and cards."""

from __future__ import annotations

import re
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from xstilts.device import check_cards, cpu_name, fingerprint, members
from xstilts.errors import ModelError


def test_a_processor_is_called_as_linux_calls_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: avx2\n")
    assert cpu_name(tmp_path / "cpuinfo") == "Some CPU @ 2 GHz"


def test_threads_and_precision_are_told_apart() -> None:
    one = fingerprint("cpu", 1, "fp32")
    assert one != fingerprint("cpu", 2, "fp32")
    assert one != fingerprint("cpu", 1, "bf16")
    assert one["versions"].keys() >= {"python", "torch", "transformers", "tokenizers"}


@pytest.mark.parametrize(
    ("device", "visible", "asked"),
    [("cuda", None, "0"), ("cuda:1", None, "1"), ("cuda:0", "3", "3"), ("cuda:1", "GPU-a, GPU-b", "GPU-b")],
)
def test_a_card_is_asked_by_the_number_that_the_driver_knows(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, asked: str
) -> None:
    def answers(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert f"--id={asked}" in command
        return subprocess.CompletedProcess(command, 0, "Some Card, 999.1\n", "")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(subprocess, "run", answers)
    assert fingerprint(device, 2, "bf16")["name"] == "Some Card, 999.1"


def test_a_card_that_is_hidden_or_unknown_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(ModelError, match="cuda:1 is not there: CUDA_VISIBLE_DEVICES is '3'"):
        fingerprint("cuda:1", 2, "fp32")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ModelError, match="nvidia-smi does not say what cuda:0 is"):
        fingerprint("cuda:0", 2, "fp32")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "CPU", "", "cuda:0,1", "mps"])
def test_what_is_no_device_is_refused_by_its_name(device: str) -> None:
    with pytest.raises(ModelError, match="is none"):
        members(device)


@pytest.mark.parametrize(
    ("devices", "count", "said"),
    [
        (["cuda"], 0, "cuda is not there: torch 2.0 finds 0 GPUs here"),
        (["cpu", "cuda:0+1"], 1, "cuda:1 is not there: torch 2.0 finds 1 GPU here\n  cuda:0 to cuda:0"),
        (["cuda:0+1", "cpu"], 2, ""),
    ],
)
def test_a_card_that_is_not_there_is_noticed_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], count: int, said: str
) -> None:
    def answers(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, f"2.0 {count}\n", "")

    monkeypatch.setattr(subprocess, "run", answers)
    with pytest.raises(ModelError, match=re.escape(said)) if said else nullcontext():
        check_cards(devices)


def test_processors_need_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("asked"))
    check_cards(["cpu", "cpu+cpu"])
