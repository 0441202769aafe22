"""Exact nearest neighbours, one way and both ways with the ratio margin, against faiss's flat index.

Vectors are made up: around a common direction, as sentence embeddings are, and half of the candidates near a query, as
translations are. A margin is a pair's cosine over the mean cosine of both sides with their four neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.peers import flat_search
from benchmarks.race import Agreement, Contender, Difference, Race, Ready
from benchmarks.setting import Setting
from xstilts.inference.search import Neighbours, nearest, nearest_both
from xstilts.task_types.base import FloatArray

HIDDEN, NEIGHBOURS = 384, 4
NEAR = 1e-5
"""Cosines that differ by less are a tie in float32, or nearly."""
OURS, PEER = "xstilts", "faiss flat index"


def races(setting: Setting) -> Iterator[Race]:
    """Neighbours of the queries, then of both sides with margins."""
    count, seed = setting.search_rows, setting.seed
    flops = 2 * count * count * HIDDEN
    what = f"{count:,} x {count:,} x {HIDDEN}"

    def one_way() -> Ready:
        queries, candidates = vectors(count, seed)
        return Ready(lambda: [nearest(queries, candidates, NEIGHBOURS)])

    def one_search() -> Ready:
        queries, candidates = vectors(count, seed)
        return Ready(lambda: [flat_search(queries, candidates, NEIGHBOURS)])

    def both_ways() -> Ready:
        queries, candidates = vectors(count, seed)

        def call() -> list[Any]:
            found = nearest_both(queries, candidates, NEIGHBOURS)
            return [*found, margins(*found)]

        return Ready(call)

    def two_searches() -> Ready:
        queries, candidates = vectors(count, seed)

        def call() -> list[Any]:
            forward = flat_search(queries, candidates, NEIGHBOURS)
            backward = flat_search(candidates, queries, NEIGHBOURS)
            return [forward, backward, margins(forward, backward)]

        return Ready(call)

    for name, ours, theirs, rows in (
        ("search", one_way, one_search, count),
        ("search both ways, margin", both_ways, two_searches, 2 * count),
    ):
        yield Race(
            name=name,
            unit="queries",
            contenders={OURS: Contender(ours, rows, flops), PEER: Contender(theirs, rows, flops)},
            base=OURS,
            check=lambda answers: same_neighbours(answers, vectors(count, seed)),
            memory=True,
            notes={"vectors": what, "neighbours": NEIGHBOURS},
        )


@lru_cache(maxsize=1)
def vectors(count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Queries and candidates."""
    draws = np.random.default_rng(seed)
    common = draws.standard_normal(HIDDEN, dtype=np.float32)
    queries = draws.standard_normal((count, HIDDEN), dtype=np.float32)
    candidates = draws.standard_normal((count, HIDDEN), dtype=np.float32)
    half = draws.permutation(count)[: count // 2]
    candidates[half] *= 0.5
    candidates[half] += queries[draws.permutation(count)[: count // 2]]
    return queries + common, candidates + common


def margins(forward: Neighbours, backward: Neighbours) -> FloatArray:
    """The ratio margin of every query with its neighbours."""
    around, around_other = forward.scores.mean(axis=1), backward.scores.mean(axis=1)
    ratios: FloatArray = forward.scores / ((around[:, None] + around_other[forward.indices]) / 2)
    return ratios


def same_neighbours(answers: Mapping[str, list[Any]], sides: tuple[FloatArray, FloatArray]) -> Agreement:
    """The same neighbours in the same order; others are a tie if their cosines in float64 are as good.

    Margins are compared where both have the same pair: that of a tie has other neighbours, so another margin.
    """
    differences, places = [], 0
    forward, other_forward = (answers[name][0].indices for name in (OURS, PEER))
    for direction, (own, other) in enumerate(zip(answers[OURS], answers[PEER], strict=True)):
        if isinstance(own, Neighbours):
            queries, candidates = sides if direction == 0 else sides[::-1]
            places += own.indices.size
            for row, place in np.argwhere(own.indices != other.indices).tolist():
                pair = [int(found.indices[row, place]) for found in (own, other)]
                apart = abs(_cosine(queries[row], candidates[pair[0]]) - _cosine(queries[row], candidates[pair[1]]))
                differences.append(Difference(f"direction {direction} row {row} neighbour {place}: {pair}", apart))
        else:
            shared = np.where(forward == other_forward, np.abs(own - other), 0.0)
            differences += [
                Difference(f"margin {row}", float(d)) for row, d in enumerate(shared.max(1)) if not d <= NEAR
            ]
    return Agreement(f"{places} neighbours", differences, NEAR)


def _cosine(left: FloatArray, right: FloatArray) -> float:
    a, b = left.astype(np.float64), right.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
