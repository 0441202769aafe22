"""MLPerf's closed scenarios, offline and single-stream, and the warm-up before them (source: MLPerf Inference rules, 2026).

Four words, never mixed. A *sample* is a row of the load, named by its number. A *query* is one request, with its own latency:
for one sample in single-stream and server, for all samples of a load in offline; many queries can ask for the same sample.
*Sequences* and *tokens* are what the encoder gets of a sample: one sample can be many sequences (windows, choices). Scenarios
count queries and samples only; sequences and tokens belong to the load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from xstilts.bench.clock import Clock
from xstilts.errors import StudyError

System: TypeAlias = Callable[[Sequence[int]], None]
"""Answers the samples with these numbers as one batch, and returns when all answers are there."""

SAMPLE_STREAM, ARRIVAL_STREAM = 0, 1  # one seed of the user, two independent streams
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Query:
    """One request for one sample. Moments are seconds since the scenario began.

    ``scheduled_s`` is when it had to be sent, ``issued_s`` when the system was called with it, ``done_s`` when the system
    returned.
    """

    sample: int
    scheduled_s: float
    issued_s: float
    done_s: float

    @property
    def latency_s(self) -> float:
        """From the moment it was scheduled: waiting in the queue counts."""
        return self.done_s - self.scheduled_s


@dataclass(frozen=True)
class WarmUp:
    """What ran before the measurement. ``first_call_s`` is the first call alone, ``seconds`` all ``calls`` together."""

    first_call_s: float
    calls: int
    seconds: float


def draw_samples(num_samples: int, seed: int) -> Iterator[int]:
    """Numbers of samples without end, uniform with replacement as MLPerf draws them. Equal seeds draw equal numbers.

    Raises:
        StudyError: there is no sample to draw.
    """
    check_positive("samples", num_samples)
    return _drawn(num_samples, seed)


def _drawn(num_samples: int, seed: int) -> Iterator[int]:
    generator = np.random.default_rng([seed, SAMPLE_STREAM])
    while True:
        yield from generator.integers(num_samples, size=_CHUNK).tolist()


def warm_up(system: System, num_samples: int, *, seconds: float, clock: Clock) -> WarmUp:
    """Call the system unmeasured: sample 0 alone (the first call), all samples as one batch, then one by one in order.

    So the shapes of the scenarios were seen before the first measured call. It goes on until ``seconds`` have passed since
    the start, and makes the first two calls in any case.

    Raises:
        StudyError: there is no sample.
    """
    check_positive("samples", num_samples)
    start = clock.now()
    system([0])
    first = clock.now() - start
    system(range(num_samples))
    calls = 2
    while (passed := clock.now() - start) < seconds:
        system([calls % num_samples])
        calls += 1
    return WarmUp(first, calls, passed)


def offline(
    system: System, loads: Mapping[str, Sequence[int]], *, min_seconds: float, min_passes: int, clock: Clock
) -> dict[str, list[float]]:
    """MLPerf's offline scenario: everything is there at once, and only the time for all of it counts.

    A load (a language) is one query for all its samples. Passes are repeated until both minima are reached, and each goes
    through all loads in order, so that a drift of the machine meets all of them alike.

    Returns:
        For each load the seconds of each pass, none left out.

    Raises:
        StudyError: there is no load, an empty one, or no pass is asked for.
    """
    check_positive("loads", len(loads))
    check_positive("min_passes", min_passes)
    for name, samples in loads.items():
        check_positive(f"samples of load {name!r}", len(samples))
    seconds: dict[str, list[float]] = {name: [] for name in loads}
    start, passes = clock.now(), 0
    while passes < min_passes or clock.now() - start < min_seconds:
        for name, samples in loads.items():
            issued = clock.now()
            system(samples)
            seconds[name].append(clock.now() - issued)
        passes += 1
    return seconds


def single_stream(
    system: System, num_samples: int, *, min_seconds: float, min_queries: int, seed: int, clock: Clock
) -> list[Query]:
    """MLPerf's single-stream scenario: one sample a query, the next query when the last one has ended.

    A query is scheduled the moment it is sent, so its latency is the time of its call. Queries are sent until both minima are
    reached. Every query is returned, in order.

    Raises:
        StudyError: there is no sample, or no query is asked for.
    """
    check_positive("min_queries", min_queries)
    samples = draw_samples(num_samples, seed)
    queries: list[Query] = []
    start = clock.now()
    ended = 0.0
    while len(queries) < min_queries or ended < min_seconds:
        sample = next(samples)
        issued = clock.now() - start
        system([sample])
        ended = clock.now() - start
        queries.append(Query(sample, issued, issued, ended))
    return queries


def check_positive(name: str, value: float) -> None:
    """Raise a ``StudyError`` unless ``value`` is above zero (and a number)."""
    if not value > 0:
        raise StudyError(f"{name} is {value}: a measurement needs more than 0")
