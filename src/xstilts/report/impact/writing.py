"""What a text-to-text model's answers cost by their length, for a person."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from xstilts.report.grid import NOTHING, Grid, milliseconds, number, plural


def writing_grid(record: Mapping[str, Any]) -> Grid:
    """A line for each forced length, of all runs together (``bench.writing``)."""
    about, runs = record["about"], record["runs"]
    first = statistics.median(runs[0]["lengths"][0]["latencies_s"])
    shortest = min(of["written"] for of in runs[0]["lengths"])
    lines = []
    for place, of in enumerate(runs[0]["lengths"]):
        written = of["written"]
        passes = [seconds for run in runs for seconds in run["lengths"][place]["offline_s"]]
        latencies = [seconds for run in runs for seconds in run["lengths"][place]["latencies_s"]]
        median, p90 = statistics.median(latencies), statistics.quantiles(latencies, n=10)[-1]
        first = median if written == shortest else first
        further = NOTHING if written == shortest else milliseconds((median - first) / (written - shortest))
        rate = about["rows"] / statistics.median(passes)
        lines.append(
            (str(written), number(rate), number(rate * written), milliseconds(median), milliseconds(p90), further)
        )
    device, peak = about["device"], max(run["device_peak_bytes"] or run["peak_bytes"] for run in runs)
    drawn = (
        f" Its weights are random ({about['random_weights']}): it has learned nothing."
        if about["random_weights"]
        else ""
    )
    read = runs[0]["read"] / about["rows"]
    beyond = ", whose latency is the time to the first token." if shortest == 1 else "."
    notes = (
        f"{plural(about['rows'], 'row')} of {about['language']}, {read:.1f} sub-words read of each; "
        f"{plural(len(runs), 'run')}, each a fresh process.{drawn}",
        "Every row is answered with exactly so many sub-words. Further one: what each costs beyond an answer of "
        f"{shortest}{beyond}",
        f"{device['name']}, {plural(device['threads'], 'thread')}, {device['precision']}. "
        f"{runs[0]['parameters']:,} parameters, peak memory {number(peak / 2**30)} GiB.",
    )
    columns = ("written", "sequences/s", "written/s", "p50 ms", "p90 ms", "further one ms")
    return Grid(
        f"{about['model']}: {about['task']}, {about['split']}, by the length of answers", columns, tuple(lines), notes
    )
