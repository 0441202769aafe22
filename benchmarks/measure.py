"""Interleaved timing: every round runs each contender once, in turn (A B B A ...), after a warm-up of its own."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import torch

from xstilts.device import cpu_name

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "faiss-cpu")


def interleaved(contenders: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round. The first call of each is not counted."""
    for call in contenders.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        for name in order:
            start = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - start)
        order.reverse()
    return seconds


def record(name: str, work: float, unit: str, seconds: Mapping[str, list[float]], *, base: str) -> dict[str, Any]:
    """One line of a result: for each contender the median rate, its spread, and the ratio to ``base`` round by round."""
    lines = {}
    for contender, values in seconds.items():
        ratios = sorted(b / s for b, s in zip(seconds[base], values, strict=True))
        lines[contender] = {
            "seconds": [round(v, 4) for v in values],
            f"{unit}_per_second": round(work / statistics.median(values), 1),
            "speed_up_median": round(statistics.median(ratios), 3),
            "speed_up_min": round(ratios[0], 3),
            "speed_up_max": round(ratios[-1], 3),
        }
    return {"benchmark": name, "work": work, "unit": unit, "base": base, "contenders": lines}


def environment() -> dict[str, Any]:
    """Versions and the device: a figure without them cannot be compared."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except ModuleNotFoundError:
            found[library] = "absent"
    return {
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": found,
    }
