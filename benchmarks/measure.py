"""Interleaved timing: every round runs each contender once, in turn (A B B A ...), after a warm-up of its own."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.race import Call, Race, Timed
from xstilts.device import cpu_name

LIBRARIES = (
    "xstilts",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "accelerate",
    "sentence-transformers",
    "faiss-cpu",
    "onnxruntime",
)


@dataclass(frozen=True)
class Rounds:
    """What was measured.

    Args:
        seconds: of each contender in each round.
        values: what the warm-up call of each gave, which is not counted.
        peaks: the device's matrix-product speed in each round, operations a second.
    """

    seconds: dict[str, list[float]]
    values: dict[str, Any]
    peaks: list[float]


def interleaved(contenders: Mapping[str, Call], *, rounds: int, peak: Callable[[], float]) -> Rounds:
    """Run all contenders in turn. The first call of each is not counted.

    ``peak`` is asked in every round, because a shared machine's speed changes over tens of seconds.
    """
    values = {name: _timed(call).value for name, call in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order, peaks = list(contenders), []
    for _ in range(rounds):
        for name in order:
            seconds[name].append(_timed(contenders[name]).seconds)
        peaks.append(peak())
        order.reverse()
    return Rounds(seconds, values, peaks)


def _timed(call: Call) -> Timed:
    start = time.perf_counter()
    value = call()
    passed = time.perf_counter() - start
    return value if isinstance(value, Timed) else Timed(passed, value)


def record(
    race: Race, measured: Rounds, *, chosen: Mapping[str, tuple[str, int | None]], memory: Mapping[str, int]
) -> dict[str, Any]:
    """One line of a result: for each contender the median rate, its time against the base's, its share of the peak.

    Args:
        race: what was measured.
        measured: seconds, answers and peaks.
        chosen: what a contender chose, and how many positions it computed.
        memory: peak memory in bytes of those that were measured alone.
    """
    base = [s / race.contenders[race.base].work for s in measured.seconds[race.base]]
    lines = {}
    for name, contender in race.contenders.items():
        each = [s / contender.work for s in measured.seconds[name]]
        note, computed = chosen.get(name, ("", None))
        shares = [(contender.flops or 0) / s / p for s, p in zip(measured.seconds[name], measured.peaks, strict=True)]
        lines[name] = {
            "seconds": [round(s, 4) for s in measured.seconds[name]],
            "work": contender.work,
            f"{race.unit}_per_second": round(1 / statistics.median(each), 1),
            "time_against_base": _spread([s / b for s, b in zip(each, base, strict=True)]),
            "share_of_peak": _spread(shares) if contender.flops else None,
            "computed_per_unit": None if computed is None else round(computed / contender.work, 3),
            "note": note,
            "peak_memory_bytes": memory.get(name),
        }
    return {
        "race": race.name,
        "unit": race.unit,
        "base": race.base,
        "contenders": lines,
        "peak_flops_per_second": [round(p) for p in measured.peaks],
        "agreement": race.check(measured.values).as_json(),
        "notes": dict(race.notes),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and largest of the rounds."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def environment() -> dict[str, Any]:
    """Versions and the device: a figure without them cannot be compared."""
    return {
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {library: _version(library) for library in LIBRARIES},
        "commit": _commit(),
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    """Of the code that was measured; marked when files differ from it."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"
