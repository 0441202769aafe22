"""Numbers as they come in: checked once, so that no statistic is ever made of too few or of what is no number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xstilts.errors import StatisticsError

Floats = NDArray[np.float64]


def checked(values: Sequence[float], name: str, *, at_least: int) -> Floats:
    """``values`` as an array.

    Raises:
        StatisticsError: there are fewer than ``at_least``, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < at_least:
        raise StatisticsError(f"{name}: {array.size} given, at least {at_least} are needed in one row")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise StatisticsError(f"{name}: number {place} is {array[place]}: finite numbers are needed")
    return array


def check_share(value: float, name: str) -> None:
    """Refuse what is not strictly between 0 and 1: a percentile is written 0.9, not 90.

    Raises:
        StatisticsError: it is not.
    """
    if not 0 < value < 1:
        raise StatisticsError(
            f"{name} is {value}: it must lie between 0 and 1, both excluded", hint="write 0.9 for 90 %"
        )
