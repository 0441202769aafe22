"""Corrections for many comparisons, and what a study declares about them. Without arrays: study files are read with this.

``holm`` (Holm 1979) keeps the chance of any false "better" or "worse" in the family at the level or below, however the tests
depend on each other. ``benjamini_hochberg`` (1995) keeps the expected share of false ones among those called; it assumes
tests that are independent or depend positively.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xstilts.errors import StatisticsError

Correction = Literal["holm", "benjamini_hochberg", "none"]
Family = Literal["targets", "languages"]


@dataclass(frozen=True)
class Declared:
    """How the arms of a study are compared; declared before it runs, so that nothing is chosen after the scores are seen.

    Args:
        level: an adjusted p below it decides; intervals are of 1 - level.
        correction: over the family.
        family: what is tested: every arm on every target, or every arm on every target in every language.
        against: the arm that all others are compared with; ``None`` is the first without intermediate training.
    """

    level: float = 0.05
    correction: Correction = "holm"
    family: Family = "targets"
    against: str | None = None


def adjusted(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Each p, adjusted so that it may be compared with the level of the whole family. In the order given.

    Raises:
        StatisticsError: a p that is not between 0 and 1.
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise StatisticsError(f"a p-value of {p}: it must lie between 0 and 1")
    count = len(p_values)
    order = sorted(range(count), key=lambda place: p_values[place])
    found = list(p_values)
    if correction == "holm":
        largest = 0.0  # no p may be adjusted below that of a smaller one
        for rank, place in enumerate(order):
            largest = max(largest, min(1.0, (count - rank) * p_values[place]))
            found[place] = largest
    elif correction == "benjamini_hochberg":
        smallest = 1.0
        for rank, place in reversed(list(enumerate(order, start=1))):
            smallest = min(smallest, p_values[place] * count / rank)
            found[place] = smallest
    return found
