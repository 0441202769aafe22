"""Against MLPerf's own LoadGen, on a system whose k-th call spins for a known time.

What a busy machine adds to a call is in neither's power, so equality is promised over the *same* calls: LoadGen's log gives
the moments of every query, and the scenarios here run in virtual time with them. What each adds to the time that the system
itself saw is checked coarsely, by its median.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from virtual_time import TimedSystem, VirtualClock

from xstilts.bench.clock import SystemClock
from xstilts.bench.scenarios import single_stream
from xstilts.bench.server import open_loop
from xstilts.statistics.percentiles import early_stopping, percentile, queries_needed

loadgen = pytest.importorskip("mlperf_loadgen", reason="needs MLPerf's LoadGen (pip install mlcommons-loadgen)")

NUM_SAMPLES = 64
CALL_S: list[float] = np.random.default_rng(11).uniform(0.001, 0.003, 700).tolist()
LIMIT_S = 0.004
RATE_PER_S = 150.0  # 0.3 of what calls of 2 ms allow
SAMPLE = re.compile(
    r'"name":"Sample".*"ph":"b".*"ts":([\d.]+),'
    r'"args":{"sample_seq":(\d+),.*"sample_idx":(\d+),"issue_start_ns":\d+,"complete_ns":(\d+)}'
)


class SpinningSystem:
    """Call k takes ``CALL_S[k]`` at least; keeps the seconds it saw for each."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, samples: Sequence[int]) -> None:
        start = time.perf_counter()
        end = start + CALL_S[len(self.seconds)]
        while time.perf_counter() < end:
            pass
        self.seconds.append(time.perf_counter() - start)


@dataclass(frozen=True)
class LoadGenRun:
    """What LoadGen printed, and of every query in order what it logged (seconds) and what the system saw."""

    summary: str
    scheduled_s: list[float]
    latencies_s: list[float]
    samples: list[int]
    system_s: list[float]

    def printed_percentiles(self) -> dict[float, float]:
        """Share to seconds, of the summary's table."""
        found = re.findall(r"([\d.]+) percentile latency \(ns\) *: (\d+)", self.summary)
        return {float(p) / 100: int(ns) / 1e9 for p, ns in found}

    def number(self, pattern: str) -> int:
        """The number that the summary says in this sentence."""
        found = re.search(pattern, self.summary)
        assert found, f"{pattern} is not in\n{self.summary}"
        return int(found[1])


def run_loadgen(scenario: Any, folder: Path, queries: int) -> LoadGenRun:
    system = SpinningSystem()

    def issue(queried: Sequence[Any]) -> None:
        for query in queried:
            system([query.index])
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])

    asked = loadgen.TestSettings()
    asked.scenario, asked.mode = scenario, loadgen.TestMode.PerformanceOnly
    asked.min_duration_ms, asked.min_query_count, asked.max_query_count = 1, queries, queries
    asked.server_target_qps, asked.server_target_latency_ns = RATE_PER_S, round(LIMIT_S * 1e9)
    asked.server_target_latency_percentile = 0.99
    asked.qsl_rng_seed, asked.sample_index_rng_seed, asked.schedule_rng_seed = 1, 2, 3
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
        if found := SAMPLE.search(line):
            logged[int(found[2])] = (float(found[1]) / 1e6, int(found[4]) / 1e9, int(found[3]))
    scheduled, latencies, samples = zip(*(logged[k] for k in range(queries)), strict=True)
    summary = (folder / "mlperf_log_summary.txt").read_text()
    return LoadGenRun(summary, list(scheduled), list(latencies), list(samples), system.seconds)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> LoadGenRun:
    return run_loadgen(loadgen.TestScenario.SingleStream, tmp_path_factory.mktemp("stream"), len(CALL_S))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> LoadGenRun:
    return run_loadgen(loadgen.TestScenario.Server, tmp_path_factory.mktemp("served"), 300)


def test_single_stream_percentiles_are_loadgens(stream: LoadGenRun) -> None:
    system = TimedSystem(VirtualClock(), lambda call, samples: stream.latencies_s[call])
    queries = single_stream(system, NUM_SAMPLES, min_seconds=0.0, min_queries=len(CALL_S), seed=1, clock=system.clock)
    latencies = [query.latency_s for query in queries]
    printed = stream.printed_percentiles()
    assert set(printed) >= {0.5, 0.9, 0.99}
    for p, seconds in printed.items():
        assert percentile(latencies, p) == pytest.approx(seconds, rel=1e-6), p


def test_early_stopping_estimates_are_loadgens(stream: LoadGenRun) -> None:
    for p in (0.9, 0.99):
        ours = early_stopping(stream.latencies_s, p)
        assert ours.estimate is not None
        said = stream.number(rf"Early stopping {100 * p}(?:0)*th percentile estimate: (\d+)")
        assert ours.estimate == pytest.approx(said / 1e9, rel=1e-9)
    assert stream.number(r"Processed at least (\d+) queries") == queries_needed(1, 0.9) == 64
    assert stream.number(r"Would discard (\d+) highest") == early_stopping(stream.latencies_s, 0.9).over - 1


def test_server_percentiles_are_loadgens_on_its_schedule(served: LoadGenRun) -> None:
    """The same arrivals, and calls that end when LoadGen saw them end."""
    clock = VirtualClock()
    start = clock.now() - served.scheduled_s[0]
    ends = iter([at + latency for at, latency in zip(served.scheduled_s, served.latencies_s, strict=True)])

    def system(samples: Sequence[int]) -> None:
        clock.sleep_until(start + next(ends))

    schedule = [at - served.scheduled_s[0] for at in served.scheduled_s]
    queries = [q for batch in open_loop(system, schedule, count(), max_batch=1, clock=clock) for q in batch]
    latencies = [query.latency_s for query in queries]
    assert latencies == pytest.approx(served.latencies_s, abs=1e-9)
    for p, seconds in served.printed_percentiles().items():
        assert percentile(latencies, p) == pytest.approx(seconds, rel=1e-5), p


def test_loadgens_queries_wait_at_least_as_long_as_in_a_machine_without_delays(served: LoadGenRun) -> None:
    """Its schedule and the calls' own seconds, in virtual time: its overhead and late wake-ups only add to that."""
    system = TimedSystem(VirtualClock(), lambda call, samples: served.system_s[call])
    schedule = [at - served.scheduled_s[0] for at in served.scheduled_s]
    batches = open_loop(system, schedule, count(), max_batch=1, clock=system.clock)
    ideal = [query.latency_s for batch in batches for query in batch]
    assert all(there >= 0.999 * here for there, here in zip(served.latencies_s, ideal, strict=True))
    assert max(ideal) > max(served.system_s[: len(ideal)])  # some did wait: the inequality is of a queue


def test_server_asks_for_as_many_queries_as_loadgen(served: LoadGenRun) -> None:
    """300 queries are too few even with none over the limit, so LoadGen always says how many more it needs."""
    over = sum(latency > LIMIT_S for latency in served.latencies_s)
    more = served.number(r"Would need to run at least (\d+) more queries")
    assert more == queries_needed(over, 0.99) - len(served.latencies_s)


def test_loadgens_arrivals_have_the_rate_asked(served: LoadGenRun) -> None:
    gaps = [later - earlier for earlier, later in pairwise(served.scheduled_s)]
    assert statistics.fmean(gaps) == pytest.approx(1 / RATE_PER_S, rel=5 / len(gaps) ** 0.5)


def test_both_draw_samples_with_replacement(stream: LoadGenRun) -> None:
    ours = single_stream(
        lambda samples: None, NUM_SAMPLES, min_seconds=0.0, min_queries=200, seed=1, clock=VirtualClock()
    )
    for samples in (stream.samples[:200], [query.sample for query in ours]):
        assert set(samples) <= set(range(NUM_SAMPLES))
        assert any(samples.count(sample) > 200 / NUM_SAMPLES + 1 for sample in set(samples))


def test_neither_adds_much_to_a_call(stream: LoadGenRun) -> None:
    """Coarse, and of the median: on a busy machine single calls are interrupted between two looks at the clock."""
    system = SpinningSystem()
    queries = single_stream(system, NUM_SAMPLES, min_seconds=0.0, min_queries=200, seed=1, clock=SystemClock())
    for latencies, own in (
        ([query.latency_s for query in queries], system.seconds),
        (stream.latencies_s, stream.system_s),
    ):
        added = [latency - call for latency, call in zip(latencies, own, strict=True)]
        assert min(added) >= -0.001 * max(CALL_S)
        assert statistics.median(added) < 0.1 * statistics.median(CALL_S)
