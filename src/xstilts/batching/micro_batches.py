"""Cutting sequences into batches that fit a token budget.

A budget bounds memory and nothing else: the loss is divided by the whole step's count, so what a training computes does
not depend on it except for rounding and for which dropout masks are drawn.
"""

from __future__ import annotations

import numpy as np

from xstilts.task_types import Features
from xstilts.task_types.base import IntArray


def micro_batches(lengths: IntArray, examples: IntArray, token_budget: int) -> list[IntArray]:
    """Cut the sequences of one optimizer step into micro-batches of at most ``token_budget`` sub-words.

    Args:
        lengths: sub-words of each sequence, N.
        examples: the example each sequence belongs to, N; the sequences of one example stand next to each other.
        token_budget: the largest sum of lengths of a micro-batch, at least 1.

    Returns:
        Positions in ``lengths``; each appears once. The sequences of one example (choices, windows) stay together and in
        order. Examples with long sequences come first, so that neighbours are of like length and a lack of memory shows
        in the first micro-batch. An example above the budget is a micro-batch of its own.
    """
    if len(lengths) == 0:
        return []
    firsts = np.flatnonzero(np.concatenate(([True], examples[1:] != examples[:-1])))
    ends = np.append(firsts[1:], len(lengths))
    tokens = np.add.reduceat(lengths, firsts)
    longest = np.maximum.reduceat(lengths, firsts)
    by_length = np.argsort(-longest, kind="stable")
    return [
        np.concatenate([np.arange(firsts[g], ends[g], dtype=np.int64) for g in by_length[part]])
        for part in _cut(tokens[by_length], token_budget)
    ]


def inference_batches(features: Features, token_budget: int) -> list[IntArray]:
    """All sequences of ``features``, longest first over the whole set, in batches of at most ``token_budget`` sub-words.

    Logits of one sequence depend on no other, so here the sequences of an example may part.
    """
    by_length = np.argsort(-features.lengths, kind="stable")
    return [by_length[part] for part in _cut(features.lengths[by_length], token_budget)]


def _cut(tokens: IntArray, token_budget: int) -> list[slice]:
    """Consecutive parts of ``tokens`` that each sum to at most ``token_budget``, or hold one item above it."""
    if token_budget < 1:
        raise ValueError(f"a token budget of {token_budget}: it must be at least 1")
    before = np.concatenate(([0], np.cumsum(tokens)))
    parts, start = [], 0
    while start < len(tokens):
        end = int(np.searchsorted(before, before[start] + token_budget, side="right")) - 1
        end = max(end, start + 1)
        parts.append(slice(start, end))
        start = end
    return parts
