"""The ratio of two systems' times from work that both did at nearly the same moment.

A machine's speed drifts over tens of seconds, by more than the differences that are asked about. Systems therefore take
turns of a fraction of a second, and their times are compared piece by piece: the k-th pass (or query) of a language in a
turn with the other system's k-th one of that turn, which is the same work. The median over pieces is what decides: a
single disturbed piece must not. On 60 recorded blocks of a system against itself this scatters by 2.8 % (passes) and 3.2 %
(queries), where the ratio of the two systems' medians scatters by 4.4 % and 4.3 %.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    """Equal pieces of work, in the order they were done.

    Args:
        seconds: of each piece.
        turns: in which turn each was done, the system's first being 0.
    """

    seconds: tuple[float, ...]
    turns: tuple[int, ...]

    def by_turn(self) -> dict[int, list[float]]:
        """Turn -> the seconds of its pieces."""
        found: dict[int, list[float]] = defaultdict(list)
        for turn, seconds in zip(self.turns, self.seconds, strict=True):
            found[turn].append(seconds)
        return found


def log_ratio(own: Mapping[str, Timed], other: Mapping[str, Timed]) -> float | None:
    """The median, over all pieces that both did, of the log of ``own``'s time over ``other``'s; ``None`` without any.

    A turn that lasts a fixed time holds more pieces of the faster system: those without a partner are left out.
    """
    ratios = [ratio for name in own.keys() & other.keys() for ratio in _log_ratios(own[name], other[name])]
    return statistics.median(ratios) if ratios else None


def mean_log_ratio(own: Sequence[Mapping[str, Timed]], other: Sequence[Mapping[str, Timed]]) -> float | None:
    """The mean over the runs of a block, first with first: a steady drift cancels where runs go there and back (A-B-B-A)."""
    found = [ratio for pair in zip(own, other, strict=True) if (ratio := log_ratio(*pair)) is not None]
    return statistics.fmean(found) if found else None


def _log_ratios(own: Timed, other: Timed) -> list[float]:
    others = other.by_turn()
    return [
        math.log(mine / theirs)
        for turn, seconds in own.by_turn().items()
        for mine, theirs in zip(seconds, others.get(turn, ()), strict=False)
    ]
