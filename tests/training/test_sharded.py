"""FSDP2 on two processes (gloo): the losses of one, a mixture, and checkpoints that go on after a kill and on one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sharded_run import KINDS, STEPS, STOP, learn, start
from toys import xlmr_folder

from xstilts.training.checkpoint_tensors import tensors_of
from xstilts.training.ranks import Ranks

HERE = Path(__file__).parent
NEAR = 1e-4
"""Of losses and weights: sums of gradients are added in another order, and Adam divides them by their own size."""


def torchrun(home: Path, task: str, breaks: str = "full") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "BREAK": breaks}
    return subprocess.run(
        [*command, str(HERE / "sharded_run.py"), str(home), task],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes trained twice, full and LoRA, and once more until one of them was killed."""
    home = tmp_path_factory.mktemp("sharded")
    xlmr_folder(home / "base")
    ended = torchrun(home, "calm")
    assert ended.returncode != 0
    assert "exitcode  : -9" in ended.stderr, ended.stderr[-3000:]
    shutil.copytree(home / "broken-full", home / "alone-full")
    shutil.copytree(home / "calm-lora", home / "alone-lora")
    for late in sorted((home / "alone-lora" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(late)
    shutil.copytree(home / "calm-lora", home / "broken-lora")
    for late in sorted((home / "broken-lora" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(late)
    for kind in KINDS:
        learn(start(home, kind), home / f"from-one-{kind}")
        shutil.rmtree(home / f"from-one-{kind}" / "checkpoints" / f"step-{STEPS - 1:08d}")
    again = torchrun(home, "again")
    assert again.returncode == 0, again.stderr[-3000:]
    return home


def losses(log: Path) -> list[tuple[str, float]]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [(line["task"], line["loss"]) for line in lines if "loss" in line]


def apart(one: Path, two: dict[str, Any]) -> float:
    found = load_file(one)
    assert found.keys() == two.keys()
    return max(float((found[name] - two[name]).abs().max()) for name in found)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_does(home: Path, tmp_path: Path, kind: str) -> None:
    model = start(home, kind)
    learn(model, tmp_path)
    one, two = losses(tmp_path / "log-0"), losses(home / f"calm-{kind}" / "log-0")
    assert len({task for task, _ in one}) == 2
    assert [task for task, _ in one] == [task for task, _ in two]
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], abs=NEAR)
    assert apart(home / f"calm-{kind}" / "weights.safetensors", tensors_of(model)) < NEAR
    assert losses(home / f"calm-{kind}" / "log-1") == two, "every process knows the whole step's loss"


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_taken_up_on_two_it_ends_bit_for_bit_equal(home: Path, kind: str) -> None:
    step = STOP - 1 if kind == "full" else STEPS - 2
    assert (home / f"broken-{kind}" / "resumed").read_text() == repr([(step, True)])
    assert losses(home / f"broken-{kind}" / "log-0") == losses(home / f"calm-{kind}" / "log-0")
    assert (
        apart(home / f"broken-{kind}" / "weights.safetensors", load_file(home / f"calm-{kind}" / "weights.safetensors"))
        == 0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_two_saved_goes_on_on_one(home: Path, tmp_path: Path, kind: str) -> None:
    model = start(home, kind)
    summary = learn(model, home / f"alone-{kind}")
    (resumption,) = summary.resumed
    assert resumption.step == (STOP - 1 if kind == "full" else STEPS - 2)
    assert resumption.differs == ("processes",)
    assert resumption.damaged == ()
    assert summary.best_step == 8
    save_file(tensors_of(model), tmp_path / "weights")
    assert apart(tmp_path / "weights", load_file(home / f"calm-{kind}" / "weights.safetensors")) < NEAR


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_saved_goes_on_on_two(home: Path, kind: str) -> None:
    assert (home / f"from-one-{kind}" / "resumed").read_text() == repr([(STEPS - 2, False)])
    calm = load_file(home / f"calm-{kind}" / "weights.safetensors")
    assert apart(home / f"from-one-{kind}" / "weights.safetensors", calm) < NEAR


def test_checkpoints_are_safetensors_and_json_and_nothing_is_pickled(home: Path) -> None:
    for kind in KINDS:
        kept = sorted((home / f"calm-{kind}" / "checkpoints").iterdir())
        assert [folder.name for folder in kept] == [f"step-{step:08d}" for step in (STEPS - 2, STEPS - 1)]
        files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} == {".safetensors", ".json", ".jsonl"}
        for path in files:  # all of each is what its name says, to the last byte
            if path.suffix == ".safetensors":
                load_file(path)
            else:
                assert all(json.loads(line) for line in path.read_text().splitlines() if path.suffix == ".jsonl")
        assert len([path for path in files if path.suffix == ".safetensors"]) == 4, "each process wrote its part"
        record = json.loads((kept[-1] / "checkpoint.json").read_text())
        assert record["conditions"]["processes"] == 2
        assert {path.name for path in kept[-1].iterdir()} == {*record["files"], "checkpoint.json"}


def test_rounds_are_as_many_for_every_process() -> None:
    micro_batches: Any = list("abcde")
    taken: Any = [[*Ranks(rank, 2).rounds(micro_batches)] for rank in (0, 1)]
    assert taken[0] == taken[1] == [["a", "b"], ["c", "d"], ["e"]]
    alone: Any = [*Ranks().rounds(micro_batches)]
    assert alone == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert [float(x) for x in Ranks().every_loss([torch.tensor(1.0), torch.tensor(2.0)], 2)] == [1.0, 2.0]
