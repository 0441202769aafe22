"""What may go, what must not, and what the store tells about its nodes."""

import json
import os
import re
from pathlib import Path

import pytest
from toy_graph import contents, die, go, leftovers, node, tree

from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.clean import removable, removable_node, remove
from xstilts.graph.node import Graph, Node
from xstilts.graph.run import why
from xstilts.graph.store import Store


def record(store: Store, graph: Graph) -> None:
    store.save_study(graph.study, {"nodes": [n.as_json() for n in graph], "cells": []})


def abandon(store: Store, made: Node) -> None:
    """Claim a node as a process that has died since."""
    store.begin(made)
    die(store, made.key)


def test_listing_removes_nothing_and_removing_takes_only_what_was_listed(store: Store, tmp_path: Path) -> None:
    kept, dropped = tree(1, 1), Graph("old", (node("train", "old"),))
    go(kept, store)
    go(dropped, store)
    record(store, kept)
    dead, bad, live = node("train", "dead"), node("train", "bad"), node("train", "live")
    abandon(store, dead)
    store.fail(bad, ValueError("bad"))
    running = store.begin(live)
    rest = store.root / "work" / ".gone.999999999.0.aside"
    rest.mkdir()
    os.utime(rest, (1, 1))
    items = removable(store)
    assert {(i.what, i.key) for i in items} == {
        ("work", dead.key),
        ("failure", bad.key),
        ("node", dropped.nodes[0].key),
        ("rest", ""),
    }
    assert all(i.path.exists() for i in items)
    assert next(i for i in items if i.what == "node").bytes > 256
    remove(store, items)
    assert not any(i.path.exists() for i in items)
    assert set(contents(store)) == set(kept.by_key)
    assert running.exists()
    assert removable(store) == []


def test_a_study_of_the_same_name_keeps_the_nodes_of_the_one_it_replaces(store: Store) -> None:
    old, new = Graph("s", (node("train", "old"),)), Graph("s", (node("train", "new"),))
    for graph in (old, new):
        go(graph, store)
        record(store, graph)
    assert removable(store) == []
    assert [n["key"] for n in store.studies()["s"]["nodes"]] == list(new.by_key)
    assert list(store.studies()) == ["s"]
    (kept,) = (store.root / "studies" / "replaced").iterdir()
    assert re.fullmatch(r"s\.[0-9a-f]{12}\.json", kept.name)
    kept.unlink()
    assert [i.key for i in removable(store)] == list(old.by_key)


def test_a_study_that_only_grows_or_stays_replaces_nothing(store: Store) -> None:
    small, large = tree(1, 1), tree(1, 2)
    for graph in (small, small, large):
        record(store, graph)
    assert store.replaced_studies() == []


def test_without_a_recorded_study_no_node_is_offered(store: Store) -> None:
    go(tree(1, 1), store)
    assert removable(store) == []


def test_what_a_live_process_writes_is_left_alone(store: Store) -> None:
    own = store.root / "work" / f".KEY.{os.getpid()}.0.aside"
    own.mkdir(parents=True)
    os.utime(own, (1, 1))
    assert removable(store) == []


def test_a_named_node_goes_with_all_that_was_made_from_it(store: Store) -> None:
    graph = tree(2, 2)
    go(graph, store)
    record(store, graph)
    first = graph.nodes[0].key
    path = store.path(first) / "result.txt"
    path.write_text("damaged")
    items = removable_node(store, first[:10])
    below = {n.key for n in graph if n.key == first or first in n.parents.values()}
    below |= {n.key for n in graph if below & set(n.parents.values())}
    assert {i.key for i in items} == below
    assert items[-1].key == first, "what was made from a node goes before it"
    remove(store, items)
    assert set(contents(store)) == set(graph.by_key) - below
    assert go(graph, Store(store.root)).done == below
    contents(store)


def test_a_node_with_a_damaged_record_can_be_removed(store: Store) -> None:
    graph = tree(1, 1)
    go(graph, store)
    key = graph.nodes[0].key
    (store.path(key) / "node.json").write_text("{half")
    remove(store, removable_node(store, key))
    assert list(store) == []


def test_a_node_that_is_being_run_is_not_removed(store: Store) -> None:
    train = node("train", "t")
    predict = node("predict", "p", train)
    graph = Graph("g", (train, predict))
    go(graph, store, wanted=[train.key])
    record(store, graph)
    store.begin(predict)
    with pytest.raises(StoreError, match=f"process {os.getpid()} is running"):
        removable_node(store, train.key)


def test_a_damaged_parent_leaves_the_running_attempt_of_another_driver_alone(store: Store) -> None:
    parent = node("train", "t")
    child = node("predict", "p", parent)
    graph = Graph("g", (parent, child))
    go(graph, store, wanted=[parent.key])
    out = store.begin(child)
    (out / "half.txt").write_text("theirs")
    (store.path(parent.key) / "result.txt").write_text("damaged")
    summary = go(graph, Store(store.root), wanted=[parent.key])
    assert summary.done == {parent.key}
    assert (out / "half.txt").read_text() == "theirs"
    assert store.owner(child.key) is not None
    store.release(child.key)
    assert store.claims() == []


def test_why_tells_the_ancestry(store: Store) -> None:
    graph = tree(1, 1)
    go(graph, store)
    train, predict, score = graph
    told = json.loads(json.dumps(why(store, score.key[:8])))
    assert told["key"] == score.key
    assert [e["key"] for e in told["ancestry"]] == [score.key, predict.key, train.key]
    last = told["ancestry"][-1]
    assert last["spec"] == train.spec
    assert last["title"] == train.title
    assert last["status"] == "done"
    assert last["attempt"]["versions"]["python"]
    assert last["attempt"]["seconds"] >= 0
    assert last["files"]["deep/er/more.bin"]["bytes"] == 256


def test_why_knows_planned_and_failed_nodes(store: Store) -> None:
    bad = node("train", "bad", fail="no rows left")
    graph = Graph("g", (bad, node("predict", "p", bad)))
    record(store, graph)
    go(graph, store)
    planned, failed = why(store, graph.nodes[1].key)["ancestry"]
    assert (planned["status"], planned["attempt"], planned["files"]) == ("waiting", None, None)
    assert (failed["status"], failed["failure"]["text"]) == ("failed", "no rows left")


def test_prefixes(store: Store) -> None:
    graph = Graph("g", tuple(node("train", f"t{i}") for i in range(17)))
    record(store, graph)
    first = sorted(graph.by_key)
    ambiguous = next(k[0] for k in first if sum(o.startswith(k[0]) for o in first) > 1)
    with pytest.raises(StoreError, match="is the beginning of") as caught:
        why(store, ambiguous)
    for key in (k for k in first if k.startswith(ambiguous)):
        assert key[:16] in caught.value.hint
    for unknown in ("", "xyz"):
        with pytest.raises(MissingNameError):
            why(store, unknown)


def test_a_damaged_study_is_named_and_no_reason_to_remove(store: Store) -> None:
    go(tree(1, 1), store)
    record(store, tree(1, 1))
    path = store.root / "studies" / "tree.json"
    path.write_text("{half")
    with pytest.raises(StoreError, match=r"tree\.json"):
        removable(store)
    assert leftovers(store) == []


def log(store: Store, made: Node) -> Path:
    path = store.root / "logs" / "nodes" / f"{made.key}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"event": "node_done"}\n')
    return path


def test_logs_go_with_their_nodes_and_those_of_needed_nodes_only_when_asked_for(store: Store) -> None:
    kept, dropped = Graph("kept", (node("train", "kept"),)), Graph("old", (node("train", "old"),))
    live = node("train", "live")
    for graph in (kept, dropped):
        go(graph, store)
    record(store, kept)
    store.begin(live)
    needed, lost, writing = (log(store, made) for made in (*kept, *dropped, live))
    runs = [store.root / "logs" / "runs" / f"{name}.jsonl" for name in ("ended", "running")]
    runs[0].parent.mkdir()
    for path, event in zip(runs, ("run_ended", "node_started"), strict=True):
        path.write_text(json.dumps({"event": event}) + "\n")
    assert [i.path for i in removable(store) if i.what == "log"] == [lost]
    assert [i.path for i in removable(store, logs=True) if i.what == "log"] == [lost, needed, runs[0]]
    remove(store, removable(store, logs=True))
    assert [path.exists() for path in (needed, lost, writing, *runs)] == [False, False, True, False, True]
    assert set(store) == {kept.nodes[0].key}


def test_a_named_node_takes_its_log_along(store: Store) -> None:
    (made,) = graph = Graph("s", (node("train", "a"),))
    go(graph, store)
    path = log(store, made)
    remove(store, removable_node(store, made.key[:12]))
    assert not path.exists()
    assert list(store) == []
