"""Against MLPerf's own LoadGen, on a system whose k-th call spins for a known time.

What a busy machine adds to a call is in neither's power, so equality is promised over the *same* calls: LoadGen's log gives
the moments of every query, and the scenarios here run in virtual time with them. What each adds to the time that the system
itself saw is checked coarsely, by its median.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import count, pairwise

import pytest
from virtual_time import TimedSystem, VirtualClock

from xstilts.bench.clock import SystemClock
from xstilts.bench.scenarios import single_stream
from xstilts.bench.server import open_loop
from xstilts.statistics.percentiles import early_stopping, percentile, queries_needed

loadgen = pytest.importorskip("mlperf_loadgen", reason="needs MLPerf's LoadGen (pip install mlcommons-loadgen)")

from benchmarks.loadgen import (  # noqa: E402
    NUM_SAMPLES,
    UTILISATION,
    LoadGenRun,
    TimedCalls,
    call_seconds,
    run_loadgen,
)

MEAN_S = 0.002  # short: the suite does not wait; what is asked here holds for calls of any length
CALL_S = call_seconds(700, MEAN_S)
LIMIT_S, RATE_PER_S = 2 * MEAN_S, UTILISATION / MEAN_S


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> LoadGenRun:
    return run_loadgen(loadgen.TestScenario.SingleStream, tmp_path_factory.mktemp("stream"), CALL_S, mean_s=MEAN_S)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> LoadGenRun:
    folder = tmp_path_factory.mktemp("served")
    return run_loadgen(loadgen.TestScenario.Server, folder, CALL_S[:300], mean_s=MEAN_S)


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
    waited = [here > 1.1 * call for here, call in zip(ideal, served.system_s, strict=False)]
    assert any(waited)  # it is a queue


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
    system = TimedCalls(CALL_S)
    queries = single_stream(system, NUM_SAMPLES, min_seconds=0.0, min_queries=200, seed=1, clock=SystemClock())
    for latencies, own in (
        ([query.latency_s for query in queries], system.seconds),
        (stream.latencies_s, stream.system_s),
    ):
        added = [latency - call for latency, call in zip(latencies, own, strict=True)]
        assert min(added) >= -0.001 * max(CALL_S)
        assert statistics.median(added) < 0.1 * statistics.median(CALL_S)
