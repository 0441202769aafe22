"""Chance that is the same everywhere: built on ``random.random`` alone, whose sequence Python promises to keep."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Draw:
    """One stream of chance, named by what it is for: equal names give equal streams in every process and version.

    Args:
        names: the seed and the purpose, for example ``(1, "xnli", "dev")``.
    """

    def __init__(self, *names: object) -> None:
        self._random = random.Random("/".join(map(str, names))).random

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count - 1``."""
        return int(self._random() * count)

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self._random() < share

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self._random() * len(items))]

    def other(self, items: Sequence[Item], than: Item) -> Item:
        """One of the items that is not ``than``."""
        return self.pick([item for item in items if item != than])

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """All items in a new order."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            at = self.below(last + 1)
            mixed[last], mixed[at] = mixed[at], mixed[last]
        return mixed

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """``count`` different items."""
        mixed = list(items)
        for first in range(count):
            at = first + self.below(len(mixed) - first)
            mixed[first], mixed[at] = mixed[at], mixed[first]
        return mixed[:count]
