"""What a measured system costs, and how its time compares with another's: derived from the runs, each value in one way.

A cost offline is the sum over languages of the mean seconds of a pass, the geometric mean over runs. Two systems of one
model are compared piece by piece of equal work (``xstilts.statistics.paired``), one number for each block.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xstilts.report.impact.measured import Measured, Run, System
from xstilts.statistics.equivalence import Comparison, compare
from xstilts.statistics.paired import Timed, mean_log_ratio
from xstilts.statistics.percentiles import EarlyStopping, early_stopping, percentile

GIB = 2**30
METRICS = {"offline": "offline time", "single_stream": "single-stream latency"}
"""What systems are compared by, and how it is called: both are times, so a ratio above 1 is slower."""


@dataclass(frozen=True)
class LanguageCost:
    """The price of one language offline, from text to answers.

    Args:
        tokens_per_example: sub-words of all sequences of a row.
        seconds_per_1000: for 1,000 examples.
    """

    language: str
    sequences_per_second: float
    tokens_per_second: float
    tokens_per_example: float
    seconds_per_1000: float


@dataclass(frozen=True)
class Speed:
    """The cost of one system over some of its languages, in one precision on one device."""

    measured: Measured
    system: System
    languages: tuple[str, ...]

    @cached_property
    def runs(self) -> list[Run]:
        """The system's runs."""
        return self.measured.runs_of(self.system.name)

    @property
    def is_offline(self) -> bool:
        """Whether the offline scenario was run."""
        return all(run.offline is not None for run in self.runs)

    @cached_property
    def offline_seconds(self) -> float | None:
        """Of a pass over all languages: the geometric mean over runs."""
        return geometric_mean(offline_seconds(r, self.languages) for r in self.runs) if self.is_offline else None

    @property
    def seconds_per_1000(self) -> float | None:
        """Offline seconds for 1,000 examples, in the languages' own shares of the load."""
        return None if self.offline_seconds is None else 1000 * self.offline_seconds / self._loaded("examples")

    @property
    def sequences_per_second(self) -> float | None:
        """Offline throughput in sequences: what the encoder sees."""
        return None if self.offline_seconds is None else self._loaded("sequences") / self.offline_seconds

    @property
    def tokens_per_second(self) -> float | None:
        """Offline throughput in sub-words."""
        return None if self.offline_seconds is None else self._loaded("tokens") / self.offline_seconds

    @property
    def peak_share(self) -> float | None:
        """The matrix products' share of the best rate this device reached on one large product, 0..1."""
        known = all(self.system.loads[language].flops is not None for language in self.languages)
        if self.offline_seconds is None or not self.measured.matrix_peak or not known:
            return None
        return self._loaded("flops") / self.offline_seconds / max(self.measured.matrix_peak)

    def _loaded(self, unit: str) -> float:
        return math.fsum(getattr(self.system.loads[language], unit) for language in self.languages)

    def cost(self, language: str) -> LanguageCost | None:
        """The price of one language; ``None`` where offline was not run."""
        if not self.is_offline:
            return None
        load = self.system.loads[language]
        seconds = geometric_mean(offline_seconds(run, (language,)) for run in self.runs)
        return LanguageCost(
            language,
            load.sequences / seconds,
            load.tokens / seconds,
            load.tokens / load.examples,
            1000 * seconds / load.examples,
        )

    @cached_property
    def latencies(self) -> list[float]:
        """Seconds of every single-stream query of all runs; the runs of one block asked for the same samples."""
        return [seconds for run in self.runs for seconds in _latencies(run, self.languages)]

    @cached_property
    def p50(self) -> float | None:
        """Median latency in seconds: the geometric mean over runs of each one's median."""
        medians = [percentile(of, 0.50) for run in self.runs if (of := _latencies(run, self.languages))]
        return geometric_mean(medians) if medians else None

    @cached_property
    def p90(self) -> EarlyStopping | None:
        """90th percentile by MLPerf's early-stopping rule."""
        return early_stopping(self.latencies, 0.90) if self.latencies else None

    @cached_property
    def p99(self) -> EarlyStopping | None:
        """99th percentile by the same rule; it needs 662 queries."""
        return early_stopping(self.latencies, 0.99) if self.latencies else None

    @property
    def memory_bytes(self) -> int | None:
        """The largest peak of any run: of the device where it has its own memory, else of the process."""
        peaks = [run.peak_bytes if run.device_peak_bytes is None else run.device_peak_bytes for run in self.runs]
        return max((peak for peak in peaks if peak is not None), default=None)

    @property
    def memory_gib(self) -> float | None:
        """``memory_bytes`` in GiB."""
        return None if self.memory_bytes is None else self.memory_bytes / GIB

    def share(self, part: str) -> float | None:
        """``encode_s`` or ``decode_s`` as a share of offline time, 0..1."""
        if not self.is_offline:
            return None
        passes = [run.offline[language] for run in self.runs if run.offline for language in self.languages]
        return math.fsum(s for p in passes for s in getattr(p, part)) / math.fsum(s for p in passes for s in p.seconds)

    @property
    def startup(self) -> Mapping[str, float]:
        """Median over runs of each part of a start, in seconds: import, load, first call, warm-up."""
        return {part: statistics.median(run.startup[part] for run in self.runs) for part in self.runs[0].startup}

    def summary(self) -> dict[str, Any]:
        """The cost in six numbers, as plain data: seconds and bytes; ``None`` where a scenario was not run."""
        return {
            "seconds_per_1000": self.seconds_per_1000,
            "p50_s": self.p50,
            "p90_s": self.p90 and self.p90.estimate,
            "p99_s": self.p99 and self.p99.estimate,
            "queries": len(self.latencies),
            "memory_bytes": self.memory_bytes,
        }

    @property
    def largest_rates(self) -> list[float]:
        """Server scenario: the largest valid rate of each run, in queries a second."""
        found = [run.server["largest_rate_per_s"] for run in self.runs if run.server]
        return [rate for rate in found if rate is not None]


def speed(measured: Measured, system: System, languages: Sequence[str] | None = None) -> Speed:
    """The cost of ``system`` over ``languages``; by default over all of the load."""
    return Speed(measured, system, tuple(measured.languages if languages is None else languages))


def offline_seconds(run: Run, languages: Iterable[str]) -> float:
    """Seconds of a pass over ``languages``: the sum of each one's mean."""
    assert run.offline is not None
    return math.fsum(statistics.fmean(run.offline[language].seconds) for language in languages)


def block_logs(measured: Measured, system: str, metric: str) -> dict[int, float]:
    """Block -> mean over the system's runs there of the log of its time (the median pass, the median query)."""
    of_run: Callable[[Run], float | None] = _offline if metric == "offline" else _latency
    found: dict[int, list[float]] = defaultdict(list)
    for run in measured.runs_of(system):
        seconds = of_run(run)
        if seconds is not None:
            found[run.block].append(math.log(seconds))
    return {block: statistics.fmean(logs) for block, logs in found.items()}


def compared(measured: Measured, system: System, metric: str) -> Comparison | None:
    """The system's time against its reference's, by blocks that both have; ``None`` where there are fewer than two.

    ``ratio`` above 1 is slower.
    """
    if system.of is None:
        return None
    own, other = (_pieces(measured, name, metric) for name in (system.name, system.of))
    found = (mean_log_ratio(own[block], other[block]) for block in sorted(own.keys() & other.keys()))
    pairs = [ratio for ratio in found if ratio is not None]
    return compare(pairs, measured.margin) if len(pairs) > 1 else None


def _pieces(measured: Measured, system: str, metric: str) -> dict[int, list[Mapping[str, Timed]]]:
    """Block -> for each of the system's runs there, in order: language -> its passes or queries."""
    found: dict[int, list[Mapping[str, Timed]]] = defaultdict(list)
    for run in measured.runs_of(system):
        found[run.block].append((run.offline if metric == "offline" else run.queries) or {})
    return found


def geometric_mean(values: Iterable[float]) -> float:
    """Of times: the mean on the scale on which they are compared."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


def _offline(run: Run) -> float | None:
    """The median pass over all languages: on a shared machine a single slow pass must not decide."""
    if run.offline is None:
        return None
    passes = zip(*(of.seconds for of in run.offline.values()), strict=True)
    return statistics.median(math.fsum(of_languages) for of_languages in passes)


def _latency(run: Run) -> float | None:
    found = _latencies(run, run.queries or ())
    return percentile(found, 0.50) if found else None


def _latencies(run: Run, languages: Iterable[str]) -> list[float]:
    return [] if run.queries is None else [s for language in languages for s in run.queries[language].seconds]
