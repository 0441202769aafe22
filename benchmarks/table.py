"""Records as a Markdown table, with all that a figure needs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def markdown(records: Sequence[Record]) -> str:
    """Device, versions and rows; one line for each contender; below it what does not agree."""
    return "\n".join((*_head(records[0]), "", *_lines(records), "", *_agreements(records))) + "\n"


def _head(record: Record) -> Iterator[str]:
    found, setting = record["environment"], record["setting"]
    precision = {"fp32": "float32", "bf16": "bfloat16"}[setting.get("precision", "fp32")]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    yield f"{found['cpu']}, {found['threads']} threads, {precision}; Python {found['python']}, {versions}; {found['commit']}."
    yield f"Model: {setting['model']}. Rows: {setting['data']}. Seed {setting['seed']}, {setting['rounds']} rounds."
    yield ""
    yield (
        "Times are medians over rounds (least to largest in brackets), per unit of work, as multiples of the contender "
        "marked 1. Computed: positions that run through the encoder for each real token. Share: operations that the answers "
        "need on real tokens, against the matrix-product peak of the round."
    )


def _lines(records: Sequence[Record]) -> Iterator[str]:
    yield "| line | contender | speed | time | computed | share of peak | peak memory | agree |"
    yield "|---|---|---:|---:|---:|---:|---:|---|"
    for record in records:
        agree = "yes" if record["agreement"]["holds"] else "**no**"
        for name, found in record["contenders"].items():
            note = f" ({found['note']})" if found["note"] else ""
            time, share, memory = found["time_against_base"], found["share_of_peak"], found["peak_memory_bytes"]
            computed = found["computed_per_unit"]
            rate = f"{found[record['unit'] + '_per_second']:,.0f} {record['unit']}/s"
            relative = "1" if name == record["base"] else f"{time['median']:.2f} ({time['min']:.2f}–{time['max']:.2f})"
            cells = (
                record["race"],
                name + note,
                rate,
                relative,
                "–" if computed is None else f"{computed:.2f}",
                "–" if share is None else f"{share['median']:.2f}",
                "–" if memory is None else f"{memory / 2**20:,.0f} MiB",
                agree,
            )
            yield f"| {' | '.join(cells)} |"


def _agreements(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        found = record["agreement"]
        count = found["number_of_differences"]
        said = f"- {record['race']}: {found['compared']}; {count} differences"
        yield said + (f" beyond or within {found['near']:.1g}:" if count else ".")
        yield from (f"  - {d['where']} ({d['distance']})" for d in found["differences"][:5])
