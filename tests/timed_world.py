"""A store as a study with measurements leaves it, with round numbers, so that every derived one can be computed by hand.

Two sizes, ``big`` and ``half``, each with the baseline arm ``none`` and the arm ``nli``; XNLI in en and de, Tatoeba in de. A
pass over XNLI takes 10 s on ``big`` and 5 s on ``half``, two fifths of it en; a query takes a hundredth of that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.hyperparameters import Training

BLOCKS = 4
EXAMPLES = 100
QUERIES = 45  # of each language and run: 8 runs of two languages have 720, enough for p99
GIB = 2**30
ENCODING = {"max_length": 128}
SECONDS = {"big": 10.0, "half": 5.0}
SHARE = {"en": 0.4, "de": 0.6}
TOKENS = {"en": 2000, "de": 3000}
XNLI = {
    ("big", "none"): {"en": 80.0, "de": 60.0},
    ("big", "nli"): {"en": 84.0, "de": 66.0},
    ("half", "none"): {"en": 70.0, "de": 50.0},
    ("half", "nli"): {"en": 76.0, "de": 56.0},
}
"""Main scores; their means are 70, 75, 60 and 66."""
TATOEBA = {
    "none": {0: 10.0, 1: 30.0, 2: 50.0, 3: 55.0, 4: 52.0},
    "nli": {0: 12.0, 1: 40.0, 2: 60.0, 3: 58.0, 4: 51.0},
}
"""Accuracy by layer of ``big``; the layer rule takes 3 for ``none`` and 2 for ``nli``."""
CALIBRATED = {"none": 3, "nli": 2}
WIGGLE = (0.002, -0.002, 0.001, -0.001)
"""Log differences by block of every system that is no reference: their mean is 0."""

Change = Callable[[str, dict[str, Any]], None]
STUDY: dict[str, Any] = {
    "name": "small",
    "training": {},
    "limits": {"train_rows": None, "evaluation_rows": None},
    "models": {"big": {"note": "a model of this test"}, "half": {"note": ""}},
    "data": {"files": {"mnli.train": ["stand-in.tsv"]}},
    "notes": {"any": "free text"},
    "arms": {"none": {"intermediate": None}, "nli": {"intermediate": "mnli"}},
    "targets": ["xnli", "tatoeba"],
    "splits": ["test"],
    "seeds": [1],
    "source": "en",
    "own_languages": {},
    "retrieval": {"pooling": "mean"},
}


@dataclass
class World:
    """The store under construction; ``save`` records the study."""

    store: Store
    nodes: dict[str, Node] = field(default_factory=dict)
    cells: list[dict[str, Any]] = field(default_factory=list)
    measured: list[dict[str, Any]] = field(default_factory=list)
    models: dict[tuple[str, str, str], tuple[Node, Node]] = field(
        default_factory=dict
    )  # of a place: model, predictions

    def finish(self, node: Node, files: Mapping[str, Any], attempt: Mapping[str, Any] | None = None) -> Node:
        """A finished node; a list of objects is written as JSON lines where the name says so."""
        self.nodes[node.key] = node
        if not self.store.has(node.key):
            out = self.store.begin(node)
            for name, value in files.items():
                path = out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                lines = name.endswith(".jsonl")
                path.write_text("".join(json.dumps(v) + "\n" for v in value) if lines else json.dumps(value))
            self.store.commit(node, out, attempt or {})
        return node

    def save(self) -> Store:
        """Record the study and give the store as another process would open it."""
        payload = {"study": STUDY, "nodes": [n.as_json() for n in self.nodes.values()], "cells": self.cells}
        self.store.save_study("small", {**payload, "measurements": self.measured})
        return Store(self.store.root)

    def train(
        self, model: str, arm: str, role: str, task: str, parents: dict[str, str], cost: tuple[float, int]
    ) -> Node:
        spec: dict[str, Any] = {"model": f"identity of {model}"} if not parents else {}
        spec |= {"task": task, "of": [model, arm], "training": Training(selection="last").model_dump(mode="json")}
        spec |= {"rows": None, "source": "en"}
        labels = {"role": role, "model": model, "arm": arm, "task": task, "seed": 1}
        node = Node("train", spec, parents, labels, 1)
        training = {"seconds": cost[0], "tokens": cost[1]}
        losses = [{"step": step, "loss": 2 / step} for step in range(1, 9)]
        return self.finish(node, {"training.jsonl": losses}, {"training": training, "threads": 2})

    def xnli(self, model: str, arm: str, precision: str = "fp32") -> None:
        """Training, predictions and score of one place."""
        above = {}
        if arm == "nli":
            above = {"model": self.train(model, arm, "intermediate", "mnli", {}, (300.0, 40_000)).key}
        tuned = self.train(model, arm, "target", "xnli", above, (100.0, 10_000))
        spec = {"task": "xnli", "precision": precision, "encoding": ENCODING}
        counts = {code: {"examples": 400, "windows": 500, "dropped_tokens": 3} for code in ("en", "de")}
        predict = self.finish(Node("predict", spec, {"model": tuned.key}, {}, 1), {"counts.json": counts})
        rows = [_row(code, value) for code, value in XNLI[model, arm].items()]
        score = Node("score", {"task": "xnli"}, {"predictions": predict.key}, {}, 1)
        self.finish(score, {"scores.json": rows, "chance.json": {}})
        self.cell(model, arm, "xnli", score)
        self.models[model, arm, "xnli"] = tuned, predict

    def tatoeba(self, arm: str) -> None:
        """The sweep, the calibration and the scores of ``big``; the baseline arm's model has no node."""
        mnli = self.train("big", arm, "intermediate", "mnli", {}, (300.0, 40_000)) if arm == "nli" else None
        spec: dict[str, Any] = {"task": "tatoeba", "precision": "fp32", "encoding": ENCODING, "arm": arm}
        spec["layers"] = list(TATOEBA[arm])
        if mnli is None:
            spec["model"] = "identity of big"
        counts = {"de": {"dropped_tokens": 0}}
        layers = [{"layer": layer, "pooling": "mean", "neighbours": [0]} for layer in TATOEBA[arm]]
        parents = {"model": mnli.key} if mnli else {}
        files = {"counts.json": counts, "outputs/de.jsonl": layers}
        retrieve = self.finish(Node("retrieve", spec, parents, {}, 1), files)
        calibration = {"layer": CALIBRATED[arm], "pooling": "mean", "rule": "best on BUCC dev", "thresholds": {}}
        calibrate = self.finish(Node("calibrate", {"arm": arm}, {}, {}, 1), {"calibration.json": calibration})
        rows = [_row("de", v, layer=at, pooling="mean", selection="curve") for at, v in TATOEBA[arm].items()]
        best = CALIBRATED[arm]
        rows.append(_row("de", TATOEBA[arm][best], layer=best, pooling="mean", selection="rule"))
        score = Node("score", {"task": "tatoeba"}, {"predictions": retrieve.key, "calibration": calibrate.key}, {}, 1)
        self.finish(score, {"scores.json": rows, "chance.json": {}})
        self.cell("big", arm, "tatoeba", score)
        self.models["big", arm, "tatoeba"] = mnli or Node("none", {}, {}, {}, 1), retrieve

    def cell(self, model: str, arm: str, target: str, score: Node) -> None:
        place = {"model": model, "arm": arm, "target": target, "split": "test", "seed": 1}
        self.cells.append({**place, "key": score.key})

    def measure(self, target: str, systems: Mapping[str, dict[str, Any]], **settings: Any) -> str:
        """One finished measurement; ``settings`` replace fields of ``measurement.json`` or of every run (``each_run``)."""
        each_run: Change = settings.pop("each_run", lambda name, run: None)
        parents: dict[str, str] = {}
        listed: list[dict[str, Any]] = []
        for name, of in systems.items():
            model, _ = self.models[of["model"], of["arm"], target]
            base = f"identity of {of['model']}" if model.kind == "none" else None
            parents |= {} if base else {f"model {name}": model.key}
            way = "calibrated" if name.endswith("calibrated") else of["layer"]
            listed.append({"name": name, "base": base, "layer": way})
        spec = {"systems": listed, "encoding": ENCODING, "precision": "fp32", "target": target, "settings": settings}
        node = Node("measure", spec, parents, {"measurement": "arms", "task": target, "split": "test"}, 1)
        said = _measurement(target, systems) | settings
        runs = [
            _run(block, name, of, each_run) for block in range(BLOCKS) for name, of in systems.items() for _ in "ab"
        ]
        self.finish(node, {"measurement.json": said, "runs.jsonl": runs})
        at = {"measurement": said["measurement"], "target": target, "split": "test"}
        self.measured.append({**at, "key": node.key})
        return node.key


def _row(language: str, value: float, **more: Any) -> dict[str, Any]:
    common = {"language": language, "metric": "accuracy", "value": value, "count": 400, "main": True, "status": "ok"}
    return common | {"layer": None, "pooling": None, "selection": None} | more


def system(model: str, arm: str, role: str = "arm", of: str | None = None, **more: Any) -> dict[str, Any]:
    """One entry of ``systems``, with what this world alone needs: ``pass_s`` and ``wiggle``."""
    languages = more.pop("languages", ("en", "de"))
    loads = {
        code: {"examples": EXAMPLES, "sequences": EXAMPLES, "tokens": TOKENS[code], "flops": 2e9} for code in languages
    }
    fields: dict[str, Any] = {
        "model": model,
        "arm": arm,
        "role": role,
        "of": of,
        "layer": None,
        "num_layers": 4,
        "seed": 1,
    }
    fields |= {"parameters": 1000, "weight_bytes": 4000, "execution": "packed: verified", "loads": loads}
    fields |= {
        "agreement": dict.fromkeys(languages, 1.0),
        "pass_s": SECONDS[model],
        "wiggle": WIGGLE if of else (0,) * 4,
    }
    return fields | more


def xnli_systems(models: tuple[str, ...] = ("big", "half")) -> dict[str, dict[str, Any]]:
    """Two arms, a control and a sabotaged copy of each model."""
    found = {}
    for model in models:
        reference = f"{model}/none"
        found[reference] = system(model, "none")
        found[f"{model}/nli"] = system(model, "nli", of=reference)
        found[f"{reference} control"] = system(model, "none", "control", reference)
        found[f"{reference} +5 %"] = system(model, "none", "sabotaged", reference, pass_s=1.05 * SECONDS[model])
    return found


def tatoeba_systems() -> dict[str, dict[str, Any]]:
    """``big`` at the last and at the calibrated layer: time goes with the layers that are run."""
    found = {}
    for arm in ("none", "nli"):
        for at, layer in (("last", 4), ("calibrated", CALIBRATED[arm])):
            of = None if (arm, at) == ("none", "last") else "big/none last"
            more: dict[str, Any] = {"layer": layer, "agreement": None, "languages": ("de",), "pass_s": 2.5 * layer}
            found[f"big/{arm} {at}"] = system("big", arm, of=of, **more)
    for role, name, slow in (("control", "control", 1.0), ("sabotaged", "+5 %", 1.05)):
        plain: dict[str, Any] = {"layer": 4, "agreement": None, "languages": ("de",), "pass_s": 10.0 * slow}
        found[f"big/none last {name}"] = system("big", "none", role, "big/none last", **plain)
    return found


def _measurement(target: str, systems: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    kept = {n: {k: v for k, v in of.items() if k not in ("pass_s", "wiggle")} for n, of in systems.items()}
    return {
        "measurement": "arms",
        "target": target,
        "split": "test",
        "rows": EXAMPLES,
        "blocks": BLOCKS,
        "margin": 0.03,
        "slowdown": 0.05,
        "scenarios": {"offline": {"min_seconds": 3.0}, "single_stream": {"min_seconds": 3.0}, "server": None},
        "note": "shorter than MLPerf's 600 s: not compliant",
        "device": {
            "kind": "cpu",
            "name": "A processor",
            "cores": 2,
            "threads": 2,
            "precision": "fp32",
            "versions": {"torch": "2.13.0"},
        },
        "matrix_peak_flops_per_s": [4e9, 3e9],
        "systems": kept,
    }


def _run(block: int, name: str, of: dict[str, Any], change: Change) -> dict[str, Any]:
    seconds = of["pass_s"] * math.exp(of["wiggle"][block])
    languages = list(of["loads"])
    share = SHARE if len(languages) > 1 else {"de": 1.0}
    run: dict[str, Any] = {
        "block": block,
        "position": 0,
        "system": name,
        "startup": {"import_s": 3.0, "load_s": 0.5, "first_call_s": 0.2, "warmup_s": 1.0},
        # Two passes whose mean is the share; a tenth of the time is encoding, a fiftieth decoding.
        "offline": {
            code: {
                "seconds": [0.9 * share[code] * seconds, 1.1 * share[code] * seconds],
                "turns": [0, 1],
                "encode_s": [0.1 * share[code] * seconds] * 2,
                "decode_s": [0.02 * share[code] * seconds] * 2,
            }
            for code in languages
        },
        "single_stream": {
            code: {"latencies_s": [seconds / 100] * QUERIES, "turns": [0] * QUERIES} for code in languages
        },
        "server": None,
        "memory": {"peak_bytes": int(of["pass_s"] * GIB / 5), "loaded_bytes": 1, "device_peak_bytes": None},
        "load_average": 1.0,
        "other_cpu_share": 0.01,
    }
    change(name, run)
    return run


def world(root: Path) -> World:
    """Everything but the measurements."""
    made = World(Store(root))
    for model, arm in XNLI:
        made.xnli(model, arm)
    for arm in TATOEBA:
        made.tatoeba(arm)
    return made
