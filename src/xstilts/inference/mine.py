"""Mining parallel sentences by ratio margin, as XTREME does for BUCC 2018 (FACTS 2.3; Artetxe and Schwenk 2019).

The margin of a pair is its cosine divided by the mean cosine of both sentences with their k nearest neighbours on the
other side. Every sentence of either side proposes its best neighbour; of all proposals, by falling margin, a pair is
taken when neither of its sentences is taken yet (strategy "max").

Repeated sentences follow XTREME's rule: equal texts of one side are one sentence in the search, and a pair is dropped if
one of its sentences has several ids, because nothing says which id is meant. jiant gives the pair to all the ids instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from xstilts.inference.directions import Float64
from xstilts.inference.embed import Embeddings
from xstilts.inference.search import BLOCK_ROWS, Neighbours, nearest_both
from xstilts.task_types import Bitext
from xstilts.task_types.base import FloatArray, IntArray

NEIGHBOURS = 4
"""k of the ratio margin (FACTS 2.3)."""


class Pairs(NamedTuple):
    """Mined pairs by falling margin: rows of the queries, rows of the candidates, margins. P each."""

    queries: IntArray
    candidates: IntArray
    margins: Float64


def mine(
    queries: FloatArray,
    candidates: FloatArray,
    *,
    neighbours: int = NEIGHBOURS,
    block_rows: int = BLOCK_ROWS,
    device: torch.device | None = None,
) -> Pairs:
    """Match rows of ``queries`` (N x H) and ``candidates`` (M x H) one to one.

    A side with fewer than ``neighbours`` rows gives all it has. Equal margins are taken in the order of the query, then
    of the candidate. A margin must be finite and above 0, as in XTREME.
    """
    forward, backward = nearest_both(queries, candidates, neighbours, block_rows=block_rows, device=device)
    around_query, around_candidate = forward.scores.mean(axis=1), backward.scores.mean(axis=1)
    found, found_margin = _best(forward, around_query, around_candidate)
    finds, finds_margin = _best(backward, around_candidate, around_query)
    return _one_to_one(
        np.concatenate([np.arange(len(queries)), finds]),
        np.concatenate([found, np.arange(len(candidates))]),
        np.concatenate([found_margin, finds_margin]),
    )


def _best(neighbours: Neighbours, around: Float64, around_other: Float64) -> tuple[IntArray, Float64]:
    """The neighbour of largest margin for each row; of equal ones the nearer in the list."""
    base = (around[:, None] + around_other[neighbours.indices]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        margins = neighbours.scores / base
    margins = np.where(np.isfinite(margins), margins, -np.inf)
    best = margins.argmax(axis=1)[:, None]
    return np.take_along_axis(neighbours.indices, best, 1)[:, 0], np.take_along_axis(margins, best, 1)[:, 0]


def _one_to_one(queries: IntArray, candidates: IntArray, margins: Float64) -> Pairs:
    """Greedy matching by falling margin; equal margins by query, then candidate."""
    order = np.lexsort((candidates, queries, -margins))
    taken_queries: set[int] = set()
    taken_candidates: set[int] = set()
    kept = []
    for i, query, candidate in zip(order.tolist(), queries[order].tolist(), candidates[order].tolist(), strict=True):
        if query in taken_queries or candidate in taken_candidates:
            continue
        taken_queries.add(query)
        taken_candidates.add(candidate)
        if margins[i] > 0:
            kept.append(i)
    chosen = np.asarray(kept, np.int64)
    return Pairs(queries[chosen], candidates[chosen], margins[chosen])


def mined_rows(pairs: Pairs, bitext: Bitext, queries: Embeddings, candidates: Embeddings) -> Iterator[dict[str, Any]]:
    """``{"source": query id, "target": candidate id, "margin": x}`` by falling margin.

    Args:
        pairs: rows of the embeddings, where equal sentences are one row.
        bitext: gives the ids.
        queries, candidates: say which row is which sentence.
    """
    source, target = _single_ids(bitext.query_ids, queries), _single_ids(bitext.candidate_ids, candidates)
    for query, candidate, margin in zip(*(column.tolist() for column in pairs), strict=True):
        if query in source and candidate in target:
            yield {"source": source[query], "target": target[candidate], "margin": margin}


def _single_ids(ids: tuple[str, ...], embeddings: Embeddings) -> dict[int, str]:
    """Row -> id, for rows that stand for one sentence only."""
    times = np.bincount(embeddings.rows)
    return {row: ids[i] for row, i in enumerate(embeddings.sentences.tolist()) if times[row] == 1}
