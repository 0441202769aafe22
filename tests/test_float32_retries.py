"""Trainings whose loss is no number are done again in float32 where that is declared, as new nodes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from retry_world import World
from xstilts import journey
from xstilts.errors import NotFiniteError
from xstilts.graph.node import Graph
from xstilts.graph.run import Summary
from xstilts.graph.schedule import demanded
from xstilts.plan.retries import run_with_retries
from xstilts.report.show import show_plan


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def overflowing(
    world: World, *titles: str, precisions: tuple[str, ...] = ("bf16",)
) -> Callable[[Graph, set[str]], Summary]:
    """Computes all but trainings of these titles in these precisions: there the loss is no number."""

    def compute(graph: Graph, wanted: set[str]) -> Summary:
        pending, found = demanded(graph, world.store.has, wanted)
        failed: dict[str, str] = {}
        blocked: dict[str, str] = {}
        for key, node in pending.items():
            if (failed.keys() | blocked.keys()) & set(node.parents.values()):
                blocked[key] = next(iter(failed))
            elif node.title in titles and node.spec["precision"] in precisions:
                world.store.begin(node)
                world.store.fail(node, NotFiniteError("loss nan at step 3"))
                failed[key] = "loss nan at step 3"
            else:
                world.commit(node, lambda _: "ok")
        return Summary(
            found, frozenset(pending.keys() - failed.keys() - blocked.keys()), failed=failed, blocked=blocked
        )

    return compute


def test_a_loss_that_is_no_number_is_trained_again_in_float32_as_a_new_node(world: World) -> None:
    bad = "train m/mnli/mnli seed 1"  # intermediate: two fine-tunings and all retrieval follow from it
    fields: dict[str, Any] = {"precision": "bf16", "retries": {"float32": True}}
    first = world.plan(**fields)
    (failed,) = (node for node in first.graph if node.title == bad)
    done, summary = run_with_retries(first, world.store, overflowing(world, bad))
    assert summary.complete
    assert all(world.store.has(c.key) for c in done.cells)
    (again,) = (node for node in done.graph if "retry_of" in node.spec)
    assert again.spec == {**failed.spec, "precision": "fp32", "retry_of": failed.key}
    assert again.title == f"{bad} retry fp32"
    assert failed.key not in done.graph.by_key
    moved = {(c.arm, c.seed) for c, before in zip(done.cells, first.cells, strict=True) if c.key != before.key}
    assert moved == {("mnli", 1)}
    assert len(done.graph.nodes) == len(first.graph.nodes)
    planned = world.plan(**fields)
    assert planned.graph.by_key.keys() == done.graph.by_key.keys(), "the same command finds them again"
    assert world.store.studies()["s"]["cells"] == done.payload()["cells"]
    console = Console(file=io.StringIO(), width=200)
    show_plan(journey.plan_summary(planned, world.store), console)
    assert f"{bad} retry fp32" in console.file.getvalue()  # type: ignore[attr-defined]


def test_it_is_trained_again_only_where_that_is_declared_and_once(world: World) -> None:
    bad = "train m/none/xnli seed 1"
    plain, summary = run_with_retries(world.plan(precision="bf16"), world.store, overflowing(world, bad))
    assert len(summary.failed) == 1
    assert not [n for n in plain.graph if "retry_of" in n.spec]
    world.store.remove(plain.graph.by_key)
    everywhere = overflowing(world, bad, f"{bad} retry fp32", precisions=("bf16", "fp32"))
    done, summary = run_with_retries(world.plan(precision="bf16", retries={"float32": True}), world.store, everywhere)
    assert [n.title for n in done.graph if "retry_of" in n.spec] == [f"{bad} retry fp32"]
    assert not summary.complete
    assert list(summary.failed.values()) == ["loss nan at step 3"]
