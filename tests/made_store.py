"""A store as a run leaves it, without a run: the nodes are planned, their outputs made up, their models tiny and random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny_world import tiny_data, tiny_model, tiny_study, write_study
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.journey import plan_study
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.tasks import load
from xstilts.tasks.task import Task

LAYER = 1


def made_store(home: Path, *, without: tuple[str, ...] = (), **changes: Any) -> Store:
    """The store of ``tiny_study(**changes)``; score nodes of the tasks in ``without`` are not there."""
    store = Store(home / "store")
    plan = plan_study(write_study(home, tiny_study(**changes)), tiny_data(), store)
    store.save_study(plan.study.name, plan.payload())
    for node in plan.graph:
        if node.kind == "score" and node.spec["task"] in without:
            continue
        out = store.begin(node)
        _fill(node, out)
        store.commit(node, out, _attempt())
    return store


def _attempt() -> dict[str, Any]:
    return {
        "rows_trained_on": 24,
        "training": {"steps": 2},
        "finished": "2026-01-02T03:04:05.678+00:00",
        "device": "cpu",
        "versions": {"xstilts": "0.1.0", "torch": "2.13.0"},
    }


def _fill(node: Node, out: Path) -> None:
    if node.kind == "train":
        shape = load(node.spec["task"]).type
        assert shape.head is not None
        export(Model.start(tiny_model(), shape.head, node.spec["seed"]), out / "model", node.spec["task"], shape.name)
    elif node.kind == "calibrate":
        said = {"layer": LAYER, "pooling": "mean", "rule": "best on dev", "fixed_layer": 1, "thresholds": {}}
        (out / "calibration.json").write_text(json.dumps(said))
    elif node.kind == "score":
        task = load(node.spec["task"])
        rows = [row for language in node.spec["languages"] for row in _rows(task, language, node)]
        (out / "scores.json").write_text(json.dumps(rows))
        (out / "chance.json").write_text(json.dumps(dict.fromkeys(node.spec["languages"], 33.3)))
        if node.spec["split"] == "test" and node.spec["rows"] is None:
            (out / "submission").mkdir()
            for language in node.spec["languages"]:
                write_answers(out / "submission", task, language)
    else:
        (out / "outputs").mkdir()


def _rows(task: Task, language: str, node: Node) -> list[dict[str, Any]]:
    retrieval = task.type.name == "retrieval"
    seed = node.labels["seed"] or 0
    return [
        {
            "language": language,
            "metric": metric,
            "value": 40.0 + 10 * seed + len(language),
            "count": 24,
            "layer": LAYER if retrieval else None,
            "pooling": "mean" if retrieval else None,
            "selection": "rule" if retrieval else None,
            "status": "ok",
            "main": True,
        }
        for metric in task.main_score
    ]


def write_answers(folder: Path, task: Task, language: str) -> None:
    """A file of the submission's form with 24 rows (two mined pairs)."""
    if task.type.name == "span":
        answers: Mapping[str, str] = {f"q{p}.{q}": "word" for p in range(12) for q in range(2)}
        (folder / f"test-{language}.json").write_text(json.dumps(answers))
        return
    labels = getattr(task.type, "labels", None) or ("0",)
    one = {"tagging": f"{labels[0]}\n{labels[1 % len(labels)]}\n\n"}.get(task.type.name, f"{labels[0]}\n")
    text = f"{language}-1\ten-2\n{language}-3\ten-4\n" if task.name == "bucc2018" else one * 24
    (folder / f"test-{language}.tsv").write_text(text)


def training(store: Store, task: str, arm: str = "mnli", seed: int = 1) -> str:
    """The key of one training."""
    return next(
        key
        for key in store
        for record in [store.record(key)]
        if record["kind"] == "train"
        and (record["labels"]["task"], record["labels"]["arm"], record["labels"]["seed"]) == (task, arm, seed)
    )
