"""The example bootstrap: rows drawn again, with replacement, and their sums.

A score that is a function of sums over rows (see ``xstilts.metrics.additive``) is computed again from the sums of drawn rows.
Equal seeds and numbers of rows give equal draws, whatever is summed: so the same rows are drawn for both arms and all seeds,
and for all languages of a test set whose rows are translations of one another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from xstilts.errors import StatisticsError
from xstilts.statistics.samples import Floats

BLOCK = 1 << 20
"""So many drawn rows are held at a time."""


def resampled_sums(values: Floats, rounds: int, name: str) -> Floats:
    """Sums over rows drawn with replacement: ``rounds`` x columns.

    Args:
        values: rows x columns.
        rounds: how often as many rows as there are are drawn.
        name: of the set of rows; equal names and numbers of rows give equal draws.

    Raises:
        StatisticsError: there is no row or no round.
    """
    rows = len(values)
    if rows < 1 or rounds < 1:
        raise StatisticsError(f"{rounds} rounds of {rows} rows: at least one of each is needed")
    return np.concatenate([counts @ values for counts in _drawn(rows, rounds, name)])


def _drawn(rows: int, rounds: int, name: str) -> Iterator[Floats]:
    """How often each row is drawn in each round: rounds x rows, in blocks."""
    rng = np.random.default_rng(zlib.crc32(f"{name} {rows}".encode()))
    size = max(1, BLOCK // rows)
    for start in range(0, rounds, size):
        block = min(size, rounds - start)
        draws = rng.integers(0, rows, (block, rows)) + rows * np.arange(block)[:, None]
        yield np.bincount(draws.ravel(), minlength=block * rows).reshape(block, rows).astype(np.float64)
