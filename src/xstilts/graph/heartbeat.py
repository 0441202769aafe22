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
from pathlib import Path

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
                self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
                self._thread.start()

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
    """For how long files have not changed, as far as this process has seen.

    Args:
        lease_seconds: what counts as long.
        clock: seconds; replaced in tests.
    """

    def __init__(self, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease, self._clock = lease_seconds, clock
        self._seen: dict[str, tuple[int, float, float]] = {}
        self._lock = threading.Lock()

    def quiet_seconds(self, name: str, stamp: int) -> float:
        """Seconds for which ``name`` had this stamp, told at every look."""
        with self._lock:
            time = self._clock()
            before, last, quiet = self._seen.get(name, (stamp, time, 0.0))
            quiet = quiet + min(time - last, self._lease / 4) if before == stamp else 0.0
            self._seen[name] = (stamp, time, quiet)
            return quiet

    def is_dead(self, name: str, stamp: int) -> bool:
        """Whether ``name`` has not changed for the time of a lease."""
        return self.quiet_seconds(name, stamp) >= self._lease
