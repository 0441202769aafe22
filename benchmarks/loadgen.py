"""Our scenarios and MLPerf's LoadGen in turn, in real time, on a system under test that is driven by a timer.

    pip install mlcommons-loadgen
    python -m benchmarks.loadgen [--rounds 3] [--queries 700] [--call-ms 20] [--out FILE.json]

Call k of the system takes a known time, the same for both; each is asked for the percentiles of the latency it saw. Server
runs at the moments that LoadGen drew. Run it on an idle machine: what else runs there is in neither's power.

LoadGen's server thread sleeps until a query is due, and a thread wakes a tenth of a millisecond late; the latency that
LoadGen reports has that in it. Our clock spins for the last millisecond, so a query starts when it is due. How late LoadGen
starts a query of an idle system is printed, from its own log: with calls of 2 ms it is five per cent of the median latency,
with the 20 ms of the default less than one. Exits with 1 when a median ratio over the rounds is off by more than 1 %.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlperf_loadgen as loadgen
import numpy as np

from benchmarks.measure import environment
from xstilts.bench.clock import SystemClock
from xstilts.bench.scenarios import single_stream
from xstilts.bench.server import open_loop
from xstilts.statistics.percentiles import percentile

NUM_SAMPLES = 64
MEAN_S = 0.02  # of a call, if nothing else is said
UTILISATION = 0.3  # of the system in server
TOLERANCE = 0.01
PERCENTILES = (0.5, 0.9, 0.95, 0.99)
SINGLE_STREAM, SERVER = "single-stream", "server"
_SAMPLE = re.compile(
    r'"name":"Sample".*"ph":"b".*"ts":([\d.]+),'
    r'"args":{"sample_seq":(\d+),.*"sample_idx":(\d+),"issue_start_ns":(\d+),"complete_ns":(\d+)}'
)


def call_seconds(queries: int, mean_s: float = MEAN_S) -> list[float]:
    """How long each call takes: half to one and a half of the mean."""
    drawn: list[float] = np.random.default_rng(11).uniform(0.5 * mean_s, 1.5 * mean_s, queries).tolist()
    return drawn


class TimedCalls:
    """Call k takes ``call_s[k]`` at least; keeps the seconds it saw for each."""

    def __init__(self, call_s: Sequence[float]) -> None:
        self.call_s = call_s
        self.seconds: list[float] = []

    def __call__(self, samples: Sequence[int]) -> None:
        """Spin until the next call's time is over: a sleep would end when the system likes."""
        start = time.perf_counter()
        end = start + self.call_s[len(self.seconds)]
        while time.perf_counter() < end:
            pass
        self.seconds.append(time.perf_counter() - start)


@dataclass(frozen=True)
class LoadGenRun:
    """What LoadGen printed, and of every query in order what it logged (seconds) and what the system saw.

    ``started_s`` counts from the scheduled moment, as ``latencies_s`` does.
    """

    summary: str
    scheduled_s: list[float]
    started_s: list[float]
    latencies_s: list[float]
    samples: list[int]
    system_s: list[float]

    def printed_percentiles(self) -> dict[float, float]:
        """Share to seconds, of the summary's table."""
        found = re.findall(r"([\d.]+) percentile latency \(ns\) *: (\d+)", self.summary)
        return {float(p) / 100: int(ns) / 1e9 for p, ns in found}

    def late_starts_s(self) -> list[float]:
        """How late each query started that came when the system was idle."""
        ends = [at + latency for at, latency in zip(self.scheduled_s, self.latencies_s, strict=True)]
        starts = zip(ends, self.scheduled_s[1:], self.started_s[1:], strict=False)
        return [started for last_end, at, started in starts if at > last_end]

    def number(self, pattern: str) -> int:
        """The number that the summary says in this sentence.

        Raises:
            LookupError: it says no such sentence.
        """
        found = re.search(pattern, self.summary)
        if found is None:
            raise LookupError(f"{pattern} is not in\n{self.summary}")
        return int(found[1])


def run_loadgen(
    scenario: Any, folder: Path, call_s: Sequence[float], schedule_seed: int = 3, mean_s: float = MEAN_S
) -> LoadGenRun:
    """One run of LoadGen, a query for each of ``call_s``; server's limit is twice the mean."""
    system, queries = TimedCalls(call_s), len(call_s)

    def issue(queried: Sequence[Any]) -> None:
        for query in queried:
            system([query.index])
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])

    asked = loadgen.TestSettings()
    asked.scenario, asked.mode = scenario, loadgen.TestMode.PerformanceOnly
    asked.min_duration_ms, asked.min_query_count, asked.max_query_count = 1, queries, queries
    asked.server_target_qps, asked.server_target_latency_ns = UTILISATION / mean_s, round(2e9 * mean_s)
    asked.server_target_latency_percentile = 0.99
    asked.qsl_rng_seed, asked.sample_index_rng_seed, asked.schedule_rng_seed = 1, 2, schedule_seed
    logs = loadgen.LogSettings()
    output = loadgen.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logs.log_output, logs.enable_trace = output, True
    under_test = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(NUM_SAMPLES, NUM_SAMPLES, lambda loaded: None, lambda unloaded: None)
    loadgen.StartTestWithLogSettings(under_test, library, asked, logs, str(folder / "audit.config"))
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(under_test)

    logged = {}
    for line in (folder / "mlperf_log_trace.json").read_text().splitlines():
        if found := _SAMPLE.search(line):
            logged[int(found[2])] = (float(found[1]) / 1e6, int(found[4]) / 1e9, int(found[5]) / 1e9, int(found[3]))
    scheduled, started, latencies, samples = zip(*(logged[k] for k in range(queries)), strict=True)
    summary = (folder / "mlperf_log_summary.txt").read_text()
    return LoadGenRun(summary, list(scheduled), list(started), list(latencies), list(samples), system.seconds)


def _rounds(rounds: int, queries: int, mean_s: float) -> Iterator[dict[str, Any]]:
    call_s = call_seconds(queries, mean_s)
    for number in range(rounds):
        for name, scenario in (
            (SINGLE_STREAM, loadgen.TestScenario.SingleStream),
            (SERVER, loadgen.TestScenario.Server),
        ):
            with TemporaryDirectory() as folder:
                theirs = run_loadgen(scenario, Path(folder), call_s, schedule_seed=number + 1, mean_s=mean_s)
            printed = theirs.printed_percentiles()
            late_s = statistics.median(theirs.late_starts_s()) if name == SERVER else None
            ours = _ours(name, call_s, theirs.scheduled_s)
            for p in PERCENTILES:
                mine = percentile(ours, p)
                found = {"ours_s": mine, "loadgen_s": printed[p], "ratio": mine / printed[p]}
                at = {"round": number + 1, "scenario": name, "percentile": p}
                yield {**at, **found, "loadgen_late_start_s": late_s}


def _ours(name: str, call_s: Sequence[float], scheduled_s: Sequence[float]) -> list[float]:
    system, clock = TimedCalls(call_s), SystemClock()
    if name == SINGLE_STREAM:
        found = single_stream(system, NUM_SAMPLES, min_seconds=0.0, min_queries=len(call_s), seed=1, clock=clock)
        return [query.latency_s for query in found][: len(call_s)]
    schedule = [at - scheduled_s[0] for at in scheduled_s]
    return [q.latency_s for batch in open_loop(system, schedule, count(), max_batch=1, clock=clock) for q in batch]


def main() -> int:
    """Run, print, and write if asked."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--queries", type=int, default=700)
    made.add_argument("--call-ms", type=float, default=1e3 * MEAN_S, help="mean of a call")
    made.add_argument("--out", type=Path)
    arguments = made.parse_args()
    found = list(_rounds(arguments.rounds, arguments.queries, 1e-3 * arguments.call_ms))
    for each in found:
        milliseconds = f"ours {1e3 * each['ours_s']:.4f} ms, LoadGen {1e3 * each['loadgen_s']:.4f} ms"
        where = f"{each['round']} {each['scenario']:13s} p{100 * each['percentile']:<4g}"
        print(f"{where} {milliseconds}: {each['ratio']:.4f}")
    medians = {
        f"{scenario} p{100 * p:g}": statistics.median(
            each["ratio"] for each in found if (each["scenario"], each["percentile"]) == (scenario, p)
        )
        for scenario in (SINGLE_STREAM, SERVER)
        for p in PERCENTILES
    }
    print("median ratio:", "; ".join(f"{name} {ratio:.4f}" for name, ratio in medians.items()))
    late_s = statistics.median(each["loadgen_late_start_s"] for each in found if each["scenario"] == SERVER)
    print(f"LoadGen starts a query of an idle system {1e3 * late_s:.3f} ms after it is due")
    if arguments.out:
        asked = {"queries": arguments.queries, "call_ms": arguments.call_ms}
        record = {"environment": environment(), **asked, "rounds": found, "median_ratio": medians}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if all(abs(ratio - 1) <= TOLERANCE for ratio in medians.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
