"""How a run looks to people: a bar with the time left on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from xstilts.graph.events import (
    Event,
    NodeBlocked,
    NodeDone,
    NodeElsewhere,
    NodeFailed,
    NodeProgress,
    NodeSetAside,
    NodeStarted,
    Said,
    SlotWaiting,
)

LINE_SECONDS = 60.0


class Display:
    """Listens to a run: ``with Display(console, total) as show: run(..., listen=show)``.

    Args:
        console: where to write; whether it is a terminal that can move its cursor decides the form.
        total: wanted nodes, until an event says otherwise.
        clock: seconds; replaced in tests.
    """

    def __init__(self, console: Console, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._total = total
        self._next_line = clock() + LINE_SECONDS
        self._current: dict[int, str] = {}
        self._warned: set[str] = set()
        self._failed = self._blocked = 0
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self._bar = Progress(*columns, console=console, transient=True)
            self._overall = self._bar.add_task("nodes", total=total, left="")
            self._rows: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self._total = event.total
        self._say(event)
        if self._bar:
            self._draw(event, self._bar)
        elif self._clock() >= self._next_line:
            self._next_line = self._clock() + LINE_SECONDS
            self._console.print(escape(self.line(event)), soft_wrap=True, highlight=False)

    def line(self, event: Event) -> str:
        """``12/40 nodes, about 5 min left; failed 1; now: train e5/nli/xnli seed 1 120/500 steps``."""
        parts = [f"{event.done}/{event.total} nodes{remaining(event.eta_seconds)}"]
        parts += [f"failed {self._failed}, blocked {self._blocked}"] if self._failed else []
        parts += ["now: " + ", ".join(self._current.values())] if self._current else []
        return "; ".join(parts)

    def _say(self, event: Event) -> None:
        """Remember what runs, and print what must not be missed in any form."""
        if isinstance(event, NodeStarted):
            self._current[event.slot] = event.node.title
        elif isinstance(event, NodeProgress):
            self._current[event.slot] = f"{event.node.title} {position(event)}"
            self._warn(event)
        elif isinstance(event, NodeDone | NodeFailed):
            self._current.pop(event.slot, None)
        if isinstance(event, NodeFailed):
            self._failed += 1
            text = f"failed: {event.node.title} [{event.node.key[:12]}]: {event.type}: {event.message}"
            self._console.print(escape(text), style="red", soft_wrap=True, highlight=False)
        elif isinstance(event, NodeBlocked):
            self._blocked += 1
        elif isinstance(event, NodeSetAside):
            text = f"damaged: {event.title}: {event.message}"
            self._console.print(escape(text), style="yellow", soft_wrap=True, highlight=False)
        elif isinstance(event, NodeElsewhere):
            self._console.print(escape(f"waiting: {event.message}"), style="yellow", soft_wrap=True, highlight=False)
        elif isinstance(event, SlotWaiting | Said):
            text = event.text if isinstance(event, Said) else f"waiting: worker {event.slot} has no machine yet"
            self._console.print(escape(text), style="yellow", soft_wrap=True, highlight=False)

    def _warn(self, event: NodeProgress) -> None:
        """A training that went on from a checkpoint, but not the newest or not as before, or ran out of memory: said once."""
        if event.note.keys() & {"damaged", "not as before", "out of memory"} and event.node.key not in self._warned:
            self._warned.add(event.node.key)
            text = f"warning: {event.node.title}: {position(event)}"
            self._console.print(escape(text), style="yellow", soft_wrap=True, highlight=False)

    def _draw(self, event: Event, bar: Progress) -> None:
        left = remaining(event.eta_seconds).removeprefix(", ")
        bar.update(self._overall, completed=event.done, total=event.total, left=left)
        if isinstance(event, NodeStarted):
            self._rows[event.slot] = bar.add_task(escape(event.node.title), total=None, left="")
        elif isinstance(event, NodeProgress) and event.slot in self._rows:
            row = self._rows[event.slot]
            bar.update(row, completed=int(event.position), total=event.length, left=position(event))
        elif isinstance(event, NodeDone | NodeFailed) and event.slot in self._rows:
            bar.remove_task(self._rows.pop(event.slot))


def position(event: NodeProgress) -> str:
    """``120/500 steps, loss 0.52``."""
    of = "" if event.length is None else f"/{_count(event.length)}"
    notes = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in event.note.items()
    ]
    return ", ".join([f"{_count(event.position)}{of} {event.unit}", *notes])


def remaining(seconds: float | None) -> str:
    """``, about 5 min left``; nothing when there is no forecast."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f", about {seconds:.0f} s left"
    return f", about {seconds / 60:.0f} min left" if seconds < 5400 else f", about {seconds / 3600:.1f} h left"


def _count(number: float) -> str:
    """Whole numbers whole, others with one decimal."""
    return f"{number:.0f}" if number == int(number) else f"{number:.1f}"
