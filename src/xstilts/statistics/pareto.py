"""Score against cost: which systems nothing beats in both, and what a score costs on their front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from xstilts.errors import StatisticsError

Point = tuple[float, float]
"""A cost (above 0; less is better) and a score (more is better)."""


def front(points: Sequence[Point]) -> list[int]:
    """The places of the points that no other beats: as cheap and as good, and better in one. By rising cost.

    Equal points do not beat each other: all stand on the front or none.

    Raises:
        StatisticsError: a cost that is not above 0, or a number that is not finite.
    """
    for place, (cost, score) in enumerate(points):
        if not (0 < cost < math.inf and math.isfinite(score)):
            raise StatisticsError(
                f"point {place} costs {cost} and scores {score}: a cost above 0 and a score are needed"
            )
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not found or points[place][1] > points[found[-1]][1] or points[place] == points[found[-1]]:
            found.append(place)
    return found


def cost_at(points: Sequence[Point], score: float) -> float | None:
    """What ``score`` costs on the front of ``points``: the logarithm of cost drawn straight between neighbours.

    Below the worst and above the best score of the front nothing was measured: ``None``, never extrapolated.

    Raises:
        StatisticsError: as ``front``.
    """
    line = [points[place] for place in front(points)]
    exact = next((cost for cost, reached in line if reached == score), None)
    if exact is not None:
        return exact
    for (cheap, low), (dear, high) in pairwise(line):
        if low < score < high:
            return cheap * math.exp(math.log(dear / cheap) * (score - low) / (high - low))
    return None
