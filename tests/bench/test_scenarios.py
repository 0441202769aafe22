"""The closed scenarios in virtual time: every latency, percentile and count is known."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import Any

import pytest
from virtual_time import TimedSystem, VirtualClock, constant

from xstilts.bench.clock import SystemClock
from xstilts.bench.scenarios import Query, draw_samples, offline, single_stream, warm_up
from xstilts.errors import StudyError
from xstilts.statistics.percentiles import early_stopping, percentile


def stream(system: TimedSystem, **changes: Any) -> list[Query]:
    options = {"num_samples": 10, "min_seconds": 0.0, "min_queries": 100, "seed": 1, "clock": system.clock}
    return single_stream(system, **{**options, **changes})


def test_known_service_times_give_known_percentiles() -> None:
    clock = VirtualClock()
    queries = stream(TimedSystem(clock, lambda call, samples: ((call * 37) % 100 + 1) / 1000))  # each of 1..100 ms once
    latencies = [query.latency_s for query in queries]
    assert percentile(latencies, 0.5) == pytest.approx(0.051)  # of 0..99 in order, number 50
    assert percentile(latencies, 0.9) == pytest.approx(0.091)
    assert percentile(latencies, 0.99) == pytest.approx(0.100)
    assert queries[-1].done_s == pytest.approx(5.050)


def test_the_next_query_is_sent_when_the_last_one_has_ended() -> None:
    queries = stream(TimedSystem(VirtualClock(), lambda call, samples: 0.25 + call))
    assert all(later.scheduled_s == earlier.done_s for earlier, later in itertools.pairwise(queries))
    assert all(query.scheduled_s == query.issued_s for query in queries)


@pytest.mark.parametrize(
    ("min_seconds", "min_queries", "expected"), [(0.0, 7, 7), (1.0, 7, 8), (1.0, 12, 12), (1.01, 7, 9)]
)
def test_both_minima_are_reached_and_not_passed(min_seconds: float, min_queries: int, expected: int) -> None:
    assert len(stream(constant(VirtualClock(0), 0.125), min_seconds=min_seconds, min_queries=min_queries)) == expected


def test_a_query_asks_for_one_sample_whatever_stands_in_it() -> None:
    """Rows of 1, 3 and 8 sequences: the latencies follow the sequences, the counts are of queries."""
    sequences = [1, 3, 8]
    system = TimedSystem(VirtualClock(), lambda call, samples: sum(sequences[s] for s in samples) * 0.01)
    queries = stream(system, num_samples=3, min_queries=300)
    assert len(queries) == len(system.batches) == 300
    assert all(len(batch) == 1 for batch in system.batches)
    assert [query.sample for query in queries] == [batch[0] for batch in system.batches]
    assert all(query.latency_s == pytest.approx(sequences[query.sample] * 0.01) for query in queries)


def test_the_first_early_stopping_estimates_come_at_64_and_662_queries() -> None:
    latencies = [query.latency_s for query in stream(constant(VirtualClock(), 0.02), min_queries=662)]
    for p, count in ((0.9, 64), (0.99, 662)):
        assert early_stopping(latencies[: count - 1], p).estimate is None
        assert early_stopping(latencies[:count], p).estimate == pytest.approx(0.02)


def test_equal_seeds_draw_equal_samples_and_others_do_not() -> None:
    first, again, other = (list(itertools.islice(draw_samples(24, seed), 3000)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_samples_are_uniform_and_with_replacement() -> None:
    counts = Counter(itertools.islice(draw_samples(8, 3), 80_000))
    assert sorted(counts) == list(range(8))
    # Each count is binomial with standard deviation 93.5: five of them either way.
    assert all(abs(count - 10_000) < 470 for count in counts.values())


def test_every_pass_goes_through_all_loads_and_each_keeps_its_own_seconds() -> None:
    system = TimedSystem(VirtualClock(), lambda call, samples: 0.1 * len(samples) + call)
    loads = {"en": [0, 1, 2], "de": range(3, 5)}
    seconds = offline(system, loads, min_seconds=0.0, min_passes=2, clock=system.clock)
    assert system.batches == [[0, 1, 2], [3, 4], [0, 1, 2], [3, 4]]
    assert seconds["en"] == pytest.approx([0.3, 2.3])
    assert seconds["de"] == pytest.approx([1.2, 3.2])


@pytest.mark.parametrize(("min_seconds", "min_passes", "expected"), [(0.0, 3, 3), (2.0, 1, 4), (2.1, 1, 5)])
def test_passes_go_on_until_both_minima(min_seconds: float, min_passes: int, expected: int) -> None:
    system = constant(VirtualClock(0), 0.25)
    found = offline(system, {"en": [0], "sw": [1]}, min_seconds=min_seconds, min_passes=min_passes, clock=system.clock)
    assert [len(seconds) for seconds in found.values()] == [expected, expected]


def test_warm_up_keeps_the_first_call_apart() -> None:
    system = TimedSystem(VirtualClock(0), lambda call, samples: 8.0 if call == 0 else 0.5 * len(samples))
    done = warm_up(system, 3, seconds=11.0, clock=system.clock)
    assert system.batches == [[0], [0, 1, 2], [2], [0], [1]]
    assert (done.first_call_s, done.calls, done.seconds) == (8.0, 5, 11.0)


def test_warm_up_makes_both_kinds_of_call_even_without_time() -> None:
    system = constant(VirtualClock(), 1.0)
    assert warm_up(system, 2, seconds=0.0, clock=system.clock).calls == 2


def test_nothing_to_measure_is_an_error() -> None:
    system = constant(VirtualClock(), 1.0)
    with pytest.raises(StudyError, match="samples is 0"):
        stream(system, num_samples=0)
    with pytest.raises(StudyError, match="min_queries is 0"):
        stream(system, min_queries=0)
    with pytest.raises(StudyError, match="samples of load 'de' is 0"):
        offline(system, {"en": [0], "de": []}, min_seconds=1.0, min_passes=1, clock=system.clock)
    with pytest.raises(StudyError, match="loads is 0"):
        offline(system, {}, min_seconds=1.0, min_passes=1, clock=system.clock)
    assert system.batches == []


def test_the_clock_of_the_machine_never_returns_early() -> None:
    clock = SystemClock()
    for wait in (0.0, 0.0002, 0.004):
        begin = time.perf_counter()
        clock.sleep_until(clock.now() + wait)
        assert time.perf_counter() - begin >= wait
    before = clock.now()
    clock.sleep_until(before - 1)
    assert clock.now() >= before
