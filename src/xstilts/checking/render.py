"""A report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from xstilts.checking.findings import Missing, Overlap, Part, Report

MAX_NAMED = 12
"""Languages named in one note before the rest are only counted."""
MAX_LAYOUTS = 2
"""Layouts named for one missing split before the rest are only counted."""


def render(report: Report, console: Console) -> None:
    """Print the report: what is there, what is missing and where to get it, overlaps, bad rows, and a closing line."""
    if report.constructed:
        _prose(console, report.constructed + "\n")
    console.print(_parts_table(report))
    _print_notes(report, console)
    if report.missing:
        console.print("\n[bold]Missing files[/bold]")
        _print_missing(report.missing, console)
    if report.overlaps:
        console.print("\n[bold]Text in two places[/bold] (learned from, or selected on, and scored)")
        console.print(_overlaps_table(report.overlaps))
    if report.bad_rows:
        console.print("\n[bold red]Bad rows[/bold red]")
        for part, bad in report.bad_rows:
            _line(console, f"  {bad.where}: {bad.what}  ({part.task} {part.split} {part.language})")
    _prose(console, "\n" + _closing(report))


def _parts_table(report: Report) -> Table:
    table = Table(title=escape(f"Data in {report.root}"), title_justify="left", box=None, pad_edge=False)
    for name in ("task", "split"):
        table.add_column(name, no_wrap=True)
    for name in ("languages", "rows", "published", "with gold"):
        table.add_column(name, justify="right", no_wrap=True)
    for (task, split), group in groupby(report.parts, key=lambda p: (p.task, p.split)):
        parts = list(group)
        found = [p for p in parts if p.found]
        counts = [p.published for p in parts if p.published is not None]
        published = [f"{sum(counts):,}"] * bool(counts) + ["?"] * (len(counts) < len(parts))
        table.add_row(
            task,
            split,
            f"{len(found)}/{len(parts)}",
            f"{sum(p.rows or 0 for p in found):,}" if found else "-",
            "-" if report.constructed else " + ".join(published),
            f"{sum(p.with_gold for p in found):,}" if found else "-",
            style=None if found else "dim",
        )
    return table


def _print_notes(report: Report, console: Console) -> None:
    """Below the table, where a list of languages has room."""
    said = []
    for (task, split), group in groupby(report.parts, key=lambda p: (p.task, p.split)):
        parts = list(group)
        said += [f"{task} {split}: {note}" for note in _notes(parts, [p for p in parts if p.found])]
    if said:
        console.print("\n[bold]Not as published[/bold]")
    for line in said:
        _prose(console, line, 2)


def _notes(parts: Sequence[Part], found: Sequence[Part]) -> Iterable[str]:
    """What is not as published."""
    short = [
        f"{p.language} {p.rows:,} of {p.published:,}" for p in found if p.published and (p.rows or 0) < p.published
    ]
    if short:
        yield "short: " + _named(short)
    longer = [
        f"{p.language} {p.rows:,} of {p.published:,}" for p in found if p.published and (p.rows or 0) > p.published
    ]
    if longer:
        yield "more than published: " + _named(longer)
    unknown = [p.language for p in found if p.published is None]
    if unknown and len(unknown) < len(parts):
        yield "no published count: " + _named(unknown)
    without = [p.language for p in found if p.rows and not p.with_gold]
    if without:
        yield "no gold: " + _named(without)
    partly = [f"{p.language} {p.with_gold:,}" for p in found if p.rows and 0 < p.with_gold < p.rows]
    if partly:
        yield "gold in part: " + _named(partly)
    dropped = sum(p.dropped for p in found)
    if dropped:
        yield f"{dropped:,} rows without a majority label, or damaged in translation, left out"
    named = [p.language for p in found if p.overridden]
    if named:
        yield "files named by the study: " + _named(named)
    bad = len({b for p in parts for b in p.bad_rows})
    if bad:
        yield f"bad rows: {bad:,}"


def _named(words: Sequence[str]) -> str:
    shown = ", ".join(words[:MAX_NAMED])
    return shown if len(words) <= MAX_NAMED else f"{shown} and {len(words) - MAX_NAMED} more"


def _print_missing(missing: Sequence[Missing], console: Console) -> None:
    """One block for each task: its splits, then where the files come from."""
    for _, group in groupby(missing, key=lambda m: m.task):
        absent = list(group)
        first = absent[0]
        _prose(console, f"{first.task}: " + "; ".join(f"{m.split} {_named(m.languages)}" for m in absent), 2)
        for m in absent:
            more = f" or {len(m.looked_for) - MAX_LAYOUTS} more" if len(m.looked_for) > MAX_LAYOUTS else ""
            _line(console, f"    {m.split}: looked for {' or '.join(m.looked_for[:MAX_LAYOUTS])}{more}")
        _line(console, f"    address: {first.address}")
        _line(console, f"    licence: {first.licence}")
        _line(console, f"    get it:  {first.command}")


def _overlaps_table(overlaps: Sequence[Overlap]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("learned from", "in", "same"):
        table.add_column(name, no_wrap=True)
    table.add_column("scored rows touched, by so many rows learned from", overflow="fold")
    for key, group in groupby(overlaps, key=lambda o: (o.task, o.split, o.language, o.tested_task, o.tested_split)):
        shared = list(group)
        cells = _named([_overlap(o) for o in shared])
        table.add_row(f"{key[0]} {key[1]} {key[2]}", f"{key[3]} {key[4]}", shared[0].text, escape(cells))
    return table


def _overlap(o: Overlap) -> str:
    same = f" ({o.equal_rows:,} with the same question)" if o.text == "context" else ""
    return f"{o.tested_language} {o.tested_rows:,} of {o.tested_total:,}{same}, by {o.rows:,} row{'s' * (o.rows != 1)}"


def _closing(report: Report) -> str:
    found = sum(p.found for p in report.parts)
    complete = sum(p.complete for p in report.parts)
    files = {f.path: f.bytes for p in report.parts for f in (*p.files, *p.gold_files)}
    words = [
        f"{found} of {len(report.parts)} parts found, {complete} complete",
        f"{len(files)} files, {sum(files.values()) / 1e6:,.1f} MB",
        f"{len(report.overlaps)} overlaps",
        f"{len(report.bad_rows)} bad rows",
    ]
    return ", ".join(words) + f" ({report.seconds:.1f} s)"


def _prose(console: Console, text: str, indent: int = 0) -> None:
    """Sentences and lists, broken between words."""
    console.print(Padding(escape(text), (0, 0, 0, indent)) if indent else escape(text), highlight=False)


def _line(console: Console, text: str) -> None:
    """Places and commands: not markup, and on one line, as they are copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
