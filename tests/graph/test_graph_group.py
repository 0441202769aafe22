"""A slot of several processes: it looks like one, and when one process cannot go on the others do not wait for ever."""

import sys
from pathlib import Path

import pytest
from toy_graph import WORKER, leftovers, node, tree

from xstilts.graph import group
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Graph, Resources
from xstilts.graph.run import Summary, run
from xstilts.graph.store import Store


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "LAST_WORDS_SECONDS", 0.3)


def engine(command: list[str]) -> LocalEngine:
    return LocalEngine([Resources(device="cpu+cpu", threads=1)], command)


def go(graph: Graph, store: Store) -> Summary:
    return run(graph, store, engine(WORKER), listen=lambda event: None)


def starts(log: Path, key: str) -> list[str]:
    """The processes that began the node."""
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith("start") and key in line]


def test_all_processes_learn_and_the_first_does_the_rest(store: Store, log: Path) -> None:
    graph = tree(1, 1)
    assert go(graph, store).complete
    both, one, last = (starts(log, each.key) for each in graph)
    assert len(set(both)) == 2
    assert one == last
    assert one[0] in both
    assert {store.record(each.key)["attempt"]["of"] for each in graph} == {2}
    assert store.record(graph.nodes[0].key)["attempt"]["device"] == "cpu+cpu"
    assert not leftovers(store)


def test_a_death_without_a_checkpoint_fails_the_node_and_new_processes_go_on(store: Store, log: Path) -> None:
    dies, calm = node("train", "dies", signal="SIGKILL", rank=1, sleep=60), node("train", "calm")
    summary = go(Graph("g", (dies, calm)), store)
    assert "process 2 of 2 on cpu+cpu: worker died, signal 9 (SIGKILL)" in summary.failed[dies.key]
    assert len(starts(log, dies.key)) == 2, "once"
    assert calm.key in summary.done


def test_a_death_after_a_new_checkpoint_is_gone_on_from(store: Store, log: Path, tmp_path: Path) -> None:
    saves = {"saves": True, "rank": 1, "signal": "SIGKILL", "once": str(tmp_path / "died")}
    dies = node("train", "dies", **saves)
    assert go(Graph("g", (dies,)), store).complete
    assert len(set(starts(log, dies.key))) == 4
    assert not leftovers(store)


def test_what_failed_is_told_as_it_was_and_nobody_is_waited_for(store: Store, log: Path) -> None:
    fails, calm = node("train", "fails", fail="no such thing", rank=1, sleep=60), node("train", "calm")
    summary = go(Graph("g", (fails, calm)), store)
    assert summary.failed[fails.key] == "no such thing"
    assert store.failure(fails.key)["type"] == "RuntimeError"  # type: ignore[index]
    assert calm.key in summary.done
    assert len({*starts(log, fails.key), *starts(log, calm.key)}) == 4, "those that waited were replaced"


def test_a_group_that_does_not_start_says_so(store: Store) -> None:
    with pytest.raises(Exception, match="before it was ready"):
        run(
            tree(1, 1), store, engine([sys.executable, "-c", "raise SystemExit('not here')"]), listen=lambda event: None
        )
