"""A measurement: every system in fresh processes that take turns, and all that was seen.

A block starts a process for each system of a model. Then they work in slices of a second or so, in a drawn order and its
reverse (A B C C B A ...), so that a machine that changes its speed within seconds does so for all of them alike (what that
buys on a shared machine is in benchmarks/NOTES.md). Where the processes do not fit beside each other (``together: false``)
they run whole, one after the other, there and back. Finished blocks outlive an interruption; a cut-off one is run again.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xstilts import scoring, tasks
from xstilts.bench.load import write_load
from xstilts.bench.request import Request, Session, matrix_peak
from xstilts.device import fingerprint
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


def turns(systems: Sequence[Mapping[str, Any]], blocks: int, seed: int, *, together: bool) -> Iterator[Turn]:
    """The order of all runs: block by block, model by model, its systems in a drawn order, and back if not together."""
    models = list(dict.fromkeys(system["model"] for system in systems))
    random = np.random.default_rng(seed)
    for block in range(blocks):
        position = 0
        for model in models:
            own = [i for i, system in enumerate(systems) if system["model"] == model]
            there = [own[i] for i in random.permutation(len(own))]
            for system in there if together else (*there, *reversed(there)):
                yield Turn(block, position, system)
                position += 1


def measure(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Callable[..., None]
) -> Json:
    """Run a ``measure`` node; writes ``measurement.json`` and ``runs.jsonl`` and returns the node's counts.

    Raises:
        MeasurementError: a measured process failed, this is not the planned device, or its model or rows changed meanwhile.
    """
    spec = node.spec
    task, systems, settings = tasks.load(spec["task"]), spec["systems"], spec["settings"]
    _check_device(spec, resources)
    rows = load_rows(task, spec, resources)
    peak_of = (resources.device, spec["device"]["threads"], spec["precision"])
    peaks = [matrix_peak(*peak_of)]
    facts: dict[str, Json] = {}
    with TemporaryDirectory(dir=out.parent) as scratch:
        load = Path(scratch) / "load.json"
        write_load(load, task.type, rows)
        requests = [
            _request(node, system, load, parents, resources, Path(scratch) / f"answers-{number}.json")
            for number, system in enumerate(systems)
        ]
        order = list(turns(systems, settings["blocks"], settings["seed"], together=settings["together"]))
        kept = _kept(out, order)
        while len(kept) < len(order):
            group = _group(order[len(kept) :], systems, together=settings["together"])
            shown = partial(_progress, progress, len(kept), len(order))
            with _machine(out):
                kept += _runs(group, systems, requests, shown)
            if len(kept) == len(order) or order[len(kept)].block != group[0].block:
                _keep(out, kept)
        _check_same(systems, kept, out)
        for system in systems:
            facts[system["name"]] = _facts(system, kept, parents, task, rows)
    progress(len(order), len(order), "runs")
    peaks.append(matrix_peak(*peak_of))
    _write(out, node, facts, kept, peaks)
    return {"runs": len(order), "systems": len(systems), "languages": len(rows)}


def _check_device(spec: Mapping[str, Any], resources: Resources) -> None:
    """The key says which device was measured: no other one may make the numbers."""
    planned, here = spec["device"], fingerprint(resources.device, spec["device"]["threads"], spec["precision"])
    if (planned["kind"], planned["name"]) != (here["kind"], here["name"]):
        raise MeasurementError(
            f"planned on {planned['name']} ({planned['kind']}), but this worker runs on {here['name']} ({here['kind']})",
            hint="a measurement is of one device: run it with one --device",
        )


@contextmanager
def _machine(out: Path) -> Iterator[None]:
    """While held, no other measurement of this store times anything on this machine."""
    with (Claim.of(out).work / f".measuring-{platform.node()}").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


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
    node: Node, system: Json, load: Path, parents: Mapping[str, Path], resources: Resources, answers: Path
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
        slices=settings["slices"],
        answers=str(answers) if layer is None else None,
    )


def _progress(progress: Callable[..., None], before: int, total: int, done: float) -> None:
    progress(before + done, total, "runs")


def _group(order: Sequence[Turn], systems: Sequence[Json], *, together: bool) -> list[Turn]:
    """The next runs that take turns: the systems of one model in one block, or a single one."""
    first = order[0]
    if not together:
        return [first]
    model = systems[first.system]["model"]
    return [t for t in order if t.block == first.block and systems[t.system]["model"] == model]


def _runs(
    group: Sequence[Turn], systems: Sequence[Json], requests: Sequence[Request], progress: Callable[[float], None]
) -> list[Json]:
    """Start the processes of a group one after the other, let them work in turn, and collect their records."""
    slices = requests[0].slices
    with ExitStack() as stack:
        sessions, records = [], []
        for turn in group:
            # The systems of a block get the same samples, another block gets others.
            request = replace(requests[turn.system], seed=requests[turn.system].seed + turn.block)
            at = {"block": turn.block, "position": turn.position, "system": systems[turn.system]["name"]}
            started = datetime.now(UTC).isoformat(timespec="seconds")
            records.append({**at, "host": platform.node(), "started": started, "layer": request.layer})
            sessions.append(stack.enter_context(Session(request)))
        for number in range(slices):
            progress(len(group) * number / slices)
            for session in sessions if number % 2 == 0 else reversed(sessions):
                session.slice()
        for turn, session, record in zip(group, sessions, records, strict=True):
            record |= session.end()
            if (answers := requests[turn.system].answers) is not None:
                record["answers"] = json.loads(Path(answers).read_text(encoding="utf-8"))
    return records


def _kept(out: Path, order: Sequence[Turn]) -> list[Json]:
    """The runs of the whole blocks that an earlier attempt finished on this machine: another one is another measurement."""
    try:
        lines = (Claim.of(out).checkpoints / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: list[Json] = [json.loads(line) for line in lines]
    same = [(r["block"], r["position"]) for r in found] == [(t.block, t.position) for t in order[: len(found)]]
    return found if same and all(r["host"] == platform.node() for r in found) else []


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


def _check_same(systems: Sequence[Json], runs: Sequence[Json], out: Path) -> None:
    """Every run of a system was of the same model and rows; if not, none of them is kept for another attempt."""
    for system in systems:
        own = [run for run in runs if run["system"] == system["name"]]
        if any(run[fact] != own[0][fact] for run in own for fact in ONCE):
            shutil.rmtree(Claim.of(out).checkpoints)
            raise MeasurementError(
                f"{system['name']}: not every run was of the same model and rows",
                hint="files or code changed meanwhile; the runs are dropped, run the same command again",
            )


def _facts(
    system: Json, runs: Sequence[Json], parents: Mapping[str, Path], task: Task, rows: Mapping[str, Sequence[Any]]
) -> Json:
    """What a system is, and how far its answers are those that were scored."""
    own = [run for run in runs if run["system"] == system["name"]]
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


def _compliance(scenarios: Mapping[str, Any]) -> str:
    """Never "compliant": MLPerf asks for more than a duration (sample counts, its own load generator)."""
    short = [name for name, of in scenarios.items() if of and of["min_seconds"] < MLPERF_SECONDS]
    if not short:
        return "MLPerf's words and rules, not a compliant submission"
    names = " and ".join(name.replace("_", "-") for name in short)
    return f"{names} shorter than MLPerf's {MLPERF_SECONDS:.0f} s: not compliant"


def _write(out: Path, node: Node, facts: Mapping[str, Json], runs: Sequence[Json], peaks: Sequence[float]) -> None:
    spec, settings = node.spec, node.spec["settings"]
    measurement = {
        "measurement": node.labels["measurement"],
        "target": spec["task"],
        "split": spec["split"],
        **settings,
        "note": _compliance(settings["scenarios"]),
        "device": spec["device"],
        "matrix_peak_flops_per_s": list(peaks),
        "systems": facts,
    }
    (out / "measurement.json").write_text(json.dumps(measurement, ensure_ascii=False, indent=1), encoding="utf-8")
    shown = ({k: v for k, v in run.items() if k not in (*ONCE, "answers", "layer")} for run in runs)
    scoring.write_rows(out / "runs.jsonl", shown)
