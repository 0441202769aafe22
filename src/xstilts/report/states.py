"""How studies stand, on a terminal: at once, or again and again until nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from xstilts.graph.progress import remaining

SHOWN = 20
"""Running or failed nodes of a study that are listed; the rest are counted."""
Report = Sequence[Mapping[str, Any]]


def watch(look: Callable[[], Report], out: Console, *, every_seconds: float = 2.0) -> Report:
    """Show a report and renew it until no node of it is running or waiting; gives the last one.

    Ctrl-C ends the looking, and nothing else. Where the output is no terminal, each is printed below the one before.
    """
    report = look()
    try:
        with Live(view(report), console=out, auto_refresh=False, vertical_overflow="visible") as live:
            while any({"running", "waiting"} & study["states"].keys() for study in report):
                time.sleep(every_seconds)
                report = look()
                live.update(view(report), refresh=True)
    except KeyboardInterrupt:
        pass
    return report


def view(report: Report) -> RenderableType:
    """The states of each study's nodes."""
    if not report:
        return Text("this store has no study yet")
    return Group(*(Text.from_markup(line, overflow="ellipsis") for study in report for line in _lines(study)))


def _lines(study: Mapping[str, Any]) -> list[str]:
    states = ", ".join(f"{number} {state}" for state, number in study["states"].items())
    lines = [f"[bold]{escape(study['study'])}[/bold]: {states}{_left(study)}"]
    if study["waiting"]:
        lines.append("  waiting " + ", ".join(f"{number} {kind}" for kind, number in study["waiting"].items()))
    for node in study["running"][:SHOWN]:
        sure = "" if node["alive"] else ", no sign of life seen yet"
        place = f"{node['host']}, process {node['pid']}, {node['seconds']:.0f} s{sure}"
        lines.append(f"  running {escape(node['title'])} ({escape(place)}){escape(_progress(node['progress']))}")
    for node in study["failed"][:SHOWN]:
        lines.append(f"  [red]failed[/red] {escape(node['title'])} ({node['key'][:12]})")
        lines.append(f"    {escape(str(node.get('text', '')))}")
        lines += [f"    [dim]{escape(line)}[/dim]" for line in node["last_lines"] if line != node.get("text")]
    more = sum(max(0, len(study[of]) - SHOWN) for of in ("running", "failed"))
    return [*lines, f"  and {more} more: --json - lists them"] if more else lines


def _left(study: Mapping[str, Any]) -> str:
    if not study["eta_seconds"]:
        return ""
    return f"{remaining(study['eta_seconds'])} ({study['device_hours_left']:.2g} device-hours)"


def _progress(record: Mapping[str, Any] | None) -> str:
    """What a running node last told its log: ``: 120/500 steps, loss 0.52``."""
    if not record or "position" not in record:
        return ""
    of = f"/{record['length']:g}" if record.get("length") is not None else ""
    values = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in (record.get("values") or {}).items()]
    return ", ".join([f": {record['position']:g}{of} {record.get('unit', '')}", *values])
