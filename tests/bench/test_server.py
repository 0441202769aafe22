"""The open loop in virtual time: the schedule, the queue, the verdict and the search for the largest rate."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import TimedSystem, VirtualClock, constant

from xstilts.bench.scenarios import Query
from xstilts.bench.server import RateSearch, ServerRun, largest_rate, open_loop, poisson_schedule, server
from xstilts.errors import StudyError
from xstilts.statistics.percentiles import queries_needed


def trial(system: TimedSystem, **changes: Any) -> ServerRun:
    options = {"rate_per_s": 10.0, "limit_s": 0.2, "min_seconds": 0.0, "min_queries": 1, "max_batch": 1, "seed": 1}
    return server(system, clock=system.clock, **{"num_samples": 10, **options, **changes})


def search(system: TimedSystem, **changes: Any) -> RateSearch:
    options = {"hint_per_s": 100.0, "limit_s": 0.2, "min_seconds": 0.0, "min_queries": 1, "max_batch": 1, "seed": 1}
    return largest_rate(system, clock=system.clock, **{"num_samples": 10, **options, **changes})


def answered(system: TimedSystem, schedule: Sequence[float], max_batch: int) -> list[Query]:
    batches = open_loop(system, schedule, count(), max_batch=max_batch, clock=system.clock)
    return [query for batch in batches for query in batch]


def test_equal_seeds_give_equal_schedules() -> None:
    schedule = poisson_schedule(5.0, 1000, seed=4)
    assert (schedule == poisson_schedule(5.0, 1000, seed=4)).all()
    assert (schedule != poisson_schedule(5.0, 1000, seed=5)).any()
    assert (schedule[:300] == poisson_schedule(5.0, 300, seed=4)).all()
    assert np.allclose(schedule, 2 * poisson_schedule(10.0, 1000, seed=4), rtol=1e-12)
    runs = [trial(constant(VirtualClock(), 0.05), seed=seed) for seed in (4, 4, 5)]
    assert runs[0] == runs[1]
    assert [q.sample for q in runs[0].queries] != [q.sample for q in runs[2].queries]


def test_arrivals_are_poisson() -> None:
    """Gaps have the mean and the standard deviation 1/rate, and 1/e of them are longer than that."""
    gaps = np.diff(poisson_schedule(50.0, 100_001, seed=2))
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(0.02, rel=0.016)  # five standard errors of 0.32 %
    assert gaps.std() == pytest.approx(0.02, rel=0.025)
    assert (gaps > 0.02).mean() == pytest.approx(1 / math.e, rel=0.021)


def test_a_stall_is_in_the_latency_of_everything_that_waited() -> None:
    """Coordinated omission: a generator that waits for answers would see one slow query here, and nine of 10 ms."""
    system = TimedSystem(VirtualClock(), lambda call, samples: 1.0 if call == 0 else 0.01)
    queries = answered(system, [0.1 * k for k in range(10)], max_batch=1)
    assert [q.latency_s for q in queries] == pytest.approx([1.0 + 0.01 * k - 0.1 * k for k in range(10)])
    assert [q.done_s - q.issued_s for q in queries[1:]] == pytest.approx([0.01] * 9)


def test_all_that_is_due_is_one_batch_up_to_its_limit() -> None:
    system = constant(VirtualClock(), 1.0)
    queries = answered(system, [0.0, 0.25, 0.5, 0.75, 1.0, 3.5], max_batch=3)
    assert system.batches == [[0], [1, 2, 3], [4], [5]]  # the one due at the very end of the first call is too many
    assert [q.done_s for q in queries] == [1.0, 2.0, 2.0, 2.0, 3.0, 4.5]
    assert [q.latency_s for q in queries] == [1.0, 1.75, 1.5, 1.25, 2.0, 1.0]


@settings(max_examples=50)
@given(
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=40),
    seconds=st.lists(st.floats(0, 3), min_size=1, max_size=5),
    max_batch=st.integers(1, 6),
    start=st.floats(0, 1e6),
)
def test_every_query_is_answered_once_in_order(
    gaps: list[float], seconds: list[float], max_batch: int, start: float
) -> None:
    schedule = np.cumsum(gaps).tolist()
    system = TimedSystem(VirtualClock(start), lambda call, samples: seconds[call % len(seconds)])
    queries = answered(system, schedule, max_batch)
    assert [q.sample for q in queries] == list(range(len(gaps)))
    assert [q.scheduled_s for q in queries] == schedule
    assert all(1 <= len(batch) <= max_batch for batch in system.batches)
    assert all(q.issued_s >= q.scheduled_s - 1e-9 and q.done_s >= q.issued_s for q in queries)


@pytest.mark.parametrize(("load", "tolerance"), [(0.3, 0.03), (0.5, 0.03), (0.8, 0.05)])
def test_the_queue_of_a_constant_server_is_as_theory_says(load: float, tolerance: float) -> None:
    """M/D/1: the mean wait is rho D / (2 (1 - rho)) (Pollaczek and Khinchine)."""
    service = 0.02
    run = trial(constant(VirtualClock(), service), rate_per_s=load / service, limit_s=math.inf, min_queries=100_000)
    waits = [q.issued_s - q.scheduled_s for q in run.queries]
    assert np.mean(waits) == pytest.approx(load * service / (2 * (1 - load)), rel=tolerance)
    assert len(run.queries) == 100_000
    assert len(run.queries) / run.seconds == pytest.approx(load / service, rel=0.016)


def slow_first(slow: int) -> TimedSystem:
    """The first ``slow`` calls of 0.3 s, the others of 1 ms, so that at a low rate nobody waits long."""
    return TimedSystem(VirtualClock(), lambda call, samples: 0.3 if call < slow else 0.001)


@pytest.mark.parametrize(("slow", "needed"), [(0, 459), (1, 662)])
def test_a_trial_runs_until_its_slow_queries_allow_a_verdict(slow: int, needed: int) -> None:
    run = trial(slow_first(slow), rate_per_s=0.01)
    assert (run.over, run.needed, len(run.queries), run.valid) == (slow, needed, needed, True)
    assert run.p99_s < run.limit_s


def test_a_trial_reaches_its_minima_first() -> None:
    assert len(trial(slow_first(0), min_queries=1000).queries) == 1000
    run = trial(slow_first(0), rate_per_s=50.0, min_seconds=60.0)
    assert 60.0 <= run.seconds < 61.0
    assert len(run.queries) == pytest.approx(3000, abs=275)  # Poisson: five standard deviations
    longer = trial(slow_first(0), rate_per_s=50.0, min_seconds=60.0, max_queries=500)
    assert longer.queries == run.queries


def test_a_trial_that_cannot_become_valid_is_given_up() -> None:
    most = 2000
    allowed = max(over for over in range(100) if queries_needed(over, 0.99) <= most)
    system = constant(VirtualClock(), 0.5)
    run = trial(system, rate_per_s=0.01, max_queries=most)
    assert (run.over, len(run.queries), run.valid) == (allowed + 1, allowed + 1, False)
    assert run.needed > most


def test_what_waits_too_long_counts_before_it_is_answered() -> None:
    """Ten times too many arrivals: the trial ends before so many slow answers are there."""
    run = trial(constant(VirtualClock(), 1.0), rate_per_s=10.0, limit_s=1.5, max_queries=2000)
    assert not run.valid
    assert run.overdue > run.over > 0
    assert run.needed == queries_needed(run.over + run.overdue, 0.99) > 2000


def md1_tail(rate: float, service: float, wait: float) -> float:
    """P(wait > ``wait``) of an M/D/1 queue (Erlang's formula, as Crommelin gives it)."""
    terms = []
    for k in range(int(wait / service) + 1):
        x = rate * (k * service - wait)
        terms.append(x**k / math.factorial(k) * math.exp(-x))
    return 1 - (1 - rate * service) * math.fsum(terms)


def test_the_largest_rate_of_a_constant_server_is_where_theory_puts_it() -> None:
    """The rate at which 1 % of an M/D/1 queue's queries take longer than six service times."""
    service, limit = 0.02, 0.12
    rates = np.linspace(1, 49, 4801)
    truth = max(rate for rate in rates if md1_tail(rate, service, limit - service) <= 0.01)
    found = search(
        constant(VirtualClock(), service), limit_s=limit, hint_per_s=50.0, min_queries=20_000, tolerance=0.01
    )
    assert found.largest_rate_per_s == pytest.approx(truth, rel=0.03)
    assert found.settled


@pytest.mark.parametrize("hint", [3.0, 100.0, 1500.0])
def test_the_largest_rate_is_near_capacity_when_the_limit_is_generous(hint: float) -> None:
    """Batches of at most 4 in 40 ms: no more than 100 queries a second can be answered."""
    found = search(constant(VirtualClock(), 0.04), limit_s=1.0, hint_per_s=hint, min_queries=20_000, max_batch=4)
    assert found.largest_rate_per_s is not None
    assert 90 < found.largest_rate_per_s < 100


def test_the_search_keeps_every_trial_and_ends_in_its_tolerance() -> None:
    found = search(constant(VirtualClock(), 0.02), hint_per_s=50.0, tolerance=0.02)
    good, bad = found.largest_rate_per_s, found.failing_rate_per_s
    assert good is not None
    assert bad is not None
    assert good < bad <= 1.02 * good
    assert {t.rate_per_s: t.valid for t in found.trials}.items() >= {good: True, bad: False}.items()
    assert all(t.rate_per_s <= good for t in found.trials if t.valid)
    again = search(constant(VirtualClock(7.0), 0.02), hint_per_s=50.0, tolerance=0.02)
    assert again.largest_rate_per_s == good
    record = json.loads(json.dumps(found.record()))
    assert [t["queries"] for t in record["trials"]] == [len(t["latencies_s"]) for t in record["trials"]]
    assert [t["valid"] for t in record["trials"]] == [t.valid for t in found.trials]


def test_a_limit_below_every_answer_ends_the_search_at_once() -> None:
    found = search(constant(VirtualClock(), 0.5), limit_s=0.2)
    assert (found.largest_rate_per_s, len(found.trials), found.settled) == (None, 1, False)
    assert found.failing_rate_per_s == 100.0


def test_a_system_too_fast_to_fail_gives_a_lower_bound() -> None:
    found = search(constant(VirtualClock(), 1e-9), hint_per_s=10.0)
    assert (found.largest_rate_per_s, found.failing_rate_per_s) == (2560.0, None)
    assert not found.settled


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_per_s": 0.0},
        {"limit_s": -1.0},
        {"limit_s": math.nan},
        {"max_batch": 0},
        {"min_queries": 0},
        {"num_samples": 0},
    ],
)
def test_what_cannot_be_measured_is_an_error(wrong: dict[str, float]) -> None:
    system = constant(VirtualClock(), 0.1)
    with pytest.raises(StudyError, match=f"{next(iter(wrong)).removeprefix('num_')} is "):
        trial(system, **wrong)
    assert system.batches == []


def test_too_few_queries_for_a_99th_percentile_are_refused() -> None:
    with pytest.raises(StudyError, match="fewer than 459"):
        trial(constant(VirtualClock(), 0.1), max_queries=458)


def test_a_tolerance_that_cannot_be_reached_is_refused() -> None:
    with pytest.raises(StudyError, match="tolerance is 1e-09"):
        search(constant(VirtualClock(), 0.1), tolerance=1e-9)
