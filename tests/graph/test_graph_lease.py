"""Who may work on a node, with drivers on several machines: takeovers, zombies, clocks that jump."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from toy_graph import contents, die, found, go, leftovers, node, owner_file, rewrite_owner

from xstilts.errors import StoreError
from xstilts.graph.claim import Claim, ClaimLostError, NodeBusyError
from xstilts.graph.clean import removable, removable_node, remove
from xstilts.graph.events import Event, NodeElsewhere
from xstilts.graph.heartbeat import LEASE_SECONDS, Heartbeat, Watch
from xstilts.graph.lease import Leases
from xstilts.graph.node import Graph
from xstilts.graph.run import Summary
from xstilts.graph.status import status
from xstilts.graph.store import Store

MADE = node("train", "a")
KEY = MADE.key


class Clock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def elsewhere(store: Store) -> None:
    """Let the holder of the node be a process of another machine."""
    rewrite_owner(store, KEY, host="elsewhere", machine="another boot", births={"7": "born there"})


def look(leases: Leases, clock: Clock, seconds: float, every: float = 1.0) -> str | None:
    """Ask again and again; the last answer."""
    state = leases.state(KEY)
    for _ in range(round(seconds / every)):
        clock.now += every
        state = leases.state(KEY)
    return state


def test_another_machines_holder_is_dead_after_a_lease_without_a_sign_of_life(store: Store) -> None:
    store.begin(MADE)
    elsewhere(store)
    clock = Clock()
    leases = Leases(store.root / "work", clock=clock)
    assert look(leases, clock, LEASE_SECONDS - 1) == "unknown"
    with pytest.raises(NodeBusyError, match="on elsewhere"):
        leases.begin(MADE)
    assert look(leases, clock, 1) == "dead"
    assert leases.begin(MADE).is_dir()
    owner = leases.owner(KEY)
    assert owner is not None
    assert owner.pid == os.getpid()


@pytest.mark.parametrize("jump", [-3600, -1, 1, 10**6], ids=lambda s: f"{s} s")
def test_a_clock_that_jumps_neither_kills_nor_revives(store: Store, jump: int) -> None:
    """Only that a time stamp changes is a sign of life; what it says is not looked at."""
    store.begin(MADE)
    elsewhere(store)
    clock = Clock()
    leases = Leases(store.root / "work", clock=clock)
    file = owner_file(store, KEY)
    for seen in ("unknown", "live", "live"):
        assert look(leases, clock, LEASE_SECONDS - 1) == seen
        stamp = file.stat().st_mtime_ns + jump * 10**9
        os.utime(file, ns=(stamp, stamp))
    assert look(leases, clock, LEASE_SECONDS - 1) == "live"
    os.utime(file, ns=(stamp, stamp))  # the very same: no sign
    assert look(leases, clock, 2) == "dead"


def test_an_observer_that_slept_does_not_take_its_sleep_for_the_holders_death(store: Store) -> None:
    store.begin(MADE)
    elsewhere(store)
    clock = Clock()
    leases = Leases(store.root / "work", clock=clock)
    assert look(leases, clock, 3 * 10**6, every=10**6) == "unknown"
    watch = Watch(60.0, clock)
    watch.state("x", 1)
    for expected in ("unknown", "unknown", "unknown", "dead"):
        clock.now += 10**6
        assert watch.state("x", 1) == expected


def test_a_driver_gives_signs_of_life_while_it_holds_a_node_and_no_longer(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = Store(tmp_path / "store", lease_seconds=0.12)
    store.begin(MADE)
    file = owner_file(store, KEY)
    stamps: set[int] = set()
    while len(stamps) < 4:
        stamps.add(file.stat().st_mtime_ns)
        time.sleep(0.005)
    store.release(KEY)
    while set(threading.enumerate()) - before:
        time.sleep(0.005)


def test_signs_of_life_survive_a_disk_that_refuses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = threading.Semaphore(0)

    def refused(path: Path) -> None:
        calls.release()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "utime", refused)
    beats = Heartbeat(0.001)
    beats.start(tmp_path)
    for _ in range(3):
        assert calls.acquire(timeout=10)
    beats.stop(tmp_path)


def test_a_zombie_that_finishes_late_cannot_commit_and_damages_nothing(store: Store) -> None:
    zombie_out = store.begin(MADE)
    zombie = Claim.of(zombie_out)
    (zombie_out / "result.txt").write_text("late")
    elsewhere(store)
    clock = Clock()
    other = Store(store.root)
    other.leases = Leases(store.root / "work", clock=clock)
    look(other.leases, clock, LEASE_SECONDS)
    out = other.begin(MADE)
    (out / "result.txt").write_text("second")
    zombie_out.mkdir(parents=True)  # its worker goes on as if nothing were
    (zombie_out / "result.txt").write_text("late")
    with pytest.raises(ClaimLostError), zombie.held():
        pytest.fail("was let in")
    with pytest.raises(ClaimLostError):
        store.commit(MADE, zombie_out, {})
    assert not store.has(KEY)
    other.commit(MADE, out, {})
    assert (store.path(KEY) / "result.txt").read_text() == "second"
    zombie_out.mkdir(parents=True, exist_ok=True)
    (zombie_out / "more.txt").write_text("still alive")
    with pytest.raises(ClaimLostError):
        store.commit(MADE, zombie_out, {})
    contents(store)
    assert set(store.files(KEY)) == {"result.txt", "node.json"}
    store.tidy()
    assert list((store.root / "work").iterdir()) == []


def test_a_zombie_whose_outputs_vanish_while_it_commits_is_told_what_happened(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = store.begin(MADE)
    (out / "result.txt").write_text("late")

    def vanishing(path: Path) -> None:
        die(store, KEY)
        Store(store.root).begin(MADE)
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr("xstilts.graph.store.settle", vanishing)
    with pytest.raises(ClaimLostError):
        store.commit(MADE, out, {})


def test_a_zombies_failure_is_no_news_and_takes_nothing_away(store: Store) -> None:
    store.begin(MADE)
    die(store, KEY)
    other = Store(store.root)
    out = other.begin(MADE)
    with pytest.raises(ClaimLostError):
        store.fail(MADE, RuntimeError("late"))
    store.release(KEY)
    assert store.failures() == []
    assert out.is_dir()
    assert other.leases.state(KEY) == "live"


def test_of_many_who_want_a_dead_ones_node_one_gets_it(store: Store) -> None:
    store.begin(MADE)
    die(store, KEY)
    got: list[Path] = []
    busy: list[NodeBusyError] = []
    gate = threading.Barrier(8)

    def want() -> None:
        mine = Store(store.root)
        gate.wait()
        try:
            got.append(mine.begin(MADE))
        except NodeBusyError as error:
            busy.append(error)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(busy)) == (1, 7)
    assert len(list(store.work(KEY).glob("*/*/out"))) == 1


def test_a_takeover_that_was_outrun_begins_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another driver takes the number, fails and leaves, between our look and our claim."""
    rename, outrun = Path.rename, [True]

    def late(path: Path, target: Path) -> Path:
        if outrun and target.name == "0001":
            outrun.clear()
            other = Store(store.root)
            (other.begin(MADE).parent / "checkpoints" / "step-1").mkdir(parents=True)
            other.release(KEY)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    claim = Claim.of(store.begin(MADE))
    assert claim.folder.parent.name == "0002"
    assert [p.name for p in claim.checkpoints.iterdir()] == ["step-1"]
    assert leftovers(store) == [KEY]


def test_a_run_takes_over_from_a_dead_machine(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", lease_seconds=0.5)
    out = Store(store.root).begin(MADE)
    (out / "half.txt").write_text("half")
    elsewhere(store)
    graph = Graph("g", (MADE,))
    assert set(status(graph, store).values()) == {"running"}
    assert go(graph, store).done == {KEY}
    assert set(contents(store)[KEY]) == {"result.txt", "deep/er/more.bin"}
    assert leftovers(store) == []


def test_a_driver_that_lost_its_node_takes_the_others_outcome(store: Store, tmp_path: Path) -> None:
    """It was stopped for long; when it goes on, another one has done its work."""
    made = node("train", "a", wait=str(tmp_path / "go on"))
    graph = Graph("g", (made, node("predict", "p", made)))
    summaries: list[Summary] = []
    events: list[Event] = []
    driver = threading.Thread(target=lambda: summaries.append(go(graph, Store(store.root), events=events)))
    driver.start()
    while not (store.owner(made.key) and found(store.work(made.key), "*/*/out/result.txt")):
        time.sleep(0.005)
    die(store, made.key)
    other = Store(store.root)
    out = other.begin(made)
    (out / "result.txt").write_text("theirs")
    (tmp_path / "go on").touch()
    while not any(isinstance(event, NodeElsewhere) for event in events):
        time.sleep(0.005)
    other.commit(made, out, {})
    driver.join()
    assert summaries[0].complete
    assert summaries[0].elsewhere == {made.key}
    assert (store.path(graph.nodes[1].key) / "result.txt").read_text() == "p(from0:theirs)"
    assert store.failures() == []


# What clean may take


def test_clean_keeps_what_a_running_node_of_no_study_is_made_from(store: Store) -> None:
    parent = node("train", "t")
    child = node("predict", "p", parent)
    go(Graph("g", (parent,)), store)
    store.save_study("other", {"nodes": [node("train", "x").as_json()]})
    assert [i.key for i in removable(store)] == [parent.key]
    store.begin(child)
    assert removable(store) == []
    rewrite_owner(store, child.key, host="elsewhere", machine="another boot")
    assert removable(store) == [], "nor on another machine, as far as we know"


def test_clean_puts_back_what_a_study_wants_by_the_time_it_removes(store: Store) -> None:
    graph = Graph("g", (node("train", "t"), node("train", "u")))
    go(graph, store)
    store.save_study("other", {"nodes": [node("train", "x").as_json()]})
    items = removable(store)
    assert {i.key for i in items} == set(graph.by_key)
    kept, gone = graph.nodes
    store.save_study("late", {"nodes": [kept.as_json()]})
    remove(store, items)
    assert set(contents(store)) == {kept.key}
    assert not store.has(gone.key)
    assert list((store.root / "work").iterdir()) == []


def test_clean_frees_a_lost_machines_node_only_by_name(store: Store) -> None:
    store.begin(MADE)
    elsewhere(store)
    remove(Store(store.root), removable(store))
    assert store.claims() == [KEY]
    remove(Store(store.root), removable_node(store, KEY))
    assert store.leases.folders() == []
    with pytest.raises(StoreError), store.leases.sealed(KEY):
        pytest.fail("was let in")
