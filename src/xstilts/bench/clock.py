"""Time as the scenarios see it: seconds that only go forward, and waiting until a moment.

The clock is an argument of every scenario, so that tests run whole measurements in virtual time, where every number is known.
"""

from __future__ import annotations

import time
from typing import Protocol

SPIN_S = 0.001  # a sleeping thread wakes tens of microseconds late or more: the last millisecond is spun


class Clock(Protocol):
    """Seconds since some moment of its own; only differences mean anything."""

    def now(self) -> float:
        """Seconds; never less than before."""
        ...

    def sleep_until(self, when: float) -> None:
        """Return when ``now() >= when``; at once if that is so already."""
        ...


class SystemClock:
    """The machine's monotonic clock of highest resolution. It spins at the end of a wait, so it needs a core to itself."""

    def now(self) -> float:
        """Seconds of ``time.perf_counter``."""
        return time.perf_counter()

    def sleep_until(self, when: float) -> None:
        """Sleep, then spin for the last millisecond."""
        rest = when - self.now() - SPIN_S
        if rest > 0:
            time.sleep(rest)
        while self.now() < when:
            pass
