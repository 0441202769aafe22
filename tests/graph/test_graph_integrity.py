"""Damaged nodes: named, set aside, and made again with all that was made from them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from toy_graph import contents, go, leftovers, node, tree

from xstilts.errors import StoreError
from xstilts.graph.clean import removable, remove
from xstilts.graph.events import Event, NodeSetAside
from xstilts.graph.integrity import made_from
from xstilts.graph.node import Graph
from xstilts.graph.store import Store

GRAPH = tree(2, 2)
FIRST = GRAPH.nodes[0]


@pytest.fixture
def finished(store: Store) -> Store:
    """A store with all of the graph, opened by nobody yet."""
    assert go(GRAPH, store).complete
    return Store(store.root)


def flip(path: Path) -> None:
    """Another bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    """Half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def starts(log: Path) -> list[str]:
    return sorted(line.split()[2] for line in log.read_text().splitlines() if line.startswith("start"))


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["result.txt", "deep/er/more.bin", "node.json", "files.json"])
def test_a_damaged_score_is_made_again_by_the_same_command(finished: Store, log: Path, harm: object, name: str) -> None:
    expected = contents(Store(finished.root))
    log.write_text("")
    victim = GRAPH.nodes[-1]
    assert callable(harm)
    harm(finished.path(victim.key) / name)
    events: list[Event] = []
    summary = go(GRAPH, finished, events=events)
    assert summary.complete
    assert starts(log) == [victim.key], "only this"
    assert contents(Store(finished.root)) == expected
    (told,) = (e for e in events if isinstance(e, NodeSetAside))
    assert told.title == victim.title
    assert str(finished.path(victim.key)) in told.message
    assert (finished.root / "damaged" / f"{victim.key}.1" / "node.json").exists() == (
        harm is not Path.unlink or name != "node.json"
    )


def test_what_was_made_from_a_damaged_node_is_made_again(finished: Store, log: Path) -> None:
    """The training is read because one of its predictions is missing."""
    expected = contents(Store(finished.root))
    log.write_text("")
    below = set(made_from(finished, FIRST.key))
    assert below == {n.key for n in GRAPH if FIRST.key in n.parents.values()} | {
        n.key for n in GRAPH if below & set(n.parents.values())
    }
    finished.remove([next(n.key for n in GRAPH if n.key in below)])
    flip(finished.path(FIRST.key) / "result.txt")
    summary = go(GRAPH, finished)
    assert summary.done == {FIRST.key, *below}
    assert starts(log) == sorted(summary.done)
    assert contents(Store(finished.root)) == expected
    assert leftovers(finished) == []


def test_a_parent_that_goes_bad_is_found_again_however_deep(finished: Store) -> None:
    """Score and prediction are damaged: what the prediction is made from is looked at, too."""
    score = GRAPH.nodes[-1]
    predict = GRAPH.by_key[score.parents["from0"]]
    train = GRAPH.by_key[predict.parents["from0"]]
    for each in (score, predict, train):
        flip(finished.path(each.key) / "result.txt")
    expected = {train.key, *made_from(finished, train.key)}
    assert go(GRAPH, finished).done == expected
    contents(Store(finished.root))


def test_a_finished_node_that_nothing_reads_is_not_looked_at(finished: Store, log: Path) -> None:
    flip(finished.path(FIRST.key) / "result.txt")
    log.write_text("")
    scores = [n.key for n in GRAPH if n.kind == "score"]
    assert go(GRAPH, finished, wanted=scores).complete
    assert starts(log) == []


def test_a_second_damage_has_a_place_beside_the_first_and_clean_offers_both(finished: Store) -> None:
    victim = GRAPH.nodes[-1].key
    finished.save_study("tree", {"nodes": [n.as_json() for n in GRAPH]})
    for _ in range(2):
        flip(finished.path(victim) / "result.txt")
        assert go(GRAPH, Store(finished.root)).done == {victim}
    items = removable(finished)
    assert [i.path.name for i in items] == [f"{victim}.1", f"{victim}.2"]
    remove(finished, items)
    assert set(contents(finished)) == set(GRAPH.by_key)
    assert removable(finished) == []


def test_a_node_of_another_study_made_from_the_damaged_one_goes_too(finished: Store) -> None:
    other = node("score", "other", FIRST)
    assert go(Graph("other", (FIRST, other)), Store(finished.root)).complete
    flip(finished.path(FIRST.key) / "result.txt")
    go(GRAPH, finished)
    assert not finished.has(other.key)


def test_a_study_or_failure_record_that_is_damaged_stops_nobody(finished: Store) -> None:
    finished.save_study("tree", {"nodes": [n.as_json() for n in GRAPH]})
    finished.fail(node("train", "bad"), ValueError("bad"))
    for path in (*finished.root.glob("studies/*.json"), *finished.root.glob("failed/*.json")):
        truncate(path)
    finished.save_study("tree", {"nodes": [n.as_json() for n in GRAPH]})
    assert len(finished.studies()["tree"]["nodes"]) == len(GRAPH.nodes)
    assert finished.failure(node("train", "bad").key) is None
    finished.fail(node("train", "bad"), ValueError("once more"))
    for path in finished.root.glob("failed/*.json"):
        path.write_text(path.read_text().replace("title", "tItle"))
    finished.fail(node("train", "bad"), ValueError("again"))
    failure = finished.failure(node("train", "bad").key)
    assert failure is not None
    assert failure["text"] == "again"


def test_what_another_run_made_anew_meanwhile_is_left_alone(finished: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that start together find the same damage; one of them is quicker."""
    expected = contents(Store(finished.root))
    flip(finished.path(FIRST.key) / "result.txt")
    verify = Store.verify

    def late(store: Store, key: str) -> None:
        try:
            verify(store, key)
        finally:
            if key == FIRST.key and not made:
                made.append(True)
                assert go(GRAPH, Store(finished.root)).complete

    made: list[bool] = []
    monkeypatch.setattr(Store, "verify", late)
    summary = go(GRAPH, finished)
    assert made
    assert summary.done == set()
    assert len(list((finished.root / "damaged").iterdir())) == 1 + len(made_from(finished, FIRST.key))
    assert contents(Store(finished.root)) == expected


def test_a_node_that_another_run_sets_aside_while_it_is_looked_at_is_made_again(
    finished: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, verify = GRAPH.nodes[-1].key, Store.verify

    def late(store: Store, key: str) -> None:
        if key == victim and store.has(key) and not moved:
            moved.append(Store(store.root).set_aside(key))
        verify(store, key)

    moved: list[Path] = []
    monkeypatch.setattr(Store, "verify", late)
    assert go(GRAPH, finished).done == {victim}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("name", ["result.txt", "files.json"])
def test_what_cannot_be_read_for_another_reason_is_not_said_to_be_damaged(
    finished: Store, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    real = os.open

    def refused(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(str(path)) == finished.path(FIRST.key) / name:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(StoreError, match=f"{name}: cannot be read: {os.strerror(number)}"):
        go(GRAPH, finished)
    assert set(finished) == set(GRAPH.by_key)
