"""Disturbed runs of toy nodes end as an undisturbed one: the quick form of ``benchmarks.chaos``, whose studies are real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.chaos import calm, disturbed, summary
from benchmarks.worlds import World, toy


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with toy(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def expected(world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return calm(world, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("seed", range(3))
def test_a_disturbed_run_ends_in_the_undisturbed_table(world: World, expected: Any, seed: int, tmp_path: Path) -> None:
    run = disturbed(world, expected, seed, tmp_path)
    assert run.problems == []
    assert summary([run])["survived_faults"] == run.injected.total()
