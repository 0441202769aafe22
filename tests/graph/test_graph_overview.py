"""How a study stands, from outside, while drivers work on it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from toy_graph import go, node, rewrite_owner, tree

from xstilts.graph.node import Graph, Node
from xstilts.graph.overview import Overview
from xstilts.graph.store import Store
from xstilts.report.states import view, watch


def finish(store: Store, made: Node, seconds: float) -> None:
    """A node that took so long."""
    store.commit(made, store.begin(made), {"seconds": seconds})


def look(store: Store, graph: Graph) -> dict[str, Any]:
    (found,) = Overview(Store(store.root)).look({graph.study: {"nodes": [n.as_json() for n in graph]}})
    return found


def shown(report: Mapping[str, Any]) -> str:
    console = Console(width=200, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(view([report]))
    console.file.close()
    return console.export_text()


def test_what_is_left_is_told_from_the_mean_of_each_kind(store: Store) -> None:
    graph = tree(3, 2)  # 3 trainings, 6 predictions, 6 scores
    assert look(store, graph)["eta_seconds"] is None
    trained, predicted = ([n for n in graph if n.kind == kind] for kind in ("train", "predict"))
    finish(store, trained[0], 3000.0)
    finish(store, trained[1], 1000.0)
    finish(store, predicted[0], 60.0)
    found = look(store, graph)
    overall = (3000 + 1000 + 60) / 3  # of the scores nothing is known
    assert found["eta_seconds"] == pytest.approx(2000 + 5 * 60 + 6 * overall, abs=0.1)
    assert found["device_hours_left"] == pytest.approx(found["eta_seconds"] / 3600, abs=1e-3)
    assert found["states"] == {"done": 3, "waiting": 12}
    assert found["waiting"] == {"train": 1, "predict": 5, "score": 6}


def test_nodes_that_run_share_the_rest_and_have_done_some_of_theirs(store: Store) -> None:
    nodes = [node("train", f"t{i}") for i in range(4)]
    graph = Graph("g", tuple(nodes))
    finish(store, nodes[0], 1000.0)
    for made in nodes[1:3]:
        store.begin(made)
    rewrite_owner(store, nodes[1].key, started="2020-01-01T00:00:00.000+00:00")  # longer than its kind takes
    found = look(store, graph)
    assert [n["title"] for n in found["running"]] == [nodes[1].title, nodes[2].title]
    assert found["running"][0]["seconds"] > 10**7
    assert found["device_hours_left"] * 3600 == pytest.approx(2000, abs=5)
    assert found["eta_seconds"] == pytest.approx(1000, abs=5)


def test_a_running_node_is_shown_with_the_last_it_told_its_log(store: Store) -> None:
    made = node("train", "t")
    graph = Graph("g", (made,))
    store.begin(made)
    log = store.root / "logs" / "nodes" / f"{made.key}.jsonl"
    log.parent.mkdir(parents=True)
    told = {"position": 120, "length": 500, "unit": "steps", "values": {"loss": 0.5234}}
    log.write_text(json.dumps({"event": "node_started"}) + "\n" + json.dumps(told) + "\n" + '{"half')
    found = look(store, graph)
    assert found["running"][0]["progress"] == told
    assert found["running"][0]["alive"]
    assert "120/500 steps, loss 0.5234" in shown(found)
    rewrite_owner(store, made.key, host="elsewhere", machine="another boot")
    found = look(store, graph)
    assert not found["running"][0]["alive"]
    assert "elsewhere" in shown(found)
    assert "no sign of life seen yet" in shown(found)


def test_failed_nodes_are_shown_with_their_last_lines(store: Store) -> None:
    bad = node("train", "bad", fail="no rows [left]")
    graph = Graph("g", (bad, node("predict", "p", bad)))
    go(graph, store)
    found = look(store, graph)
    (failed,) = found["failed"]
    assert failed["last_lines"][-1] == "RuntimeError: no rows [left]"
    assert found["states"] == {"failed": 1, "blocked": 1}
    assert found["eta_seconds"] == 0.0
    text = shown(found)
    assert "no rows [left]" in text
    assert "misbehave" in text


def test_watching_goes_on_while_a_driver_works_and_ends_with_it(store: Store) -> None:
    graph = tree(2, 2, sleep=0.05)
    payload = {"tree": {"nodes": [n.as_json() for n in graph]}}
    driver = threading.Thread(target=go, args=(graph, Store(store.root), 2))
    overview, seen = Overview(store), []

    def see() -> list[dict[str, Any]]:
        seen.append(overview.look(payload)[0])
        return [seen[-1]]

    driver.start()
    with Path("/dev/null").open("w") as nowhere:
        (last,) = watch(see, Console(file=nowhere), every_seconds=0.02)
    driver.join()
    assert last["states"] == {"done": len(graph.nodes)}
    assert last["eta_seconds"] == 0.0
    assert any(each["running"] for each in seen)


def test_a_second_look_reads_finished_nodes_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = node("train", "t")
    finish(store, made, 5.0)
    overview = Overview(store)
    payload = {"g": {"nodes": [made.as_json(), node("train", "u").as_json()]}}
    first = overview.look(payload)
    monkeypatch.setattr(store, "record", lambda key: pytest.fail("read again"))
    time.sleep(0.01)
    assert overview.look(payload) == first
