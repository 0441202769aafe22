from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xstilts.errors import DataError, ModelError
from xstilts.inference.directions import Float64
from xstilts.inference.proposals import SPARE
from xstilts.inference.search import nearest, nearest_both
from xstilts.task_types.base import FloatArray


def rows(count: int, hidden: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, hidden)).astype(np.float32)


def unit(matrix: FloatArray) -> Float64:
    unit_rows: Float64 = matrix / np.sqrt(np.square(matrix, dtype=np.float64).sum(axis=1))[:, None]
    return unit_rows


def brute_force(queries: FloatArray, candidates: FloatArray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair by itself; falling score, then rising index."""
    left, right = unit(queries), unit(candidates)
    scores = np.array([[(q * c).sum() for c in right] for q in left])
    order = np.array([np.lexsort((np.arange(len(right)), -row))[:k] for row in scores])
    return np.take_along_axis(scores, order, 1), order


def with_repeats(distinct: FloatArray, count: int, seed: int) -> FloatArray:
    repeated: FloatArray = distinct[np.random.default_rng(seed).integers(0, len(distinct), count)]
    return repeated


@pytest.mark.parametrize("k", [1, 4, 50])
def test_equal_to_faiss_without_ties(k: int) -> None:
    queries, candidates = rows(200, 64, 1), rows(900, 64, 2)
    index = faiss.IndexFlatIP(64)
    index.add(unit(candidates).astype(np.float32))
    scores, indices = index.search(unit(queries).astype(np.float32), k)
    found = nearest(queries, candidates, k, block_rows=128)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


@pytest.mark.parametrize("k", [1, 4, 20])
@pytest.mark.parametrize("distinct", [1, 3, 30])
def test_equal_to_brute_force_with_many_duplicates(k: int, distinct: int) -> None:
    pool = rows(distinct, 24, 3)
    queries, candidates = with_repeats(pool, 60, 4), with_repeats(pool, 120, 5)
    scores, indices = brute_force(queries, candidates, k)
    found = nearest(queries, candidates, k, block_rows=17)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.scores, scores)


def test_ties_of_rows_that_are_not_equal_go_to_the_smaller_index() -> None:
    """Rows of the same direction, and mirrored ones, tie without being duplicates: more of them than proposals."""
    query = np.array([[1, 1, 0, 0]], np.float32)
    far = np.array([[-1, -1, 0, 0]], np.float32)
    ties = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 4, 0, 0]] * (SPARE + 4), np.float32)
    ties *= 2.0 ** np.arange(len(ties))[:, None] % 7 + 1
    candidates = np.concatenate([far, ties, far])
    found = nearest(query, candidates, 5)
    assert found.indices[0].tolist() == [1, 2, 3, 4, 5]
    assert np.ptp(found.scores) == 0


def test_near_ties_below_the_error_of_float32_are_ordered_exactly() -> None:
    """Forty candidates whose cosines differ by less than a float32 product can tell, among others far away."""
    draw = np.random.default_rng(6)
    base = draw.normal(size=256)
    queries = (base + draw.normal(size=(30, 256))).astype(np.float32)
    near = base + draw.normal(size=(40, 256)) * 1e-7
    candidates = np.concatenate([near, -base + draw.normal(size=(40, 256))]).astype(np.float32)
    scores, indices = brute_force(queries, candidates, 6)
    found = nearest(queries, candidates, 6)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.scores, scores)


@given(
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(1, 40),
    candidates=st.integers(1, 60),
    distinct=st.integers(1, 80),
    k=st.integers(1, 8),
    block_rows=st.integers(1, 70),
    noise=st.sampled_from([0.0, 1e-7, 1e-3, 1.0]),
)
@settings(max_examples=80)
def test_independent_of_block_size(
    seed: int, queries: int, candidates: int, distinct: int, k: int, block_rows: int, noise: float
) -> None:
    draw = np.random.default_rng(seed)
    pool = (draw.normal(size=48) + noise * draw.normal(size=(distinct, 48))).astype(np.float32)
    left, right = with_repeats(pool, queries, seed), with_repeats(pool, candidates, seed + 1)
    k = min(k, candidates)
    whole, cut = nearest(left, right, k), nearest(left, right, k, block_rows=block_rows)
    np.testing.assert_array_equal(cut.indices, whole.indices)
    np.testing.assert_array_equal(cut.scores, whole.scores)
    scores, indices = brute_force(left, right, k)
    np.testing.assert_array_equal(whole.indices, indices)
    np.testing.assert_array_equal(whole.scores, scores)


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 20),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_both_directions_of_one_product_are_two_searches(
    queries: int, candidates: int, k: int, block_rows: int, repeats: bool, seed: int
) -> None:
    left, right = rows(queries, 12, seed), rows(candidates, 12, seed + 1)
    if repeats:
        left, right = (
            with_repeats(left[:5], queries, seed),
            with_repeats(np.concatenate([left[:3], right]), candidates, seed),
        )
    forward, backward = nearest_both(left, right, k, block_rows=block_rows)
    for found, alone in (
        (forward, nearest(left, right, min(k, candidates))),
        (backward, nearest(right, left, min(k, queries))),
    ):
        np.testing.assert_array_equal(found.indices, alone.indices)
        np.testing.assert_array_equal(found.scores, alone.scores)


def test_directions_close_together_are_told_apart_without_the_slow_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """As first-token embeddings are: all within a thousandth of each other, far more than float32 loses in a product."""
    draw = np.random.default_rng(8)
    base = draw.normal(size=64)
    left, right = ((base + draw.normal(size=(n, 64)) * 3e-3).astype(np.float32) for n in (50, 300))
    scores, indices = brute_force(left, right, 4)
    back_scores, back_indices = brute_force(right, left, 4)
    monkeypatch.setattr("xstilts.inference.search._search_wide", lambda *_: pytest.fail("the slow search"))
    forward, backward = nearest_both(left, right, 4, block_rows=64)
    np.testing.assert_array_equal(forward.indices, indices)
    np.testing.assert_array_equal(backward.indices, back_indices)
    np.testing.assert_array_equal(forward.scores, scores)
    np.testing.assert_array_equal(backward.scores, back_scores)


def test_length_of_rows_plays_no_part() -> None:
    queries, candidates = rows(20, 16, 7), rows(50, 16, 8)
    scaled = candidates * np.float32(2) ** (np.arange(50) % 5)[:, None]
    np.testing.assert_array_equal(nearest(queries, candidates, 3).indices, nearest(queries, scaled, 3).indices)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["query", "candidate"])
def test_rows_that_are_not_finite_are_refused(bad: float, side: str) -> None:
    sides = {"query": rows(5, 4, 9), "candidate": rows(6, 4, 10)}
    sides[side][3, 2] = bad
    with pytest.raises(ModelError, match=f"{side} 3 "):
        nearest(sides["query"], sides["candidate"], 1)


def test_a_row_without_direction_is_refused() -> None:
    candidates = rows(6, 4, 11)
    candidates[5] = 0
    with pytest.raises(ModelError, match="candidate 5 has length 0"):
        nearest(rows(2, 4, 12), candidates, 1)


@pytest.mark.parametrize("k", [0, 7])
def test_more_neighbours_than_candidates_are_refused(k: int) -> None:
    with pytest.raises(DataError, match=f"{k} neighbours were asked of 6 candidates"):
        nearest(rows(2, 4, 13), rows(6, 4, 14), k)


def test_sides_of_different_width_are_refused() -> None:
    with pytest.raises(DataError, match="N x H"):
        nearest(rows(2, 4, 15), rows(6, 5, 16), 1)
