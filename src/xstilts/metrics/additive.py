"""Scores as functions of sums over rows.

Every official score here is one: a share is right rows over rows, an F1 is made of three counts. So what each row gives can
be kept and the rows drawn again, to see how far a score rests on the rows that happen to be in a test set. There is one way
to score: the score of a whole set is that same function of the sums over all its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROWS = "rows"
"""The sum that every set of rows has: how many they are."""


@dataclass(frozen=True)
class Contributions:
    """What each row gives to a score.

    Args:
        values: column -> one number for each row.
        units: what the rows are called, where they are not the gold rows in their order: mined pairs are counted for each
            foreign sentence that is in the gold or was mined, and those differ between systems.
    """

    values: Mapping[str, Sequence[float]]
    units: Sequence[str] | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.values.values())))

    def sums(self) -> dict[str, float]:
        """Each column's sum, and ``rows``."""
        found: dict[str, float] = {ROWS: len(self)}
        for column, numbers in self.values.items():
            total = 0.0
            for (
                number
            ) in numbers:  # one by one: `sum` rounds differently from Python 3.12 on, and the official scripts add so
                total += number
            found[column] = total
        return found


@dataclass(frozen=True)
class Additive:
    """A metric: ``(golds, predictions, language) -> {name: 0..100}``.

    Args:
        contributions: checks golds and predictions and says what each row gives; raises ``GoldError`` and
            ``PredictionError``.
        scores: from the sums (``rows`` among them) to the scores; defined for the sums of any drawn rows. A sum is a number,
            or an array with one for each of many draws: then so is every score.
        unit: what a row is, for people: "example", "question", "sentence".
    """

    contributions: Callable[[Any, Any, str], Contributions]
    scores: Callable[[Mapping[str, Any]], dict[str, Any]]
    unit: str

    def __call__(self, golds: Any, predictions: Any, language: str) -> dict[str, float]:
        """The official scores of all rows."""
        return self.scores(self.contributions(golds, predictions, language).sums())
