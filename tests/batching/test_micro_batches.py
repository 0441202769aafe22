from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xstilts.batching import epoch_order, gather, inference_batches, micro_batches
from xstilts.task_types import Features

# One list of sequence lengths for each example.
EXAMPLES = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5), max_size=12)
BUDGETS = st.integers(1, 120)


def features_of(examples: list[list[int]]) -> Features:
    """Features with those lengths: every token has its own id and every position is read."""
    lengths = [n for example in examples for n in example]
    total, offsets = sum(lengths), np.cumsum([0, *lengths])
    return Features(
        input_ids=np.arange(total, dtype=np.int32),
        type_ids=(np.arange(total) % 2).astype(np.int8),
        offsets=offsets,
        example=np.repeat(np.arange(len(examples)), [len(e) for e in examples]),
        read=np.concatenate([np.arange(n) for n in lengths] or [np.zeros(0, np.int64)]).astype(np.int64),
        read_offsets=offsets,
        num_examples=len(examples),
    )


@given(EXAMPLES, BUDGETS)
def test_micro_batches_keep_examples_whole_and_within_the_budget(examples: list[list[int]], budget: int) -> None:
    features = features_of(examples)
    parts = micro_batches(features.lengths, features.example, budget)
    flat = [int(i) for part in parts for i in part]
    assert sorted(flat) == list(range(features.num_sequences))
    owners = [features.example[part].tolist() for part in parts]
    for part, owner in zip(parts, owners, strict=True):
        assert features.lengths[part].sum() <= budget or len(set(owner)) == 1
        runs = [o for o, before in zip(owner, [None, *owner], strict=False) if o != before]
        assert len(runs) == len(set(runs)), "the sequences of an example stand next to each other"
        assert all(a < b for a, b in pairwise(part) if features.example[a] == features.example[b])
    assert sum(len(set(owner)) for owner in owners) == len(examples), "no example is in two micro-batches"
    longest = [max(examples[o]) for owner in owners for o in dict.fromkeys(owner)]
    assert longest == sorted(longest, reverse=True)


@given(EXAMPLES, BUDGETS)
def test_inference_batches_hold_each_sequence_once_sorted_and_within_the_budget(
    examples: list[list[int]], budget: int
) -> None:
    features = features_of(examples)
    parts = inference_batches(features, budget)
    assert sorted(int(i) for part in parts for i in part) == list(range(features.num_sequences))
    assert all(features.lengths[part].sum() <= budget or len(part) == 1 for part in parts)
    lengths = [int(features.lengths[i]) for part in parts for i in part]
    assert lengths == sorted(lengths, reverse=True)


def test_greedy_cut_leaves_no_room_unused() -> None:
    parts = micro_batches(np.array([4, 4, 4, 4]), np.arange(4), 8)
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3]]


def test_a_budget_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="token budget of 0"):
        micro_batches(np.array([3]), np.array([0]), 0)


@given(EXAMPLES)
def test_gather_puts_sequences_end_to_end_and_moves_what_is_read(examples: list[list[int]]) -> None:
    features = features_of(examples)
    sequences = np.arange(features.num_sequences)[::2][::-1].copy()
    batch = gather(features, sequences, torch.device("cpu"))
    wanted = [features.input_ids[features.offsets[s] : features.offsets[s + 1]] for s in sequences]
    assert batch.input_ids.tolist() == [int(t) for ids in wanted for t in ids]
    assert batch.lengths == tuple(len(ids) for ids in wanted) == batch.read_counts
    assert batch.read.tolist() == list(range(batch.num_tokens)), "here every position is read"


@given(st.integers(0, 200), st.integers(0, 2**32), st.integers(0, 50))
def test_epoch_order_is_a_permutation_and_a_function_of_seed_and_epoch(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count))
    epoch_order.cache_clear()
    assert np.array_equal(order, epoch_order(count, seed, epoch))


def test_epoch_order_follows_the_documented_rule() -> None:
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((3, 1))))
    assert np.array_equal(epoch_order(50, 3, 1), generator.permutation(50))
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
