"""A clock that goes on only when somebody waits or works, and systems whose every call takes a known time."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class VirtualClock:
    """Starts anywhere: only differences mean anything."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def sleep_until(self, when: float) -> None:
        self.time = max(self.time, when)


class TimedSystem:
    """Call k, with its samples, takes ``seconds(k, samples)``; keeps every batch and how long each call took."""

    def __init__(self, clock: VirtualClock, seconds: Callable[[int, Sequence[int]], float]) -> None:
        self.clock, self.seconds = clock, seconds
        self.batches: list[list[int]] = []
        self.took: list[float] = []

    def __call__(self, samples: Sequence[int]) -> None:
        self.took.append(self.seconds(len(self.batches), samples))
        self.batches.append(list(samples))
        self.clock.time += self.took[-1]


def constant(clock: VirtualClock, seconds: float) -> TimedSystem:
    return TimedSystem(clock, lambda call, samples: seconds)
