"""Signs of life across machines: a holder touches its claim's file, and others see that its time stamp changes.

What the stamps say is never read as a time, and no two clocks are compared: an observer counts, by its own monotonic clock,
for how long it has seen no change. So a clock that jumps or runs elsewhere does no harm. Nor does an observer that slept:
a gap between two looks counts as no more than a quarter of the time after which a holder is taken for dead.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

LEASE_SECONDS = 60.0
"""A holder on another machine that gave no sign of life for so long is taken for dead."""
BEATS = 12
"""Signs of life in that time."""


class Heartbeat:
    """Touches files every few seconds, in a thread that lives while there are any.

    Args:
        seconds: between two signs of life.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._paths: set[Path] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, path: Path) -> None:
        """From now on, until ``stop``."""
        with self._lock:
            self._paths.add(path)
            if self._thread is None:
                self._wake.clear()
                thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
                thread.start()
                self._thread = thread

    def stop(self, path: Path) -> None:
        """No more."""
        with self._lock:
            self._paths.discard(path)

    def _beat(self) -> None:
        while True:
            self._wake.wait(self._seconds)
            with self._lock:
                paths = list(self._paths)
                if not paths:
                    self._thread = None
                    return
            for path in paths:
                with suppress(OSError):  # lost, or the disk refuses: whoever writes there next is told
                    os.utime(path)


class Watch:
    """Which holders live, as far as this process has seen their files change.

    Args:
        lease_seconds: without a change for so long, one is dead.
        clock: seconds; replaced in tests.
    """

    def __init__(self, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease, self._clock = lease_seconds, clock
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def state(self, name: str, stamp: int) -> Literal["live", "dead", "unknown"]:
        """Of the holder called ``name`` whose file has this stamp now; ``unknown`` before anything is seen of it."""
        with self._lock:
            now = self._clock()
            before = self._seen.get(name)
            if before is None:
                seen = _Seen(stamp, now)
            elif before.stamp != stamp:
                seen = _Seen(stamp, now, changed=True)
            else:
                quiet = before.quiet + min(now - before.looked, self._lease / 4)
                seen = replace(before, looked=now, quiet=quiet)
            self._seen[name] = seen
        if seen.quiet >= self._lease:
            return "dead"
        return "live" if seen.changed else "unknown"


@dataclass(frozen=True)
class _Seen:
    """What was seen of a holder: its stamp, when it was looked at last, for how long it stayed, whether it ever changed."""

    stamp: int
    looked: float
    quiet: float = 0.0
    changed: bool = False
