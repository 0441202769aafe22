"""A run: order, reuse, failures, other drivers, and disks that refuse."""

import os
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from toy_graph import WORKER, contents, die, go, leftovers, node, tree

from xstilts.errors import MissingNameError, StoreError, XstiltsError
from xstilts.graph.engine import Place
from xstilts.graph.events import Event, NodeBlocked, NodeDone, NodeElsewhere, NodeFailed, NodeProgress, NodeStarted
from xstilts.graph.local import LocalEngine, LocalWorker
from xstilts.graph.node import Graph, Resources
from xstilts.graph.run import Summary, run, status
from xstilts.graph.store import Store


def lines(log: Path, word: str) -> list[str]:
    """Keys of the nodes that started or ended, in order."""
    return [line.split()[2] for line in log.read_text().splitlines() if line.startswith(word)]


def test_every_node_is_run_once_after_its_parents(store: Store, log: Path) -> None:
    graph = tree(3, 2)
    events: list[Event] = []
    summary = go(graph, store, slots=2, events=events)
    assert summary.complete
    assert summary.done == graph.by_key.keys()
    assert sorted(lines(log, "start")) == sorted(graph.by_key)
    assert set(store) == set(graph.by_key)
    assert leftovers(store) == []
    order = [type(e).__name__[4:] + e.node.key for e in events if isinstance(e, NodeStarted | NodeDone)]
    for each in graph:
        for parent in each.parents.values():
            assert order.index("Done" + parent) < order.index("Started" + each.key)
    done = [e.done for e in events if isinstance(e, NodeDone)]
    assert done == list(range(1, len(graph.nodes) + 1))
    assert all(e.total == len(graph.nodes) for e in events)


def test_outputs_depend_on_the_parents(store: Store) -> None:
    train = node("train", "t")
    predict = node("predict", "p", train)
    go(Graph("g", (train, predict)), store)
    assert (store.path(predict.key) / "result.txt").read_text() == "p(from0:t())"


def test_a_record_says_how_the_node_was_made(store: Store) -> None:
    made = node("train", "t")
    go(Graph("g", (made,)), store)
    attempt = store.record(made.key)["attempt"]
    assert attempt["rows"] == 0
    assert attempt["threads_seen"] == "1"
    assert attempt["threads"] == 1
    assert attempt["device"] == "cpu"
    assert attempt["micro_batch_tokens"] == 4096
    assert attempt["pid"] != os.getpid()
    assert attempt["peak_memory_bytes"] > 2**20
    assert attempt["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert attempt["started"] <= attempt["finished"]


def test_one_worker_goes_depth_first(store: Store, log: Path) -> None:
    graph = tree(3, 3)
    go(graph, store)
    order = [graph.by_key[key] for key in lines(log, "start")]
    trained = [n.key for n in order if n.kind == "train"]
    for i, each in enumerate(order):
        if each.kind == "score":
            assert order[i - 1].key == each.parents["from0"], "a score follows its prediction at once"
        if each.kind == "predict":
            newest = [n.key for n in order[:i] if n.kind == "train"][-1]
            assert each.parents["from0"] == newest, "a model's predictions come before the next training"
    assert trained == [n.key for n in graph if n.kind == "train"]


def test_children_stay_with_the_worker_that_has_the_model(store: Store, log: Path) -> None:
    graph = tree(2, 6, sleep=0.02)
    go(graph, store, slots=2)
    workers: dict[str, set[str]] = defaultdict(set)
    for line in log.read_text().splitlines():
        word, pid, key = line.split()
        if word == "start" and graph.by_key[key].kind == "predict":
            workers[graph.by_key[key].parents["from0"]].add(pid)
    # A slot that has nothing of its own left may help with the last ones of the other.
    assert any(len(pids) == 1 for pids in workers.values())


def test_a_second_run_starts_no_worker(store: Store, log: Path) -> None:
    graph = tree()
    go(graph, store)
    before = log.read_text()
    summary = go(graph, Store(store.root), command=["/no/such/worker"])
    assert summary.complete
    assert (summary.found, len(summary.done)) == (len(graph.nodes), 0)
    assert log.read_text() == before


def test_only_what_is_missing_is_run(store: Store, log: Path) -> None:
    graph = tree()
    go(graph, store)
    gone = graph.nodes[-1].key
    store.remove([gone])
    log.write_text("")
    assert go(graph, Store(store.root)).done == {gone}
    assert lines(log, "start") == [gone]


def test_wanted_runs_only_what_it_needs(store: Store, log: Path) -> None:
    graph = tree()
    score = graph.nodes[-1]
    predict = score.parents["from0"]
    summary = go(graph, store, wanted=[score.key])
    assert summary.done == {score.key, predict, graph.by_key[predict].parents["from0"]}
    store.remove([predict])  # a finished node does not ask for its ancestors
    assert go(graph, Store(store.root), wanted=[score.key]).found == 1
    with pytest.raises(MissingNameError):
        go(graph, store, wanted=["0" * 64])


def test_a_parent_that_is_nowhere_is_told_before_anything_runs(store: Store, log: Path) -> None:
    predict = node("predict", "p", node("train", "t"))
    with pytest.raises(StoreError, match="neither in study g nor in the store"):
        go(Graph("g", (predict,)), store)
    assert log.read_text() == ""


def test_a_failed_node_blocks_its_descendants_only(store: Store) -> None:
    bad, good = node("train", "bad", fail="no rows left"), node("train", "good")
    below = node("predict", "p", bad)
    deep = node("score", "s", below)
    fine = node("predict", "p", good)
    graph = Graph("g", (bad, good, below, deep, fine))
    events: list[Event] = []
    summary = go(graph, store, events=events)
    assert summary.done == {good.key, fine.key}
    assert summary.failed == {bad.key: "no rows left"}
    assert summary.blocked == {below.key: bad.key, deep.key: bad.key}
    assert not summary.complete
    assert [(e.type, e.message) for e in events if isinstance(e, NodeFailed)] == [("RuntimeError", "no rows left")]
    assert {e.node.key for e in events if isinstance(e, NodeBlocked)} == {below.key, deep.key}
    failure = store.failure(bad.key)
    assert failure is not None
    assert "misbehave" in failure["traceback"]
    assert list(status(graph, store).values()) == ["failed", "done", "blocked", "blocked", "done"]
    assert leftovers(store) == []


def test_without_keep_going_nothing_starts_after_a_failure(store: Store) -> None:
    bad, good = node("train", "bad", fail="no"), node("train", "good")
    summary = go(Graph("g", (bad, good)), store, keep_going=False)
    assert summary.left == (good.key,)
    assert not summary.complete


def test_a_failed_node_is_tried_again_by_the_next_run_only(store: Store, tmp_path: Path, log: Path) -> None:
    bad = node("train", "bad", fail="once", once=str(tmp_path / "tried"))
    graph = Graph("g", (bad, node("predict", "p", bad)))
    assert not go(graph, store).complete
    assert lines(log, "start") == [bad.key]
    assert go(graph, store).complete
    assert store.failures() == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"signal": "SIGKILL"}, "worker died, signal 9 (SIGKILL)"),
        ({"signal": "SIGSEGV"}, "worker died, signal 11 (SIGSEGV)"),
        ({"exit": 3}, "worker ended with exit status 3"),
    ],
)
def test_a_worker_that_dies_fails_its_node_and_a_fresh_one_goes_on(
    store: Store, spec: dict[str, object], message: str
) -> None:
    bad, good = node("train", "bad", print=1, **spec), node("train", "good")
    summary = go(Graph("g", (bad, good)), store)
    assert summary.failed[bad.key].startswith(message)
    assert summary.done == {good.key}
    failure = store.failure(bad.key)
    assert failure is not None
    assert "noise on stderr" in failure["stderr"]
    assert leftovers(store) == []


def test_what_a_worker_printed_of_an_earlier_node_is_no_part_of_a_failure(store: Store) -> None:
    earlier, bad = node("train", "a", print=1), node("train", "b", exit=3)
    go(Graph("g", (earlier, bad)), store)
    failure = store.failure(bad.key)
    assert failure is not None
    assert "noise on stderr" not in failure["stderr"]


def test_prints_do_not_break_the_protocol(store: Store) -> None:
    graph = Graph("g", (node("train", "a", print=1), node("train", "b", print=1)))
    assert go(graph, store).complete


def test_progress_reaches_the_listener(store: Store) -> None:
    events: list[Event] = []
    go(Graph("g", (node("train", "a", steps=7),)), store, events=events)
    last = [e for e in events if isinstance(e, NodeProgress)][-1]
    assert (last.position, last.length, last.unit, last.note) == (7, 7, "steps", {"loss": 0.5})


def test_a_link_among_the_outputs_fails_the_node(store: Store) -> None:
    made = node("train", "a", link=1)
    assert "not a plain file" in go(Graph("g", (made,)), store).failed[made.key]


@pytest.mark.parametrize("code", ["ENOSPC", "EROFS", "EIO"])
def test_a_worker_whose_disk_refuses_ends_the_run_and_blames_no_node(store: Store, tmp_path: Path, code: str) -> None:
    first, bad = node("train", "first"), node("train", "bad", errno=code, once=str(tmp_path / "tried"))
    graph = Graph("g", (first, bad, node("predict", "p", bad)))
    with pytest.raises(StoreError, match=code) as caught:
        go(graph, store)
    assert "big.bin" in caught.value.where
    assert "every finished node is kept" in caught.value.hint
    assert store.failures() == []
    assert leftovers(store) == []
    assert go(graph, store).complete


def test_a_disk_that_fills_up_while_committing_ends_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tree()
    real, calls = os.fsync, iter(range(10**6))

    def full(handle: int) -> None:
        if next(calls) > 20:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="ENOSPC"):
            go(graph, store, slots=2)
    assert store.failures() == []
    assert 0 < len(contents(store)) < len(graph.nodes)
    assert go(graph, Store(store.root)).complete
    contents(store)


def test_a_worker_that_does_not_start_blames_no_node(store: Store) -> None:
    with pytest.raises(XstiltsError, match="cannot be started"):
        go(tree(), store, command=["/no/such/worker"])
    with pytest.raises(XstiltsError, match="exit status 1 before it was ready") as caught:
        go(tree(), store, command=[sys.executable, "-c", "raise SystemExit('no torch here')"])
    assert "no torch here" in caught.value.hint
    assert store.failures() == []
    assert leftovers(store) == []


def test_a_listener_that_fails_stops_the_run_cleanly(store: Store) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, NodeDone):
            raise ValueError("display broke")

    with pytest.raises(ValueError, match="display broke"):
        run(tree(2, 2, sleep=0.1), store, LocalEngine([Resources(threads=1)] * 2, WORKER), listen=listen)
    assert leftovers(store) == []
    contents(store)


def test_a_worker_that_cannot_be_closed_ends_the_run(store: Store) -> None:
    class Unclosable(LocalWorker):
        def close(self) -> None:
            super().close()
            raise OSError("no more handles")

    class Engine(LocalEngine):
        def start(self, place: Place, store: Store) -> LocalWorker:
            return Unclosable(store, self.command, place.resources)

    with pytest.raises(OSError, match="no more handles"):
        run(tree(1, 1), store, Engine([Resources(threads=1)], WORKER), listen=lambda event: None)
    assert go(tree(1, 1), store).complete


def test_two_drivers_share_a_store(store: Store, log: Path) -> None:
    graph = tree(3, 3, sleep=0.01)
    results: dict[int, Summary] = {}
    events: list[Event] = []

    def drive(number: int) -> None:
        results[number] = go(graph, Store(store.root), slots=2, events=events)

    drivers = [threading.Thread(target=drive, args=(i,)) for i in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    one, two = (results[i] for i in range(2))
    assert one.complete
    assert two.complete
    assert sorted(lines(log, "start")) == sorted(graph.by_key), "no node is run twice"
    assert set(contents(store)) == set(graph.by_key)
    assert leftovers(store) == []


def test_a_node_another_driver_runs_is_waited_for(store: Store) -> None:
    made = node("train", "t")
    graph = Graph("g", (made, node("predict", "p", made)))
    out = store.begin(made)

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, NodeElsewhere):
            (out / "result.txt").write_text("theirs")
            store.commit(made, out, {})

    events: list[Event] = []
    summary = run(graph, Store(store.root), LocalEngine([Resources(threads=1)], WORKER), listen=listen)
    assert summary.elsewhere == {made.key}
    assert summary.complete
    assert (store.path(graph.nodes[1].key) / "result.txt").read_text() == "p(from0:theirs)"


def test_a_failure_of_another_driver_is_not_tried_again(store: Store, log: Path) -> None:
    made = node("train", "t")
    store.begin(made)

    def listen(event: Event) -> None:
        if isinstance(event, NodeElsewhere):
            store.fail(made, RuntimeError("theirs"))

    graph = Graph("g", (made,))
    summary = run(graph, Store(store.root), LocalEngine([Resources(threads=1)], WORKER), listen=listen)
    assert summary.failed == {made.key: "theirs"}
    assert lines(log, "start") == []


def test_status_of_a_claimed_node_is_running(store: Store) -> None:
    graph = tree(1, 1)
    first = graph.nodes[0]
    assert set(status(graph, store).values()) == {"waiting"}
    store.begin(first)
    assert status(graph, store)[first.key] == "running"
    die(store, first.key)
    assert status(graph, store)[first.key] == "waiting"
