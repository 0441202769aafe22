"""Sorting into runs loses nothing, mixes nothing, and is as cheap as it can be."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xstilts.models.layout import MAX_WASTE, POSITION_PAIRS, RUN_PAIRS, arrange, least_attention, select

CPU = torch.device("cpu")
lengths_of_a_batch = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@given(lengths_of_a_batch)
def test_sorting_and_restoring_gives_the_rows_back(lengths: list[int]) -> None:
    rows = torch.arange(sum(lengths) * 2.0).reshape(-1, 2)
    layout = arrange(lengths, CPU)
    assert torch.equal(layout.restore(layout.sort(rows)), rows)


@given(lengths_of_a_batch, st.booleans())
def test_runs_hold_every_sequence_once_sorted_by_length(lengths: list[int], whole_model: bool) -> None:
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    layout = arrange(lengths, CPU, whole_model=whole_model)
    seen = []
    for run, own in zip(layout.runs, layout.split(layout.sort(owner)), strict=True):
        block, mask = run.spread(own), run.mask(CPU)
        assert block.shape == (run.count, run.longest)
        real = torch.ones_like(block, dtype=torch.bool) if mask is None else mask
        for row, there in zip(block, real, strict=True):
            assert len(set(row.tolist())) == 1 and there.sum() == lengths[int(row[0])]
            assert there.tolist() == sorted(there.tolist(), reverse=True), "real ones first"
            seen.append(int(row[0]))
        assert torch.equal(run.flatten(block), own)
        assert not whole_model or 1 - run.size / block.numel() < MAX_WASTE
    assert sorted(seen) == list(range(len(lengths)))
    assert [lengths[i] for i in seen] == sorted(lengths)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=7))
def test_no_other_way_to_cut_costs_less_attention(lengths: list[int]) -> None:
    ordered = np.sort(np.array(lengths))

    def cost(cuts: list[tuple[int, int]]) -> int:
        total = 0
        for first, last in cuts:
            own = ordered[first:last]
            padded = own[0] != own[-1]
            total += RUN_PAIRS + len(own) * int(own[-1]) * (int(own[-1]) + POSITION_PAIRS * padded)
        return total

    places = range(1, len(lengths))
    ways = [(0, *inner, len(lengths)) for n in range(len(lengths)) for inner in combinations(places, n)]
    found = least_attention(ordered)
    assert found[0][0] == 0 and found[-1][1] == len(lengths)
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert cost(found) == min(cost([*pairwise(way)]) for way in ways)


@pytest.mark.parametrize(
    ("lengths", "runs"),
    [
        ([20, 21, 22, 23], [(0, 4)]),  # short ones: a run more costs more than their padding
        ([300, 340, 380, 384], [(0, 1), (1, 2), (2, 3), (3, 4)]),  # long ones: padding costs more than a run
        ([384] * 16, [(0, 16)]),
    ],
)
def test_long_sequences_are_cut_finer_than_short_ones(lengths: list[int], runs: list[tuple[int, int]]) -> None:
    assert least_attention(np.array(lengths)) == runs


@given(lengths_of_a_batch)
def test_positions_count_from_zero_in_every_sequence(lengths: list[int]) -> None:
    expected = [i for n in sorted(lengths) for i in range(n)]
    assert arrange(lengths, CPU).positions.tolist() == expected


def test_sorted_sequences_of_one_length_need_no_copies() -> None:
    layout = arrange([4, 4, 4], CPU)
    assert layout.order is None and len(layout.runs) == 1 and layout.runs[0].places is None


@given(lengths_of_a_batch)
def test_the_gradient_of_a_block_whose_copies_are_masked_is_that_of_its_rows(lengths: list[int]) -> None:
    layout = arrange(lengths, CPU)
    rows = torch.randn(sum(lengths), 2, dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(rows)
    total = torch.zeros((), dtype=torch.float64)
    for run, own, of_run in zip(layout.runs, layout.split(rows), layout.split(weights), strict=True):
        block, mask = run.spread(own), run.mask(CPU)
        spread = run.spread(of_run) if mask is None else run.spread(of_run) * mask[..., None]
        total = total + (block.square() * spread).sum()
    (ours,) = torch.autograd.grad(total, rows)
    torch.testing.assert_close(ours, 2 * rows.detach() * weights)


def test_gradient_of_select_equals_indexing() -> None:
    rows = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([4, 0, 8, 2])
    weights = torch.randn(4, 3, dtype=torch.float64)
    (ours,) = torch.autograd.grad((select(rows, index) * weights).sum(), rows)
    (plain,) = torch.autograd.grad((rows[index] * weights).sum(), rows)
    assert torch.equal(ours, plain)
