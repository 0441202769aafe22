from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xstilts.inference.embed import Embeddings
from xstilts.inference.mine import Pairs, mine, mined_rows
from xstilts.task_types import Bitext
from xstilts.task_types.base import FloatArray


def slow_mining(queries: list[list[float]], candidates: list[list[float]], k: int) -> list[tuple[int, int, float]]:
    """Ratio margin mining in plain Python, from the formula: an independent reading of the protocol."""

    def cosine(a: list[float], b: list[float]) -> float:
        return math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

    cosines = [[cosine(q, c) for c in candidates] for q in queries]
    forward = [sorted(range(len(candidates)), key=lambda j: -row[j])[:k] for row in cosines]
    backward = [sorted(range(len(queries)), key=lambda i: -cosines[i][j])[:k] for j in range(len(candidates))]
    around_query = [sum(cosines[i][j] for j in near) / len(near) for i, near in enumerate(forward)]
    around_candidate = [sum(cosines[i][j] for i in near) / len(near) for j, near in enumerate(backward)]

    def margin(i: int, j: int) -> float:
        return cosines[i][j] / ((around_query[i] + around_candidate[j]) / 2)

    proposals = [(i, max(near, key=lambda j: margin(i, j))) for i, near in enumerate(forward)]
    proposals += [(max(near, key=lambda i: margin(i, j)), j) for j, near in enumerate(backward)]
    mined: list[tuple[int, int, float]] = []
    for i, j in sorted(proposals, key=lambda pair: -margin(*pair)):
        if all(i != a and j != b for a, b, _ in mined):
            mined.append((i, j, margin(i, j)))
    return mined


def noisy_sides(seed: int, queries: int, candidates: int, noise: float) -> tuple[FloatArray, FloatArray]:
    """Two sides that share directions: positive cosines, as encoders give."""
    draw = np.random.default_rng(seed)
    centre = draw.normal(size=12) * 2
    shared = draw.normal(size=(max(queries, candidates), 12)) + centre
    left = shared[:queries] + noise * draw.normal(size=(queries, 12))
    right = shared[:candidates] + noise * draw.normal(size=(candidates, 12))
    return left.astype(np.float32), right.astype(np.float32)


@pytest.mark.parametrize(("queries", "candidates"), [(40, 40), (30, 55), (55, 30), (3, 20), (1, 1)])
@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_equal_to_plain_python(queries: int, candidates: int, noise: float) -> None:
    left, right = noisy_sides(queries, queries, candidates, noise)
    pairs = mine(left, right, block_rows=16)
    expected = slow_mining(left.tolist(), right.tolist(), k=4)
    assert list(zip(pairs.queries.tolist(), pairs.candidates.tolist(), strict=True)) == [(i, j) for i, j, _ in expected]
    np.testing.assert_allclose(pairs.margins, [m for _, _, m in expected], rtol=1e-5)


@given(seed=st.integers(0, 10**6), queries=st.integers(1, 25), candidates=st.integers(1, 25))
@settings(max_examples=40)
def test_one_to_one_by_falling_margin(seed: int, queries: int, candidates: int) -> None:
    pairs = mine(*noisy_sides(seed, queries, candidates, 1.0))
    assert len(set(pairs.queries.tolist())) == len(pairs.queries) == len(set(pairs.candidates.tolist()))
    assert (np.diff(pairs.margins) <= 0).all()
    assert (pairs.margins > 0).all()


def test_a_hub_does_not_win() -> None:
    """A candidate near everything has the larger cosine; the margin prefers the one that is near the query only."""
    pair = [np.cos(0.5), np.sin(0.5), 0.0]
    queries = np.array([[1, 0, 0], [0.9, -0.1, 0.5], [0.9, -0.2, -0.5], [0.9, -0.4, 0.1]], np.float32)
    hub = [0.97, -0.15, 0.0]
    candidates = np.array([hub, pair, [-1, 0, 0.1], [-1, 0, -0.1], [-1, 0.1, 0]], np.float32)
    cosine = candidates @ queries[0] / np.linalg.norm(candidates, axis=1)
    assert cosine.argmax() == 0
    mined = mine(queries, candidates, neighbours=2)
    assert (0, 1) in set(zip(mined.queries.tolist(), mined.candidates.tolist(), strict=True))


def test_equal_margins_go_to_the_first_rows() -> None:
    same = np.ones((3, 4), np.float32)
    pairs = mine(same, same)
    assert pairs.queries.tolist() == [0] and pairs.candidates.tolist() == [0]
    assert pairs.margins.tolist() == [1.0]


def test_pairs_of_negative_margin_are_not_mined() -> None:
    draw = np.random.default_rng(5)
    left, right = draw.normal(size=(5, 2)).astype(np.float32), draw.normal(size=(5, 2)).astype(np.float32)
    proposed = slow_mining(left.tolist(), right.tolist(), k=4)
    assert min(margin for _, _, margin in proposed) < 0
    pairs = mine(left, right)
    assert set(zip(pairs.queries.tolist(), pairs.candidates.tolist(), strict=True)) == {
        (i, j) for i, j, margin in proposed if margin > 0
    }


def embeddings(texts: tuple[str, ...]) -> Embeddings:
    numbers: dict[str, int] = {}
    return Embeddings(Path(), np.array([numbers.setdefault(t, len(numbers)) for t in texts]), (0,), ("mean",))


def test_pairs_of_repeated_sentences_are_dropped_as_xtreme_does() -> None:
    """ "b" stands under two ids on the source side, "Y" on the target side: nothing says which id is meant."""
    bitext = Bitext("zh", ("s1", "s2", "s3", "s4"), ("a", "b", "b", "c"), ("t1", "t2", "t3"), ("X", "Y", "Y"), None)
    pairs = Pairs(np.array([1, 0, 2]), np.array([0, 1, 0]), np.array([1.5, 1.25, 1.0]))
    rows = list(mined_rows(pairs, bitext, embeddings(bitext.queries), embeddings(bitext.candidates)))
    assert rows == [{"source": "s4", "target": "t1", "margin": 1.0}]
