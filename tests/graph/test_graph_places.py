"""Which workers a cluster holds, what runs where, and nodes whose workers are lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from toy_graph import WORKER, node, tree

from xstilts.errors import XstiltsError
from xstilts.graph import slot
from xstilts.graph.engine import Hear, Outcome, Place, WorkerLostError
from xstilts.graph.events import Event, NodeElsewhere, NodeFailed
from xstilts.graph.local import LocalEngine, LocalWorker
from xstilts.graph.node import Graph, Node, Resources
from xstilts.graph.places import Machine, placing, spread
from xstilts.graph.run import run
from xstilts.graph.store import Store

GIB = 2**30


def machine(cpus: int, gpus: int = 0, memory: int = 64) -> Machine:
    return Machine(f"{cpus}.{gpus}", f"host{cpus}", cpus, gpus, memory * GIB)


def shape(places: Sequence[Place]) -> list[tuple[str, int, int | None, bool]]:
    return [
        (p.resources.device, p.resources.threads, p.memory_bytes and p.memory_bytes // GIB, p.light) for p in places
    ]


@pytest.mark.parametrize(
    ("machines", "devices", "threads", "expected"),
    [
        ([machine(8), machine(4)], ["cpu"], None, [("cpu", 4, 64, False)] * 2),
        ([machine(8), machine(4)], ["cpu", "cpu"], None, [("cpu", 2, 32, False)] * 4),
        ([machine(8), machine(1)], ["cpu", "cpu"], 1, [("cpu", 1, 32, False)] * 2 + [("cpu", 1, 64, False)]),
        ([machine(8, 2), machine(4)], ["cuda"], 3, [("cuda:0", 3, 32, False)] * 2),
        ([machine(9, 2)], ["cuda"], 3, [("cuda:0", 3, 21, False)] * 2 + [("cpu", 3, 21, True)]),
    ],
)
def test_workers_are_what_the_machines_hold(
    machines: list[Machine], devices: list[str], threads: int | None, expected: list[tuple[str, int, int, bool]]
) -> None:
    assert shape(spread(machines, devices, threads, Resources())) == expected


@pytest.mark.parametrize(
    ("machines", "devices", "threads", "message"),
    [
        ([], ["cpu"], None, "no machine of the cluster has a CPU; there are: none"),
        ([machine(8)], ["cuda"], None, "has a GPU; there are: host8: 8 CPUs, 0 GPUs"),
        ([machine(8)], ["cpu"], 9, "a worker wants 9 CPUs, and no machine has more than 8"),
        ([machine(8, 2)], ["cuda:0+1"], None, "'cuda:0[+]1' is several devices of this machine"),
    ],
)
def test_a_cluster_that_holds_no_worker_is_refused(
    machines: list[Machine], devices: list[str], threads: int | None, message: str
) -> None:
    with pytest.raises(XstiltsError, match=message):
        spread(machines, devices, threads, Resources())


def test_a_node_goes_where_its_memory_is() -> None:
    small, large, light = (Place(Resources(), size * GIB, light=size == 1) for size in (8, 32, 1))
    train, giant, score = node("train", "t"), node("train", "g"), node("score", "s")
    needs = {train.key: 20 * GIB, giant.key: 50 * GIB, score.key: 0}

    def where(places: Sequence[Place], each: Node) -> list[bool]:
        may = placing(places, needs)
        return [may(number, each) for number in range(len(places))]

    assert where([small, large], train) == [False, True]
    assert where([small, large], giant) == [False, True], "refused there, in words"
    assert where([small, large], score) == [True, True]
    assert where([small, large, light], score) == [False, False, True]
    assert where([small, large, light], train) == [False, True, False]


class Losing(LocalWorker):
    """Is lost at the attempts whose turns are named."""

    turns: Sequence[int] = ()
    count = 0

    def attempt(self, node: Node, hear: Hear) -> Outcome:
        Losing.count += 1
        if Losing.count in Losing.turns:
            raise WorkerLostError("the machine is gone")
        return super().attempt(node, hear)


class Places(LocalEngine):
    """Two places, of which one takes only nodes that load no model; measures nothing."""

    measures = False

    def may(self, number: int, node: Node) -> bool:
        return (number == 1) == (node.kind == "score")

    def start(self, place: Place, store: Store) -> LocalWorker:
        return Losing(store, self.command, place.resources)


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(slot, "BACK_OFF_SECONDS", 0.01)

    def at(*turns: int) -> None:
        monkeypatch.setattr(Losing, "turns", turns)
        monkeypatch.setattr(Losing, "count", 0)

    at()
    return at


def go(graph: Graph, store: Store, events: list[Event]) -> Mapping[str, Any]:
    ended = run(graph, store, Places([Resources(threads=1)] * 2, WORKER), listen=events.append)
    return vars(ended)


def test_a_lost_node_is_begun_again(store: Store, lost: Any) -> None:
    lost(1, 2, 4)
    events: list[Event] = []
    ended = go(tree(2, 2), store, events)
    assert len(ended["done"]) == len(tree(2, 2).nodes)
    assert [e.message.split(": ")[-1] for e in events if isinstance(e, NodeElsewhere)] == ["the machine is gone"] * 3


def test_a_node_that_loses_every_worker_has_failed(store: Store, lost: Any) -> None:
    lost(*range(1, 5))
    events: list[Event] = []
    made = node("train", "t")
    assert go(Graph("g", (made,)), store, events)["failed"] == {
        made.key: "the machine is gone; 4 workers were lost at this node"
    }
    assert [e.type for e in events if isinstance(e, NodeFailed)] == ["WorkerLost"]
    failure = store.failure(made.key)
    assert failure is not None
    assert failure["type"] == "WorkerLost"
    lost()
    assert go(Graph("g", (made,)), store, [])["done"] == {made.key}


def test_what_is_measured_is_left_to_this_machine(store: Store, lost: Any) -> None:
    train = node("train", "t")
    measured = node("measure", "m", train)
    ended = go(Graph("g", (train, measured)), store, [])
    assert (ended["done"], ended["left"]) == ({train.key}, (measured.key,))
