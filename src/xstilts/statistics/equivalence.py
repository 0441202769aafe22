"""Is one system as fast as another? Two one-sided t-tests (TOST) on paired differences of the logarithm of time.

"No difference" is never concluded from a test that found none. It is concluded when the 90 % interval of the ratio lies
inside a margin fixed before the measurement; that is the same as rejecting, at 5 % each, "at least this much faster" and
"at least this much slower" (Schuirmann 1987). Logarithms make the effect a ratio, and the margin symmetric: 1 / (1 + m)
to 1 + m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from xstilts.errors import StatisticsError
from xstilts.statistics.samples import Floats, checked

ALPHA = 0.05
"""Of each one-sided test; the interval that must lie inside the margin is that of 1 - 2 * ALPHA."""


@dataclass(frozen=True)
class Comparison:
    """A system against its reference, as a ratio of times: above 1 is slower.

    Attributes:
        ratio: the geometric mean over the pairs.
        low_90, high_90: the 90 % interval, the one that the equivalence test looks at.
        low_95, high_95: the 95 % interval, the one that a difference is read from.
        p_equivalence: the larger of the two one-sided p; ``None`` without a margin.
        margin: the relative margin, 0.03 for 3 %; ``None`` where only the cost is asked.
        pairs: how many differences it rests on.
    """

    ratio: float
    low_90: float
    high_90: float
    low_95: float
    high_95: float
    p_equivalence: float | None
    margin: float | None
    pairs: int

    @property
    def equivalent(self) -> bool:
        """The 90 % interval lies inside the margin. Never without a margin."""
        return self.margin is not None and 1 / (1 + self.margin) < self.low_90 and self.high_90 < 1 + self.margin

    @property
    def differs(self) -> bool:
        """The 95 % interval excludes 1."""
        return self.low_95 > 1 or self.high_95 < 1

    @property
    def verdict(self) -> str:
        """In words. A difference may be demonstrated and lie within the margin at the same time."""
        if not self.differs:
            return "equivalent" if self.equivalent else "not settled"
        direction = "slower" if self.ratio > 1 else "faster"
        return f"{direction}, within the margin" if self.equivalent else direction


def compare(log_differences: Sequence[float], margin: float | None) -> Comparison:
    """Test paired differences of log time (system minus reference) for equivalence and for difference.

    Args:
        log_differences: one number for each pair (a block of interleaved runs); the pairs are independent.
        margin: relative, above 0, fixed before the measurement; ``None`` gives intervals only.

    Raises:
        StatisticsError: fewer than two pairs, a number that is not finite, or a margin that is not above 0.
    """
    differences = checked(log_differences, "paired log differences", at_least=2)
    check_margin(margin)
    low_90, high_90 = ratios(interval(differences, 1 - 2 * ALPHA))
    low_95, high_95 = ratios(interval(differences, 0.95))
    return Comparison(
        ratio=math.exp(differences.mean()),
        low_90=low_90,
        high_90=high_90,
        low_95=low_95,
        high_95=high_95,
        p_equivalence=None if margin is None else p_equivalence(differences, math.log1p(margin)),
        margin=margin,
        pairs=len(differences),
    )


def check_margin(margin: float | None) -> None:
    """Refuse a margin that no interval can lie inside.

    Raises:
        StatisticsError: it is not a finite number above 0.
    """
    if margin is not None and not 0 < margin < math.inf:
        raise StatisticsError(f"the margin is {margin}: a number above 0 is needed, 0.03 for 3 %")


def interval(differences: Floats, level: float) -> tuple[Floats, Floats]:
    """The t interval of the mean along the last axis (at least two numbers), low and high, still in logarithms."""
    pairs = differences.shape[-1]
    mean = differences.mean(axis=-1)
    half = stdtrit(pairs - 1, (1 + level) / 2) * differences.std(axis=-1, ddof=1) / math.sqrt(pairs)
    return mean - half, mean + half


def p_equivalence(differences: Floats, bound: float) -> float:
    """The larger p of the two one-sided t-tests against -``bound`` and +``bound``, all in logarithms."""
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    distance = bound - abs(mean)  # to the nearer bound; its test has the larger p
    if error == 0:  # equal differences leave no doubt
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(len(differences) - 1, -distance / error))


def ratios(log_limits: tuple[Floats, Floats]) -> tuple[float, float]:
    """Two logarithms as ratios; one beyond all floats is infinite, which is what it then means."""
    with np.errstate(over="ignore"):
        low, high = np.exp(log_limits)
    return float(low), float(high)
