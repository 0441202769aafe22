"""Kinds that run alone: beside another node a measurement would be of both."""

from __future__ import annotations

from pathlib import Path

from toy_graph import go, node

from xstilts.graph.node import Graph
from xstilts.graph.store import Store


def test_a_measurement_runs_alone_and_after_what_is_ready(store: Store, log: Path) -> None:
    trained = [node("train", f"t{i}", sleep=0.2) for i in range(3)]
    measured = [node("measure", f"m{i}", trained[0], sleep=0.2) for i in range(2)]
    later = node("predict", "p", trained[2], sleep=0.2)
    go(Graph("g", (*trained, *measured, later)), store, slots=3)
    running: set[str] = set()
    alone = {m.key for m in measured}
    order = []
    for line in log.read_text().splitlines():
        word, _, key = line.split()
        if word == "end":
            running.remove(key)
            continue
        assert not (alone & running), "nothing starts beside a measurement"
        assert key not in alone or not running, "a measurement starts when nothing else runs"
        running.add(key)
        order.append(key)
    assert len(order) == 6
    assert set(order[-2:]) == alone, "measurements wait until nothing else is left to run"
