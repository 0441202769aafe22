"""MLPerf's server scenario: queries arrive as a Poisson process whether or not the system keeps up (an open loop).

The system is one blocking executor: while it answers, it can take nothing else. Therefore "wait until the next query is due;
take all queries that are due, at most ``max_batch``; answer them as one batch" *is* an exact open loop, without a second
thread that would share the processor with the system. Arrivals that fall into a call are not lost or moved: they stand in the
schedule, and their latency counts from there (no coordinated omission).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xstilts.bench.clock import Clock
from xstilts.bench.scenarios import (
    ARRIVAL_STREAM,
    Query,
    System,
    check_positive,
    draw_samples,
)
from xstilts.errors import StudyError
from xstilts.statistics.percentiles import percentile, queries_needed

TAIL = 0.99  # the percentile that has to meet the limit
MAX_QUERIES = 10_000
LEAST_TOLERANCE = 0.001
MAX_STEPS = 8  # doublings or halvings from the hint to a bracket: a factor of 256


@dataclass(frozen=True)
class ServerRun:
    """One trial at one rate.

    Attributes:
        rate_per_s: queries a second that the schedule asked for.
        limit_s: the latency that the 99th percentile has to meet.
        queries: every answered query, in order of arrival.
        over: how many of them were over the limit.
        overdue: unanswered queries that had waited longer than the limit when the trial was given up.
        needed: how many queries the early-stopping rule asks for with so many over the limit.
    """

    rate_per_s: float
    limit_s: float
    queries: list[Query]
    over: int
    overdue: int
    needed: int

    @property
    def valid(self) -> bool:
        """Whether the 99th percentile meets the limit, with 99 % confidence by MLPerf's early-stopping rule."""
        return len(self.queries) >= self.needed

    @property
    def p99_s(self) -> float:
        """99th percentile of the latency of the answered queries."""
        return percentile([query.latency_s for query in self.queries], TAIL)

    @property
    def seconds(self) -> float:
        """From the start of the schedule to the last answer."""
        return self.queries[-1].done_s

    def record(self) -> dict[str, Any]:
        """The trial as JSON, with every latency."""
        return {
            "rate_per_s": self.rate_per_s,
            "queries": len(self.queries),
            "p99_s": self.p99_s,
            "over": self.over,
            "overdue": self.overdue,
            "needed": self.needed,
            "valid": self.valid,
            "seconds": self.seconds,
            "latencies_s": [query.latency_s for query in self.queries],
        }


@dataclass(frozen=True)
class RateSearch:
    """The search for the largest rate, with every trial in the order they ran.

    Attributes:
        limit_s: the latency that the 99th percentile has to meet.
        largest_rate_per_s: the largest rate that was seen to meet it; ``None`` if none did.
        failing_rate_per_s: the smallest rate above it that was seen to fail; ``None`` if none did.
        trials: all of them.
    """

    limit_s: float
    largest_rate_per_s: float | None
    failing_rate_per_s: float | None
    trials: list[ServerRun]

    @property
    def settled(self) -> bool:
        """Whether the largest rate lies between two rates that were tried."""
        return self.largest_rate_per_s is not None and self.failing_rate_per_s is not None

    def record(self) -> dict[str, Any]:
        """The search as JSON, with every trial and latency."""
        return {
            "limit_s": self.limit_s,
            "largest_rate_per_s": self.largest_rate_per_s,
            "failing_rate_per_s": self.failing_rate_per_s,
            "settled": self.settled,
            "trials": [trial.record() for trial in self.trials],
        }


def poisson_schedule(rate_per_s: float, queries: int, seed: int) -> NDArray[np.float64]:
    """When each of the first ``queries`` queries arrives: seconds from the start, ascending.

    Equal seeds give equal schedules; a longer one continues a shorter one; and two rates share one schedule but for its
    scale, so that trials at neighbouring rates differ by the rate and not by the luck of the draw (MLPerf, too, fixes the
    seed).

    Raises:
        StudyError: the rate is not above 0, or no query is asked for.
    """
    check_positive("rate_per_s", rate_per_s)
    check_positive("queries", queries)
    gaps = np.random.default_rng([seed, ARRIVAL_STREAM]).standard_exponential(queries)
    return np.cumsum(gaps) / rate_per_s


def open_loop(
    system: System, schedule: Sequence[float], samples: Iterable[int], *, max_batch: int, clock: Clock
) -> Iterator[list[Query]]:
    """Answer the queries of a schedule in order of arrival; gives every batch as soon as it is answered.

    Args:
        system: answers one batch and returns.
        schedule: when each query is due, seconds from now, ascending.
        samples: the sample of each query, at least as many.
        max_batch: the system takes all queries that are due, but at most so many.
        clock: all moments are of it.
    """
    asked = iter(samples)
    start, first = clock.now(), 0
    while first < len(schedule):
        clock.sleep_until(start + schedule[first])
        issued = clock.now() - start
        due = max(
            bisect_right(schedule, issued, lo=first), first + 1
        )  # start + due - start can be a rounding below due
        last = min(due, first + max_batch)
        batch = list(islice(asked, last - first))
        system(batch)
        done = clock.now() - start
        yield [Query(sample, schedule[first + i], issued, done) for i, sample in enumerate(batch)]
        first = last


def server(
    system: System,
    num_samples: int,
    *,
    rate_per_s: float,
    limit_s: float,
    min_seconds: float,
    min_queries: int,
    max_batch: int,
    seed: int,
    clock: Clock,
    max_queries: int = MAX_QUERIES,
) -> ServerRun:
    """One trial: does the 99th percentile of latency meet ``limit_s`` at this rate?

    It answers as many queries as arrive in ``min_seconds``, at least ``min_queries``, then as many more as the
    early-stopping rule asks for, given how many were over the limit; at most ``max_queries`` (or the minimum, if that is
    more). It is given up, and not valid, as soon as that can no longer be enough; queries that still wait and are over the
    limit already count for that.

    Raises:
        StudyError: a count, rate or limit is not above 0, or ``max_queries`` is too small for any 99th percentile.
    """
    check_positive("limit_s", limit_s)
    check_positive("min_queries", min_queries)
    check_positive("max_batch", max_batch)
    if max(max_queries, min_queries) < (least := queries_needed(0, TAIL)):
        raise StudyError(
            f"max_queries is {max_queries}: with fewer than {least} queries no 99th percentile can be settled"
        )
    schedule, target = _planned(rate_per_s, min_seconds, min_queries, max_queries, seed)
    allowed = _most_over(len(schedule))
    queries: list[Query] = []
    over = overdue = 0
    for batch in open_loop(system, schedule, draw_samples(num_samples, seed), max_batch=max_batch, clock=clock):
        queries += batch
        over += sum(query.latency_s > limit_s for query in batch)
        late = bisect_left(schedule, batch[-1].done_s - limit_s)  # all before this one are answered or over the limit
        overdue = max(late - len(queries), 0)
        if over + overdue > allowed:
            return ServerRun(rate_per_s, limit_s, queries, over, overdue, queries_needed(over + overdue, TAIL))
        if len(queries) >= target:
            target = max(target, queries_needed(over, TAIL))
            if len(queries) >= target:
                break
    return ServerRun(rate_per_s, limit_s, queries, over, 0, queries_needed(over, TAIL))


def _planned(
    rate_per_s: float, min_seconds: float, min_queries: int, max_queries: int, seed: int
) -> tuple[list[float], int]:
    """The schedule of a trial up to its last possible query, and the number of queries of both minima."""
    count = max(max_queries, min_queries)
    schedule = poisson_schedule(rate_per_s, count, seed)
    while schedule[-1] < min_seconds:
        schedule = poisson_schedule(rate_per_s, 2 * len(schedule), seed)
    least = max(min_queries, int(np.searchsorted(schedule, min_seconds)) + 1)
    return schedule[: max(count, least)].tolist(), least


def _most_over(queries: int) -> int:
    """How many of so many queries may be over the limit."""
    return bisect_right(range(queries), queries, key=lambda over: queries_needed(over, TAIL)) - 1


def largest_rate(
    system: System,
    num_samples: int,
    *,
    limit_s: float,
    hint_per_s: float,
    min_seconds: float,
    min_queries: int,
    max_batch: int,
    seed: int,
    clock: Clock,
    max_queries: int = MAX_QUERIES,
    tolerance: float = 0.05,
) -> RateSearch:
    """The largest Poisson rate whose 99th percentile of latency meets the limit: MLPerf's number for a server.

    Starting from a hint (the offline throughput is a good one), the rate is doubled or halved until one rate meets the
    limit and one fails, at most 8 times; then the bracket is halved in log rate until its ends are within ``tolerance``.
    The search ends without a rate when not even the fastest query of a trial met the limit: that one did not wait, and
    fewer arrivals cannot make it faster.

    Args:
        system, num_samples: as in ``server``, like all that is not named here.
        hint_per_s: the first rate tried.
        tolerance: 0.05 stops when the failing rate is at most 5 % above the largest.

    Raises:
        StudyError: a count, rate or limit is not above 0, or the tolerance is below 0.001.
    """
    check_positive("hint_per_s", hint_per_s)
    if not tolerance >= LEAST_TOLERANCE:
        raise StudyError(f"tolerance is {tolerance}: rates closer than {LEAST_TOLERANCE:g} cannot be told apart")

    def trial(rate_per_s: float) -> ServerRun:
        return server(
            system,
            num_samples,
            rate_per_s=rate_per_s,
            limit_s=limit_s,
            min_seconds=min_seconds,
            min_queries=min_queries,
            max_batch=max_batch,
            seed=seed,
            clock=clock,
            max_queries=max_queries,
        )

    return _searched(trial, limit_s, hint_per_s, tolerance)


def _searched(trial: Callable[[float], ServerRun], limit_s: float, rate: float, tolerance: float) -> RateSearch:
    """Find a rate that meets the limit and one that fails, then close in between them."""
    trials: list[ServerRun] = []
    good: float | None = None
    bad: float | None = None
    for _ in range(MAX_STEPS + 1):
        trials.append(trial(rate))
        if trials[-1].valid:
            good, rate = rate, rate * 2
        else:
            bad, rate = rate, rate / 2
            if min(query.latency_s for query in trials[-1].queries) > limit_s:
                break
        if good is not None and bad is not None:
            break
    while good is not None and bad is not None and bad / good > 1 + tolerance:
        rate = math.sqrt(good * bad)
        trials.append(trial(rate))
        if trials[-1].valid:
            good = rate
        else:
            bad = rate
    return RateSearch(limit_s, good, bad, trials)
