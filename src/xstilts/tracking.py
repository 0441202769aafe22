"""Trackers by name: what a run tells, shown by another program. Nothing of them is imported before one is asked for.

A tracker is any function that takes a record (``xstilts.graph.log``); docs/tracking.md has ten lines for others.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from xstilts.errors import MissingNameError, XstiltsError
from xstilts.graph.log import Record, Tracker


def trackio(project: str) -> Tracker:
    """Sends to trackio (local-first, wandb's calls): one of its runs for each run, ``loss/TITLE`` for each node that learns.

    Args:
        project: the study.

    Raises:
        XstiltsError: it is not installed.
    """
    try:
        library: Any = importlib.import_module("trackio")
    except ImportError:
        raise XstiltsError("trackio is not installed", hint="pip install 'xstilts[trackio]'") from None
    runs: list[Any] = []

    def track(record: Record) -> None:
        with redirect_stdout(sys.stderr):  # it greets, and standard output is for what was asked
            send(record)

    def send(record: Record) -> None:
        if record["event"] == "run_started":
            runs.append(library.init(project=project, name=record["run"], config=dict(record), embed=False))
        elif record["event"] == "run_ended":
            runs.pop().finish()
        elif numbers := {name: of for name, of in record.get("values", {}).items() if isinstance(of, int | float)}:
            place = record["title"].replace("/", " ")
            runs[-1].log({f"{name}/{place}": of for name, of in numbers.items()}, step=round(record["position"]))

    track.__name__ = "trackio"
    return track


TRACKERS: dict[str, Callable[[str], Tracker]] = {"trackio": trackio}
"""Name -> what makes the tracker of a project."""


def tracker(name: str, project: str) -> Tracker:
    """The tracker called ``name``.

    Raises:
        MissingNameError: there is none.
        XstiltsError: what it sends to is not installed.
    """
    if name not in TRACKERS:
        raise MissingNameError("tracker", name, TRACKERS, where="--track")
    return TRACKERS[name](project)
