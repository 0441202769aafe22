"""One measurement in one fresh process: ``python -m xstilts.bench.once`` reads a request and prints the run as one JSON line.

Loading, the first call and the steady state are apart: whoever serves a model pays all three, at different times.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.errors import XstiltsError

if TYPE_CHECKING:
    from xstilts.bench.scenarios import Query
    from xstilts.bench.system import System

Json = dict[str, Any]


def main() -> None:
    """Answer the request on standard input."""
    from xstilts.graph.worker import die_with_parent

    die_with_parent()
    try:
        found = answer(json.loads(sys.stdin.read()))
    except XstiltsError as error:
        sys.exit(str(error))
    print(json.dumps(found, ensure_ascii=False, allow_nan=False))  # noqa: T201 - whoever started this process reads it


def answer(request: Json) -> Json:
    """The record of a run, or the matrix peak (``kind``)."""
    kind = request.pop("kind")
    return _peak(request) if kind == "peak" else _run(request)


def _peak(request: Json) -> Json:
    import torch

    from xstilts.bench.peak import matrix_product_flops_per_s

    torch.set_num_threads(request["threads"])
    return {"flops_per_s": matrix_product_flops_per_s(request["device"], request["precision"])}


def _run(request: Json) -> Json:
    started = time.perf_counter()
    import torch

    from xstilts.bench.clock import SystemClock
    from xstilts.bench.scenarios import warm_up
    from xstilts.bench.system import System  # noqa: F401 - its libraries are loaded here, in the timed part

    torch.set_num_threads(request["threads"])
    imported = time.perf_counter()
    system, places = _system(request)
    loaded = time.perf_counter()
    clock, busy = SystemClock(), _Busy()
    warm = warm_up(system, len(system.rows), seconds=request["warmup_seconds"], clock=clock)
    facts = {language: system.load_facts(samples) for language, samples in places.items()}
    _write_answers(system, places, request["answers"])
    record: Json = {
        "startup": {
            "import_s": imported - started,
            "load_s": loaded - imported,
            "first_call_s": warm.first_call_s,
            "warmup_s": warm.seconds,
        },
        "memory": {"loaded_bytes": _status_bytes("VmRSS")},
        "loads": facts,
        "model": _model_facts(system),
    }
    busy.start()
    record |= _scenarios(system, places, request)
    record["other_cpu_share"] = busy.share_of_others()
    record["load_average"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    on_device = torch.cuda.max_memory_allocated(request["device"]) if request["device"].startswith("cuda") else None
    record["memory"] |= {"peak_bytes": _status_bytes("VmHWM"), "device_peak_bytes": on_device}
    return record


def _system(request: Json) -> tuple[System, dict[str, list[int]]]:
    """The loaded system and, for each language, the numbers of its rows."""
    from xstilts import tasks
    from xstilts.bench.load import read_load
    from xstilts.bench.system import System
    from xstilts.hyperparameters import Encoding
    from xstilts.inference.predict import matched_type
    from xstilts.models.model import Model

    for path in request["task_files"]:
        tasks.load_file(Path(path))
    task = tasks.load(request["task"])
    on = {"precision": request["precision"], "device": request["device"]}
    if request["layer"] is None:
        model = Model.load(request["folder"], **on)
        assert model.head_shape is not None
        task_type = matched_type(task, model.head_shape.labels)
    else:
        model, task_type = Model.start(request["folder"], None, **on), task.type
    rows: list[Any] = []
    places = {}
    for language, found in read_load(Path(request["load"]), task_type).items():
        places[language] = list(range(len(rows), len(rows) + len(found)))
        rows += found
    chosen = {name: request[name] for name in ("layer", "pooling", "batch_tokens", "slowdown")}
    return System(model, task_type, rows, Encoding.model_validate(request["encoding"]), **chosen), places


def _scenarios(system: System, places: Mapping[str, Sequence[int]], request: Json) -> Json:
    """Every scenario that is asked for, one after the other, on the warm system."""
    from xstilts.bench.clock import SystemClock
    from xstilts.bench.scenarios import offline, single_stream

    clock, asked = SystemClock(), request["scenarios"]
    found: Json = {"offline": None, "single_stream": None, "server": None}
    if asked["offline"]:
        system.phases.clear()
        seconds = offline(system, places, clock=clock, **asked["offline"])
        found["offline"] = _with_phases(seconds, system)
    if asked["single_stream"]:
        queries = single_stream(system, len(system.rows), seed=request["seed"], clock=clock, **asked["single_stream"])
        found["single_stream"] = _by_language(queries, places)
    if asked["server"]:
        found["server"] = _server(system, request["seed"], asked["server"])
    return found


def _server(system: System, seed: int, asked: Json) -> Json:
    """The search starts where one query after the other would keep the system busy all the time."""
    from xstilts.bench.clock import SystemClock
    from xstilts.bench.server import largest_rate
    from xstilts.statistics.percentiles import queries_needed

    calls = [_seconds(system, i % len(system.rows)) for i in range(9)]
    search = largest_rate(
        system,
        len(system.rows),
        limit_s=asked["p99_ms"] / 1000,
        hint_per_s=1 / statistics.median(calls),
        min_seconds=asked["min_seconds"],
        min_queries=queries_needed(1, 0.99),
        max_batch=asked["max_batch"],
        max_queries=asked["max_queries"],
        seed=seed,
        clock=SystemClock(),
    )
    return search.record()


def _seconds(system: System, sample: int) -> float:
    started = time.perf_counter()
    system([sample])
    return time.perf_counter() - started


def _with_phases(seconds: Mapping[str, Sequence[float]], system: System) -> Json:
    """Beside the seconds of each pass those of its phases; passes went through the languages in turn."""
    languages = list(seconds)
    return {
        language: {
            "seconds": list(seconds[language]),
            "encode_s": [phase.encode_s for phase in system.phases[at :: len(languages)]],
            "decode_s": [phase.decode_s for phase in system.phases[at :: len(languages)]],
        }
        for at, language in enumerate(languages)
    }


def _by_language(queries: Sequence[Query], places: Mapping[str, Sequence[int]]) -> Json:
    language_of = {sample: language for language, samples in places.items() for sample in samples}
    found: dict[str, list[float]] = {language: [] for language in places}
    for query in queries:
        found[language_of[query.sample]].append(query.latency_s)
    return {language: {"latencies_s": latencies} for language, latencies in found.items()}


def _write_answers(system: System, places: Mapping[str, Sequence[int]], path: str | None) -> None:
    """The answers of one unmeasured pass, to be compared with the scored predictions."""
    if path is None:
        return
    answers = {}
    for language, samples in places.items():
        system(samples)
        answers[language] = system.answers
    Path(path).write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")


def _model_facts(system: System) -> Json:
    encoder = system.model.encoder
    weights = list(system.model.parameters())
    return {
        "parameters": sum(w.numel() for w in weights),
        "weight_bytes": sum(w.numel() * w.element_size() for w in weights),
        "num_layers": encoder.num_layers,
        "execution": f"{encoder.execution.kind}: {encoder.execution.reason}",
    }


class _Busy:
    """How much of the machine others used meanwhile: a measurement beside other work is of both."""

    def __init__(self) -> None:
        self._at = (0.0, 0.0, 0.0)

    def start(self) -> None:
        self._at = self._now()

    def share_of_others(self) -> float:
        """CPU time of all other processes over the CPU time there was, 0 to 1."""
        import psutil

        wall, busy, own = (now - then for now, then in zip(self._now(), self._at, strict=True))
        there = wall * (psutil.cpu_count() or 1)
        return max(0.0, min(1.0, (busy - own) / there)) if there > 0 else 0.0

    def _now(self) -> tuple[float, float, float]:
        import psutil

        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        doubled = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # Linux counts guests in user, too
        return time.perf_counter(), sum(times) - idle - doubled, own.user + own.system


def _status_bytes(field: str) -> int | None:
    """A field of /proc/self/status in bytes; ``None`` where there is no such file."""
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


if __name__ == "__main__":
    main()
