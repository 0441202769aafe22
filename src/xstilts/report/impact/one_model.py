"""One measured model for a person: what each language costs, how long a query takes, what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xstilts.report.grid import NOTHING, Grid, milliseconds, number, percent, plural
from xstilts.report.impact.measured import Measured
from xstilts.report.impact.speed import Speed, speed
from xstilts.statistics.percentiles import EarlyStopping


def model_grid(measured: Measured) -> Grid:
    """A line for each language and one for all of them."""
    (system,) = measured.systems.values()
    every = speed(measured, system)
    lines = [(language, speed(measured, system, [language])) for language in measured.languages]
    notes = [
        f"{measured.rows} rows a language, {plural(len(measured.runs), 'run')}, each a fresh process; {measured.note}.",
        *_notes(every),
    ]
    return Grid(
        measured.title,
        ("language", "sequences/s", "tokens/s", "tokens per row", "s per 1,000", "p50 ms", "p90 ms", "p99 ms"),
        tuple(_line(name, found) for name, found in [*lines, ("all", every)]),
        (f"{system.execution}.", *notes),
    )


def model_rows(measured: Measured) -> list[dict[str, Any]]:
    """The same as numbers: seconds, and rates a second; ``None`` where something was not measured, or not long enough."""
    (system,) = measured.systems.values()
    parts = [(language, [language]) for language in measured.languages]
    return [
        {
            "language": name,
            "sequences_per_second": found.sequences_per_second,
            "tokens_per_second": found.tokens_per_second,
            "seconds_per_1000": found.seconds_per_1000,
            "p50_seconds": found.p50,
            "p90_seconds": None if found.p90 is None else found.p90.estimate,
            "p99_seconds": None if found.p99 is None else found.p99.estimate,
            "memory_gib": found.memory_gib,
        }
        for name, found in [(name, speed(measured, system, of)) for name, of in [*parts, ("all", None)]]
    ]


def _line(name: str, found: Speed) -> tuple[str, ...]:
    rows = sum(found.system.loads[language].examples for language in found.languages)
    tokens = sum(found.system.loads[language].tokens for language in found.languages)
    return (
        name,
        number(found.sequences_per_second),
        number(found.tokens_per_second),
        f"{tokens / rows:.1f}",
        number(found.seconds_per_1000),
        milliseconds(found.p50),
        _tail(found.p90),
        _tail(found.p99),
    )


def _tail(found: EarlyStopping | None) -> str:
    """The estimate by MLPerf's rule, or how many queries it would need."""
    if found is None:
        return NOTHING
    return f"{found.queries}/{found.needed} queries" if found.estimate is None else milliseconds(found.estimate)


def _notes(found: Speed) -> Iterator[str]:
    measured, device = found.measured, found.measured.device
    yield f"{device['name']}, {device['threads']} threads, {device['precision']}."
    if found.peak_share is not None:
        yield f"{percent(found.peak_share)} of the largest matrix product's rate on this device."
    yield f"Peak memory {number(found.memory_gib)} GiB; " + ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {number(seconds)} s" for name, seconds in found.startup.items()
    )
    for rate in found.largest_rates:
        yield f"Server: {number(rate)} queries/s at most with p99 within {measured.scenarios['server']['p99_ms']:g} ms."
