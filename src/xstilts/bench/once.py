"""One measured process: ``python -m xstilts.bench.once`` loads a system, works when it is told to, and tells what it saw.

The first line of its standard input is a request, each further line a command: ``slice`` works for a share of the scenarios'
time, ``end`` gives the record. Each is answered by one JSON line. Between commands it sleeps, so that several processes take
turns within seconds while the machine is as it is. Loading, the first call and the steady state are apart: whoever serves a
model pays all three, at different times.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.errors import XstiltsError

if TYPE_CHECKING:
    from xstilts.bench.system import System

Json = dict[str, Any]
SLICES = 10_000  # more than any measurement has: seeds of slices do not meet those of the next block


def main() -> None:
    """Answer the request and the commands on standard input."""
    from xstilts.graph.worker import die_with_parent

    die_with_parent()
    try:
        request = json.loads(sys.stdin.readline())
        kind = request.pop("kind")
        if kind == "peak":
            return _tell(_peak(request))
        if kind == "write":
            from xstilts.bench.writing import write

            return _tell(write(request))
        subject = Subject(request)
        _tell({"ready": True})
        for command in sys.stdin:
            if command.strip() == "end":
                return _tell(subject.end())
            subject.slice()
            _tell({"done": True})
    except XstiltsError as error:
        sys.exit(str(error))


def _tell(answer: Json) -> None:
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _peak(request: Json) -> Json:
    import torch

    from xstilts.bench.peak import matrix_product_flops_per_s

    torch.set_num_threads(request["threads"])
    return {"flops_per_s": matrix_product_flops_per_s(request["device"], request["precision"])}


class Subject:
    """A loaded, warm system that works in slices and keeps every value.

    Args:
        request: see ``xstilts.bench.request.Request``, as plain data.
    """

    def __init__(self, request: Json) -> None:
        started = time.perf_counter()
        import psutil
        import torch

        from xstilts.bench.clock import SystemClock
        from xstilts.bench.scenarios import warm_up
        from xstilts.bench.system import System  # noqa: F401 - its libraries are loaded here, in the timed part

        torch.set_num_threads(request["threads"])
        imported = time.perf_counter()
        self.request, self.clock, self.busy = request, SystemClock(), _Busy()
        self.system, self.places = _system(request)
        loaded = time.perf_counter()
        warm = warm_up(self.system, len(self.system.rows), seconds=request["warmup_seconds"], clock=self.clock)
        self.slices = 0
        self.offline: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.latencies: dict[str, dict[str, list[float]]] = {
            language: {"latencies_s": [], "turns": []} for language in self.places
        }
        self.record: Json = {
            "startup": {
                "import_s": imported - started,
                "load_s": loaded - imported,
                "first_call_s": warm.first_call_s,
                "warmup_s": warm.seconds,
            },
            "loads": {language: self.system.load_facts(samples) for language, samples in self.places.items()},
            "model": _model_facts(self.system),
            "loaded_bytes": psutil.Process().memory_info().rss,
        }
        _unmeasured_pass(self.system, self.places, request["answers"])

    def slice(self) -> None:
        """Work for one of the request's ``slices``: offline passes, then single-stream queries."""
        asked, share = self.request["scenarios"], self.request["slices"]
        self.busy.start()
        if asked["offline"]:
            self._offline(asked["offline"], share)
        if asked["single_stream"]:
            self._single_stream(asked["single_stream"], share)
        self.busy.stop()
        self.slices += 1

    def _offline(self, asked: Json, share: int) -> None:
        """Beside the seconds of each pass those of its phases; passes go through the languages in turn."""
        from xstilts.bench.scenarios import offline

        self.system.phases.clear()
        passes = -(-asked["min_passes"] // share)
        seconds = offline(
            self.system, self.places, min_seconds=asked["min_seconds"] / share, min_passes=passes, clock=self.clock
        )
        for at, language in enumerate(seconds):
            phases = self.system.phases[at :: len(seconds)]
            self.offline[language]["seconds"] += seconds[language]
            self.offline[language]["turns"] += [self.slices] * len(seconds[language])
            self.offline[language]["encode_s"] += [phase.encode_s for phase in phases]
            self.offline[language]["decode_s"] += [phase.decode_s for phase in phases]

    def _single_stream(self, asked: Json, share: int) -> None:
        from xstilts.bench.scenarios import single_stream

        queries = single_stream(
            self.system,
            len(self.system.rows),
            min_seconds=asked["min_seconds"] / share,
            min_queries=-(-asked["min_queries"] // share),
            seed=self.request["seed"] * SLICES + self.slices,
            clock=self.clock,
        )
        language_of = {sample: language for language, samples in self.places.items() for sample in samples}
        for query in queries:
            found = self.latencies[language_of[query.sample]]
            found["latencies_s"].append(query.latency_s)
            found["turns"].append(self.slices)

    def end(self) -> Json:
        """The server scenario, which takes its own time, and everything that was seen."""
        import torch

        from xstilts.graph.worker import peak_memory_bytes

        asked, device = self.request["scenarios"], self.request["device"]
        server = _server(self.system, self.request["seed"], asked["server"]) if asked["server"] else None
        cuda = device.startswith("cuda")
        memory = {
            "loaded_bytes": self.record.pop("loaded_bytes"),
            "peak_bytes": peak_memory_bytes(),
            # Reserved, not only allocated: what a card must have free, but for the context of the process.
            "device_peak_bytes": torch.cuda.max_memory_reserved(device) if cuda else None,
        }
        return {
            **self.record,
            "offline": {language: dict(found) for language, found in self.offline.items()} or None,
            "single_stream": self.latencies if asked["single_stream"] else None,
            "server": server,
            "memory": memory,
            "device_name": torch.cuda.get_device_name(device) if cuda else None,
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            **self.busy.of_others(),
        }


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


def _unmeasured_pass(system: System, places: Mapping[str, Sequence[int]], path: str | None) -> None:
    """Every language once, as the offline scenario will; its answers are compared with the scored predictions."""
    answers = {}
    for language, samples in places.items():
        system(samples)
        answers[language] = system.answers
    if path is not None:
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
    """How much of the machine others used while this process worked: a measurement beside other work is of both."""

    def __init__(self) -> None:
        self._at = (0.0, 0.0, 0.0)
        self._sums = [0.0, 0.0, 0.0]

    def start(self) -> None:
        self._at = self._now()

    def stop(self) -> None:
        for i, (now, then) in enumerate(zip(self._now(), self._at, strict=True)):
            self._sums[i] += now - then

    def of_others(self) -> Json:
        """CPU time of all other processes: as cores that were busy, and as a share of all there are, 0 to 1."""
        import psutil

        wall, busy, own = self._sums
        cores = max(0.0, busy - own) / wall if wall > 0 else 0.0
        return {"other_cpu_cores": cores, "other_cpu_share": min(1.0, cores / (psutil.cpu_count() or 1))}

    def _now(self) -> tuple[float, float, float]:
        import psutil

        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        doubled = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # Linux counts guests in user, too
        return time.perf_counter(), sum(times) - idle - doubled, own.user + own.system


if __name__ == "__main__":
    main()
