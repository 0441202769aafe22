"""SIGTERM in a worker: what can go on from where it is saves first, everything else leaves at once.

Schedulers of clusters and clouds send it some 30 seconds before they take a machine back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 128 + signal.SIGTERM
"""Exit status of a process that was asked to stop and did: 143. The same command goes on from there."""
SAVE_SECONDS = 25.0
"""How long a driver that was asked to stop waits for its workers."""

_asked = False
_saving = 0


def leave_on_sigterm() -> None:
    """From now on SIGTERM ends this process, as soon as what runs in it has saved. For a worker's main thread."""

    def handler(number: int, frame: FrameType | None) -> None:
        global _asked
        _asked = True
        if not _saving:
            os._exit(STOPPED)

    signal.signal(signal.SIGTERM, handler)


def asked() -> bool:
    """Whether this process was asked to stop and something deferred it."""
    return _asked


@contextmanager
def deferred(saves: bool = True) -> Iterator[Callable[[], bool]]:
    """While entered, SIGTERM only makes the given function (``asked``) true: save then, and leave.

    What ends before it looked goes on to its end: so near to it, nothing saves as much. ``saves``: false for what has nowhere
    to save, and leaves at once.
    """
    global _saving
    _saving += saves
    try:
        yield asked
    finally:
        _saving -= saves


def leave_if(saved: bool) -> None:
    """End this process, without a word: its driver knows why, and no library has anything to add."""
    if saved:
        os._exit(STOPPED)
