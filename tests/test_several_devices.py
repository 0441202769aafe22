"""A slot of several devices: its processes train one model, to the numbers of one process, and go on when one of them cannot.

The group here is two processes on a CPU (gloo). In one study run its second process is killed in a mixture and runs out of
memory in the fine-tuning after it; in another one its driver gets SIGTERM (``troubled_worker``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from test_execute import QUIET, planned
from troubled_worker import FITS, KILLED, SHORT, STOPPED_AT
from xstilts.device import members, worker_threads
from xstilts.errors import ModelError
from xstilts.execute import execute
from xstilts.graph.node import Node, Resources
from xstilts.graph.store import Store
from xstilts.memory.nodes import how_of, in_group, is_sharded
from xstilts.plan import Plan

NEAR = 1e-4
"""Of losses and weights: sums of gradients are added in another order, and Adam divides them by their own size."""
TOKENS = 120
PLAIN = {"batch_size": 6, "dropout": 0.0, "attention_dropout": 0.0}
LEARNS = {
    "mixture": {"max_steps": 8, "selection": "dev"},
    "intermediate": {**PLAIN, "selection": "dev", "selection_rows": 8},
    "target": {**PLAIN, "max_steps": 5, "selection": "dev", "selection_rows": 8, "evaluations_per_epoch": 2},
}


@dataclass
class Runs:
    """The same two trainings: by the group in a store, by one process in folders."""

    plan: Plan
    mix: Node
    train: Node
    store: Store
    said: dict[str, Any]
    trouble: Path
    alone: dict[str, Path]


def alone(plan: Plan, node: Node, parents: dict[str, Path], claim: Path, **changed: Any) -> dict[str, Any]:
    """What one process makes of a node, in ``claim/out``."""
    (claim / "out").mkdir(parents=True)
    resources = replace(Resources(plan.files, plan.models, threads=1, micro_batch_tokens=TOKENS), **changed)
    return execute(node, parents, claim / "out", resources, QUIET)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("several")
    plan = planned(arms={"all": {"intermediate": ["mnli", "ccg"]}}, training=LEARNS, languages=["en"], splits=["test"])
    (mix,) = (node for node in plan.graph if node.kind == "mix")
    (train,) = (node for node in plan.graph if node.kind == "train")
    nodes = [node.as_json() for node in plan.graph]
    group = {"nodes": nodes, "files": dict(plan.files), "models": dict(plan.models), "tokens": TOKENS}
    (home / "plan.json").write_text(json.dumps(group))
    script = Path(__file__).with_name("troubled_worker.py")
    paths = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script), str(home)], env={**os.environ, **paths}, check=True)
    ended = json.loads((home / "said.json").read_text())
    alone(plan, mix, {}, home / "mix")
    alone(plan, train, {"model": home / "mix" / "out"}, home / "train")
    folders = {"mix": home / "mix" / "out", "train": home / "train" / "out"}
    yield Runs(plan, mix, train, Store(home / "trouble"), ended, home, folders)


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def numbers(folder: Path) -> list[float]:
    """Losses and dev scores, in their order."""
    return [line["loss"] if "loss" in line else line["dev"] for line in log(folder)]


def said(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return found


def apart(one: Path, two: Path) -> float:
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.mark.parametrize("kind", ["mix", "train"])
def test_two_processes_learn_what_one_does_though_one_was_killed_and_one_short_of_memory(runs: Runs, kind: str) -> None:
    assert runs.said["trouble"]["complete"], runs.said["trouble"]["failed"]
    ours = runs.store.path({"mix": runs.mix, "train": runs.train}[kind].key)
    assert len(numbers(ours)) >= 8
    assert numbers(ours) == pytest.approx(numbers(runs.alone[kind]), abs=NEAR)
    assert apart(ours, runs.alone[kind]) < NEAR
    assert said(ours)["processes"] == 2
    assert "processes" not in said(runs.alone[kind])


def test_one_process_was_killed_and_all_went_on_from_the_last_checkpoint(runs: Runs) -> None:
    assert (runs.trouble / "killed").exists()
    (resumption,) = said(runs.store.path(runs.mix.key))["training"]["resumed"]
    assert resumption == {"step": KILLED - 1, "damaged": [], "same_conditions": True, "differs": []}
    tasks = [line["task"] for line in log(runs.store.path(runs.mix.key)) if "task" in line]
    assert set(tasks) == {"mnli", "ccg"}
    assert tasks == [line["task"] for line in log(runs.alone["mix"]) if "task" in line]


def test_told_to_stop_a_group_saves_and_leaves_and_goes_on_exactly(runs: Runs) -> None:
    stopped = runs.said["stopped"]
    assert stopped["code"] == 143
    assert (stopped["failures"], stopped["held"]) == ([], [])
    (checkpoint,) = stopped["checkpoints"]
    assert runs.said["told"]["complete"], runs.said["told"]["failed"]
    told, calm = (Store(runs.trouble / name) for name in ("told", "calm"))
    (resumption,) = said(told.path(runs.mix.key))["training"]["resumed"]
    assert checkpoint == f"step-{resumption['step']:08d}"
    assert resumption["step"] == STOPPED_AT
    assert resumption["same_conditions"]
    name = "model/model.safetensors"
    assert told.files(runs.mix.key)[name] == calm.files(runs.mix.key)[name]
    assert numbers(told.path(runs.mix.key)) == numbers(calm.path(runs.mix.key))
    assert told.claims() == []


def test_where_one_ran_out_of_memory_all_have_half_the_micro_batch_from_the_same_step(runs: Runs) -> None:
    ours = said(runs.store.path(runs.train.key))["training"]
    steps = [each["step"] for each in ours["halvings"]]
    sizes = [each["micro_batch_tokens"] for each in ours["halvings"]]
    assert steps[0] == SHORT + 1
    assert sizes[-1] <= FITS < TOKENS
    assert all(later <= size // 2 for size, later in pairwise(sizes))
    told = {line["step"] for line in log(runs.store.path(runs.train.key)) if "halved_to" in line}
    assert told == set(steps)
    assert ours["steps"] == said(runs.alone["train"])["training"]["steps"]


def test_what_two_saved_goes_on_on_one(runs: Runs, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    shutil.copytree(runs.trouble / "kept", claim / "checkpoints")
    alone(runs.plan, runs.mix, {}, claim)
    (resumption,) = said(claim / "out")["training"]["resumed"]
    assert resumption["step"] == KILLED - 1
    assert "processes" in resumption["differs"]
    assert apart(claim / "out", runs.alone["mix"]) < NEAR


def test_the_first_device_alone_does_what_is_not_learned_and_the_record_says_so(runs: Runs) -> None:
    kinds = {runs.store.record(key)["kind"]: runs.store.record(key)["attempt"] for key in runs.store}
    assert {attempt["device"] for attempt in kinds.values()} == {"cpu+cpu"}
    assert {kind for kind, attempt in kinds.items() if attempt.get("processes") == 2} == {"mix", "train"}
    assert not runs.store.claims(), "nothing is left of what the second process wrote"


def test_keys_do_not_know_how_many_devices_there_are(runs: Runs) -> None:
    assert {node.key for node in runs.plan.graph} == set(runs.store)
    assert "cpu+cpu" not in json.dumps([node.as_json() for node in runs.plan.graph])


def test_the_memory_plan_counts_the_part_of_each_process(runs: Runs) -> None:
    whole = how_of("cuda:0", TOKENS)
    shards = {node.kind: in_group(whole, node, 2).shards for node in runs.plan.graph}
    assert shards == {"mix": 2, "train": 2, "predict": 1, "score": 1}
    text = Node("mix", {"parts": {"mnli": {}, "masked_lm": {}}, "training": {}})
    assert in_group(whole, text, 2) == whole, "its head is the embedding matrix"
    assert not is_sharded(Node("train", {"training": {"batch_tokens": 512}})), "it writes text"


@pytest.mark.parametrize(
    ("device", "each"),
    [
        ("cpu", ("cpu",)),
        ("cuda", ("cuda",)),
        ("cpu+cpu", ("cpu", "cpu")),
        ("cuda:0+1", ("cuda:0", "cuda:1")),
        ("cuda:2+cuda:0+1", ("cuda:2", "cuda:0", "cuda:1")),
    ],
)
def test_a_group_is_written_as_its_devices(device: str, each: tuple[str, ...]) -> None:
    assert members(device) == each


@pytest.mark.parametrize("device", ["cpu+cuda:0", "cuda:0+cpu", "cuda+cuda", "cuda:0+0", "cpu+1", "cpu+", "tpu+tpu"])
def test_a_group_that_cannot_be_is_refused(device: str) -> None:
    with pytest.raises(ModelError, match=r"device '"):
        members(device)


def test_the_cores_are_shared_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xstilts.device.cores", lambda: 8)
    assert worker_threads(["cpu+cpu", "cpu", "cpu"], None) == (2, 8)
    assert worker_threads(["cpu+cpu"], None) == (4, 8)
