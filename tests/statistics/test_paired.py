"""Times of the same work done at nearly the same moment: drift and single disturbances do not reach the ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.statistics.paired import Timed, log_ratio, mean_log_ratio


def timed(*seconds: float, turns: tuple[int, ...] | None = None) -> Timed:
    return Timed(seconds, tuple(range(len(seconds))) if turns is None else turns)


@given(st.floats(0.5, 2.0), st.integers(0, 2**32 - 1))
def test_a_speed_that_drifts_by_more_than_the_difference_cancels(ratio: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    machine = np.exp(np.cumsum(rng.normal(0, 0.2, (2, 9)), axis=1))
    other = {name: timed(*of) for name, of in zip("ab", machine, strict=True)}
    own = {name: timed(*(ratio * of)) for name, of in zip("ab", machine, strict=True)}
    assert log_ratio(own, other) == pytest.approx(math.log(ratio))


def test_one_disturbed_piece_does_not_decide() -> None:
    other = {"en": timed(1.0, 1.0, 1.0)}
    assert log_ratio({"en": timed(1.1, 90.0, 1.1)}, other) == pytest.approx(math.log(1.1))


def test_pieces_without_a_partner_are_left_out() -> None:
    own = {"en": timed(2.0, 2.0, 50.0, 2.0, turns=(0, 1, 1, 2)), "de": timed(7.0)}
    other = {"en": timed(1.0, 1.0, 9.0, turns=(0, 1, 3)), "fr": timed(1.0)}
    assert log_ratio(own, other) == pytest.approx(math.log(2))
    assert log_ratio({"de": timed(7.0)}, other) is None


def test_there_and_back_cancels_a_steady_drift() -> None:
    a, b, b2, a2 = ({"en": timed(math.exp(0.3 * at))} for at in range(4))
    assert mean_log_ratio([b, b2], [a, a2]) == pytest.approx(0.0)
    assert mean_log_ratio([], []) is None
    with pytest.raises(ValueError, match="shorter"):
        mean_log_ratio([b, b2], [a])
