"""Disturbed runs of toy nodes end as an undisturbed one: the quick form of ``benchmarks.chaos``, whose studies are real."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.chaos import World, calm, disturbed, summary
from toy_driver import graph

from xstilts.graph.store import Store

SLEEP = 0.01
DRIVER = [sys.executable, str(Path(__file__).with_name("toy_driver.py"))]


def scores(root: Path) -> Any:
    """The outputs of the scores, which a table would read."""
    store = Store(root)
    keys = [node.key for node in graph(SLEEP) if node.kind == "score"]
    for key in keys:
        store.verify(key)
    return {key: {n: f["sha256"] for n, f in store.files(key).items() if n != "node.json"} for key in keys}


@pytest.fixture(scope="module")
def world() -> World:
    return World(lambda store: [*DRIVER, str(store), "2", str(SLEEP)], scores, 1.0, "toy_worker")


@pytest.fixture(scope="module")
def expected(world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return calm(world, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("seed", range(3))
def test_a_disturbed_run_ends_in_the_undisturbed_table(world: World, expected: Any, seed: int, tmp_path: Path) -> None:
    run = disturbed(world, expected, seed, tmp_path)
    assert run.problems == []
    assert summary([run])["survived_faults"] == run.injected.total()
