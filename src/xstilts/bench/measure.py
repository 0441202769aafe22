"""A measurement: every system in fresh processes, interleaved there and back, and all that was seen.

A block runs each system of a model twice, in a drawn order and then in its reverse, so that a machine that grows slower
during the block does so for all of them alike. Finished blocks outlive an interruption; a cut-off one is run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xstilts import scoring, tasks
from xstilts.bench.load import write_load
from xstilts.bench.request import Request, matrix_peak, run_once
from xstilts.errors import MeasurementError
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.inputs import base_model
from xstilts.measurements import MLPERF_SECONDS
from xstilts.rows import choose_rows, open_rows, without_gold
from xstilts.task_types import Retrieval
from xstilts.tasks.task import Task

Json = dict[str, Any]
ONCE = ("loads", "model")  # facts of a system that every run tells again


@dataclass(frozen=True)
class Turn:
    """One run: its place in its block, and the number of its system in the spec."""

    block: int
    position: int
    system: int


def turns(systems: Sequence[Mapping[str, Any]], blocks: int, seed: int) -> Iterator[Turn]:
    """The order of all runs: block by block, in each model by model, its systems in a drawn order and back."""
    models = list(dict.fromkeys(system["model"] for system in systems))
    random = np.random.default_rng(seed)
    for block in range(blocks):
        position = 0
        for model in models:
            own = [i for i, system in enumerate(systems) if system["model"] == model]
            there = [own[i] for i in random.permutation(len(own))]
            for system in (*there, *reversed(there)):
                yield Turn(block, position, system)
                position += 1


def measure(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Callable[..., None]
) -> Json:
    """Run a ``measure`` node; writes ``measurement.json`` and ``runs.jsonl`` and returns the node's counts.

    Raises:
        MeasurementError: a measured process failed, or answers otherwise than the scored predictions say.
    """
    spec = node.spec
    task, systems, settings = tasks.load(spec["task"]), spec["systems"], spec["settings"]
    rows = load_rows(task, spec, resources)
    peak_of = (resources.device, spec["device"]["threads"], spec["precision"])
    peaks = [matrix_peak(*peak_of)]
    facts: dict[str, Json] = {}
    with TemporaryDirectory(dir=out.parent) as scratch:
        load = Path(scratch) / "load.json"
        write_load(load, task.type, rows)
        requests = [_request(node, system, load, parents, resources, Path(scratch)) for system in systems]
        order = list(turns(systems, settings["blocks"], settings["seed"]))
        kept = _kept(out, order)
        for done, turn in enumerate(order):
            name = systems[turn.system]["name"]
            progress(done, len(order), "runs", at=name)
            if done >= len(kept):
                kept.append(_run(turn, name, requests[turn.system]))
                if done + 1 == len(order) or order[done + 1].block != turn.block:
                    _keep(out, kept)
        for system in systems:
            facts[system["name"]] = _facts(system, kept, parents, task, rows)
    progress(len(order), len(order), "runs")
    peaks.append(matrix_peak(*peak_of))
    _write(out, node, facts, kept, peaks)
    return {"runs": len(order), "systems": len(systems), "languages": len(rows)}


def load_rows(task: Task, spec: Mapping[str, Any], resources: Resources) -> dict[str, list[Any]]:
    """Language -> the rows that are answered: examples without gold, or the sentences of the language's own side."""
    rows: dict[str, list[Any]] = {}
    for language, entry in spec["languages"].items():
        found, most = open_rows(task, entry, language, resources), spec["settings"]["rows"]
        if isinstance(task.type, Retrieval):
            (bitext,) = found
            # Tatoeba's candidates and BUCC's queries are the foreign side.
            own_side = bitext.candidates if task.type.mode == "nearest" else bitext.queries
            rows[language] = choose_rows(own_side, most)
        else:
            rows[language] = without_gold(choose_rows(found, most))
    return rows


def _request(
    node: Node, system: Json, load: Path, parents: Mapping[str, Path], resources: Resources, scratch: Path
) -> Request:
    spec, settings, name = node.spec, node.spec["settings"], system["name"]
    made = parents.get(f"model {name}")
    layer, pooling = system["layer"], spec["pooling"]
    if layer == "calibrated":
        chosen = json.loads((parents[f"calibration {name}"] / "calibration.json").read_text(encoding="utf-8"))
        layer, pooling = chosen["layer"], chosen["pooling"]
    return Request(
        folder=str(made / "model" if made else base_model(system["base"], resources)),
        task=spec["task"],
        task_files=resources.task_files,
        load=str(load),
        encoding=spec["encoding"],
        precision=spec["precision"],
        device=resources.device,
        threads=spec["device"]["threads"],
        layer=layer,
        pooling=pooling,
        batch_tokens=settings["batch_tokens"],
        slowdown=system["slowdown"],
        scenarios=settings["scenarios"],
        warmup_seconds=settings["warmup_seconds"],
        seed=settings["seed"],
        answers=str(scratch / "answers.json") if layer is None else None,
    )


def _run(turn: Turn, name: str, request: Request) -> Json:
    record: Json = {"block": turn.block, "position": turn.position, "system": name, **run_once(request)}
    record["layer"] = request.layer
    if request.answers is not None:
        record["answers"] = json.loads(Path(request.answers).read_text(encoding="utf-8"))
    return record


def _kept(out: Path, order: Sequence[Turn]) -> list[Json]:
    """The runs of the whole blocks that an earlier attempt finished."""
    try:
        lines = (Claim.of(out).checkpoints / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: list[Json] = [json.loads(line) for line in lines]
    same = [(r["block"], r["position"]) for r in found] == [(t.block, t.position) for t in order[: len(found)]]
    return found if same else []


def _keep(out: Path, runs: Sequence[Json]) -> None:
    """Written aside and renamed: half a block is never taken for a whole one."""
    claim = Claim.of(out)
    claim.checkpoints.mkdir(exist_ok=True)
    aside = claim.checkpoints / "runs.jsonl.new"
    with aside.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(run, ensure_ascii=False) + "\n" for run in runs)
        file.flush()
        os.fsync(file.fileno())
    with claim.held():
        aside.replace(claim.checkpoints / "runs.jsonl")


def _facts(
    system: Json, runs: Sequence[Json], parents: Mapping[str, Path], task: Task, rows: Mapping[str, Sequence[Any]]
) -> Json:
    """What a system is, and how far its answers are those that were scored."""
    own = [run for run in runs if run["system"] == system["name"]]
    if any(run[fact] != own[0][fact] for run in own for fact in ONCE):
        raise MeasurementError(f"{system['name']}: not every run was of the same model and rows")
    scored = parents.get(f"predictions {system['name']}")
    described = {name: system[name] for name in ("model", "arm", "role", "of", "seed", "slowdown")}
    agreement = _agreement(own, scored, task, rows) if scored else None
    loads = {"loads": own[0]["loads"], "agreement": agreement}
    return {**described, **own[0]["model"], "layer": own[0]["layer"], **loads}


def _agreement(runs: Sequence[Json], scored: Path, task: Task, rows: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """For each language the share of answers, over all runs, that equal the scored prediction of the same row."""
    found = {}
    for language, chosen in rows.items():
        by_id = {row["id"]: row for row in scoring.read_rows(scored / "outputs" / f"{language}.jsonl")}
        wanted = [task.type.answer(by_id[example.id]) for example in chosen]
        same = [
            task.type.answer(answer) == right
            for run in runs
            for answer, right in zip(run["answers"][language], wanted, strict=True)
        ]
        found[language] = sum(same) / len(same)
    return found


def _write(out: Path, node: Node, facts: Mapping[str, Json], runs: Sequence[Json], peaks: Sequence[float]) -> None:
    spec, settings = node.spec, node.spec["settings"]
    longest = max((of or {}).get("min_seconds", 0.0) for of in settings["scenarios"].values())
    note = f"shorter than MLPerf's {MLPERF_SECONDS:.0f} s: not compliant" if longest < MLPERF_SECONDS else ""
    measurement = {
        "measurement": node.labels["measurement"],
        "target": spec["task"],
        "split": spec["split"],
        **settings,
        "note": note,
        "device": spec["device"],
        "matrix_peak_flops_per_s": list(peaks),
        "systems": facts,
    }
    (out / "measurement.json").write_text(json.dumps(measurement, ensure_ascii=False, indent=1), encoding="utf-8")
    shown = ({k: v for k, v in run.items() if k not in (*ONCE, "answers", "layer")} for run in runs)
    scoring.write_rows(out / "runs.jsonl", shown)
