"""The checkpoints of a node outlive its attempt: they go to the next attempt, whole, and to nobody else."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_graph import contents, found, leftovers, node
from toy_graph import die as kill_owner
from toy_graph import go as go_toy

from tiny_world import tiny_data, tiny_study
from xstilts.errors import TrainingError
from xstilts.graph.claim import Claim
from xstilts.graph.clean import removable, removable_node, remove
from xstilts.graph.disk import digest_file
from xstilts.graph.events import Event, NodeProgress
from xstilts.graph.failure import Failure
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Graph, Resources
from xstilts.graph.run import Interrupted, Summary, run, status
from xstilts.graph.store import ClaimLostError, NodeBusyError, Store
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

MADE = node("train", "a")


def leave_checkpoint(store: Store, step: int = 3) -> Path:
    """Claim the node and write what a training would; gives the output folder."""
    out = store.begin(MADE)
    (out / "half.txt").write_text("half")
    (out.parent / "scratch").mkdir()
    place = Claim.of(out).checkpoints / f"step-{step:08d}"
    place.mkdir(parents=True)
    (place / "weights").write_text("weights")
    return out


def die(store: Store) -> None:
    """The claim's processes are dead from now on."""
    kill_owner(store, MADE.key)


def kept(store: Store) -> list[str]:
    """What lies in the folders of the node's attempts, and who holds it."""
    attempts = [p for p in store.work(MADE.key).glob("*/*") if p.is_dir()]
    owner = ["owner.json"] * len(list(store.work(MADE.key).glob("*/owner.json")))
    return sorted([*owner, *(p.relative_to(of).as_posix() for of in attempts for p in of.rglob("*"))])


CHECKPOINT = ["checkpoints", "checkpoints/step-00000003", "checkpoints/step-00000003/weights"]


def test_the_next_claim_finds_a_dead_owners_checkpoints_and_nothing_else(store: Store) -> None:
    leave_checkpoint(store)
    die(store)
    out = Store(store.root).begin(MADE)
    assert kept(store) == [*CHECKPOINT, "out", "owner.json"]
    assert list(out.iterdir()) == []


def test_checkpoints_stay_until_the_node_is_finished_or_the_training_itself_cannot_go_on(store: Store) -> None:
    leave_checkpoint(store)
    store.release(MADE.key)
    assert kept(store) == CHECKPOINT
    assert store.owner(MADE.key) is None
    assert status(Graph("g", (MADE,)), store) == {MADE.key: "waiting"}
    store.begin(MADE)
    store.fail(MADE, Failure("WorkerDied", "worker died, signal 9"))
    assert kept(store) == CHECKPOINT
    store.begin(MADE)
    store.fail(MADE, TrainingError("loss nan at step 4"))
    assert leftovers(store) == []
    out = leave_checkpoint(store)
    store.commit(MADE, out, {})
    assert leftovers(store) == []
    assert set(contents(store)[MADE.key]) == {"half.txt"}


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        ("MemoryError", True),
        ("RuntimeError", True),
        ("ModelError", True),
        ("DataError", True),
        ("GoldError", True),
        ("TrainingError", False),
    ],
)
def test_what_other_resources_or_a_mended_disk_may_cure_costs_no_checkpoint(
    store: Store, error: str, stays: bool
) -> None:
    made = node("train", "a", saves=1, raises=error)
    assert go_toy(Graph("g", (made,)), store).failed == {made.key: "no more"}
    assert store.leases.has_checkpoints(made.key) is stays
    assert store.claims() == [made.key] * stays
    assert status(Graph("g", (made,)), store) == {made.key: "failed"}


@pytest.mark.parametrize("dies_at", range(5))
def test_a_takeover_that_dies_loses_no_checkpoint(store: Store, monkeypatch: pytest.MonkeyPatch, dies_at: int) -> None:
    """At each of its renames: of the claim, of the old owner's file, of the checkpoints, of the rest; and after them."""
    leave_checkpoint(store)
    die(store)
    calls = iter(range(100))

    def stopping(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(calls) == dies_at:
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopping(Path.rename))
        patch.setattr(Path, "replace", stopping(Path.replace))
        if dies_at < 4:
            with pytest.raises(KeyboardInterrupt):
                Store(store.root).begin(MADE)
        else:
            Store(store.root).begin(MADE)
            die(store)
    assert set(CHECKPOINT) <= set(kept(store))
    assert Store(store.root).begin(MADE).is_dir()
    assert set(CHECKPOINT) <= set(kept(store))


def test_after_a_takeover_the_former_worker_may_not_write_and_its_driver_not_release(store: Store) -> None:
    former = Claim.of(leave_checkpoint(store))
    with former.held():
        pass
    die(store)
    other = Store(store.root)
    now = Claim.of(other.begin(MADE))
    with pytest.raises(ClaimLostError, match="another driver has taken this node over"), former.held():
        pytest.fail("was let in")
    store.release(MADE.key)
    store.fail(MADE, TrainingError("late"))
    with now.held():
        assert kept(store) == [*CHECKPOINT, "out", "owner.json"]
    with pytest.raises(NodeBusyError):
        Store(store.root).begin(MADE)


def test_after_a_takeover_whatever_the_former_worker_still_writes_is_in_nobodys_way(store: Store) -> None:
    former = Claim.of(leave_checkpoint(store))
    die(store)
    Store(store.root).begin(MADE)
    late = former.checkpoints / "step-00000004"
    late.mkdir(parents=True)
    (former.folder / "out" / "late.txt").parent.mkdir()
    (former.folder / "out" / "late.txt").write_text("late")
    die(store)
    claim = Claim.of(Store(store.root).begin(MADE))
    assert [p.name for p in claim.checkpoints.iterdir()] == ["step-00000003"]
    assert list((claim.folder / "out").iterdir()) == []


def test_clean_offers_checkpoints_of_the_dead_and_never_of_the_living(store: Store) -> None:
    leave_checkpoint(store)
    assert removable(store) == []
    die(store)
    (item,) = removable(store)
    assert (item.what, item.key, item.why) == ("work", MADE.key, "checkpoints of an unfinished training")
    assert item.bytes >= len("weights")
    claimed = Store(store.root).begin(MADE)
    remove(store, [item])
    assert claimed.exists(), "claimed between listing and removing"
    assert removable(store) == []
    die(store)
    remove(store, removable(store))
    assert leftovers(store) == []


@pytest.mark.parametrize("end", [die, lambda store: store.release(MADE.key)], ids=["killed", "stopped"])
def test_clean_leaves_the_checkpoints_a_recorded_study_will_go_on_from(
    store: Store, end: Callable[[Store], None]
) -> None:
    leave_checkpoint(store)
    end(store)
    store.save_study("later", {"nodes": [MADE.as_json()]})
    assert removable(store) == []
    store.save_study("later", {"nodes": [node("train", "b").as_json()]})
    assert removable(store) == [], "a study that was replaced keeps its nodes, too"
    for path in (store.root / "studies" / "replaced").iterdir():
        path.unlink()
    assert [i.what for i in removable(store)] == ["work"]
    store.save_study("later", {"nodes": [MADE.as_json()]})
    remove(store, removable_node(store, MADE.key[:12]))
    assert leftovers(store) == [], "named, it goes"


def test_clean_offers_a_dead_attempt_without_checkpoints_whoever_needs_its_node(store: Store) -> None:
    store.begin(MADE)
    die(store)
    store.save_study("later", {"nodes": [MADE.as_json()]})
    assert [(i.what, i.why) for i in removable(store)] == [("work", "its driver is dead")]


# A real training in a real worker


SETTINGS = {"epochs": 16, "batch_size": 4, "dropout": 0.1, "selection": "dev", "patience": 40}


@pytest.fixture(scope="module")
def plan() -> Plan:
    """One PAWS-X training, of 96 steps."""
    choice = {"arms": {"none": {}}, "targets": ["pawsx"], "splits": ["dev"], "languages": ["de"]}
    raw = tiny_study(**choice, training={"target": SETTINGS})
    study = parse_study(raw)
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    return make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)


def go(
    plan: Plan, store: Store, checkpoint_seconds: float, listen: Callable[[Event], None] = lambda event: None
) -> tuple[str, Summary]:
    """Run the plan's training; gives its key."""
    (key,) = (n.key for n in plan.graph if n.kind == "train")
    resources = Resources(plan.files, plan.models, threads=1, checkpoint_seconds=checkpoint_seconds)
    command = [sys.executable, "-m", "xstilts.execute"]
    summary = run(plan.graph, store, LocalEngine([resources], command), listen=listen, wanted=[key])
    return key, summary


def kill_worker(store: Store, key: str, steps: int) -> Callable[[], int]:
    """Kill -9 the node's worker as soon as it has saved ``steps`` steps; the result waits and gives the last one seen."""
    seen: list[int] = []

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            saved = [int(p.name[5:]) for p in found(store.work(key), "*/*/checkpoints/step-*")]
            owner = store.owner(key)
            if saved and max(saved) >= steps and owner is not None:
                seen.append(max(saved))
                (worker,) = (int(pid) for pid in owner.births if int(pid) != os.getpid())
                os.kill(worker, signal.SIGKILL)
                return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()

    def last() -> int:
        thread.join()
        return seen[0]

    return last


@pytest.fixture(scope="module")
def calm(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which the training ran undisturbed."""
    store = Store(tmp_path_factory.mktemp("calm"))
    assert go(plan, store, checkpoint_seconds=1e9)[1].complete
    return store


def test_kill_9_of_a_training_worker_and_the_same_command_again(plan: Plan, calm: Store, store: Store) -> None:
    (key,) = calm
    steps = calm.record(key)["attempt"]["training"]["planned_steps"]
    assert steps == 96
    killed_at = kill_worker(store, key, steps // 3)
    _, summary = go(plan, store, checkpoint_seconds=0)
    saved = killed_at()
    assert summary.failed.keys() == {key}
    assert "signal 9" in summary.failed[key]
    check_resumed(plan, calm, store, saved)


def test_sigterm_saves_where_a_training_is_and_the_same_command_goes_on(plan: Plan, calm: Store, store: Store) -> None:
    """No checkpoint is due by the clock; the one that is found was written because of the signal."""

    def stop(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.unit == "steps":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        go(plan, store, checkpoint_seconds=1e9, listen=stop)
    assert stopped.value.exit_code == 143
    assert store.failures() == []
    check_resumed(plan, calm, store, 1)


def check_resumed(plan: Plan, calm: Store, store: Store, saved: int) -> None:
    """The next run goes on from step ``saved`` or later, to the very weights of the undisturbed one."""
    (key,) = calm
    assert store.leases.has_checkpoints(key)
    _, summary = go(plan, store, checkpoint_seconds=1e9)
    assert summary.complete
    name = "model/model.safetensors"
    assert store.files(key)[name] == calm.files(key)[name]
    (resumed,) = store.record(key)["attempt"]["training"]["resumed"]
    assert saved <= resumed["step"] < 96
    assert resumed["same_conditions"]
    assert resumed["damaged"] == []
    assert calm.record(key)["attempt"]["training"]["resumed"] == []
    assert leftovers(store) == []
    assert store.failures() == []
