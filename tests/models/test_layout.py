"""Sorting into runs loses nothing, mixes nothing, and wastes less than a quarter of any block."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from xstilts.models.layout import MAX_WASTE, arrange, select

CPU = torch.device("cpu")
lengths_of_a_batch = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@given(lengths_of_a_batch)
def test_sorting_and_restoring_gives_the_rows_back(lengths: list[int]) -> None:
    rows = torch.arange(sum(lengths) * 2.0).reshape(-1, 2)
    layout = arrange(lengths, CPU)
    assert torch.equal(layout.restore(layout.sort(rows)), rows)


@given(lengths_of_a_batch)
def test_runs_hold_every_sequence_once_sorted_by_length(lengths: list[int]) -> None:
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    layout = arrange(lengths, CPU)
    seen = []
    for run in layout.runs:
        block, mask = run.pad(layout.sort(owner), -1), run.mask(CPU)
        assert block.shape == (run.count, run.longest)
        for row in block:
            real = row[row >= 0]
            assert len(set(real.tolist())) == 1 and len(real) == lengths[int(real[0])]
            seen.append(int(real[0]))
        assert torch.equal(mask if mask is not None else torch.ones_like(block, dtype=torch.bool), block >= 0)
        assert torch.equal(run.flatten(block), layout.sort(owner)[run.start : run.stop])
        assert 1 - (run.stop - run.start) / block.numel() < MAX_WASTE
    assert sorted(seen) == list(range(len(lengths)))
    assert [lengths[i] for i in seen] == sorted(lengths)


@given(lengths_of_a_batch)
def test_positions_count_from_zero_in_every_sequence(lengths: list[int]) -> None:
    expected = [i for n in sorted(lengths) for i in range(n)]
    assert arrange(lengths, CPU).positions.tolist() == expected


def test_sorted_sequences_of_one_length_need_no_copies() -> None:
    layout = arrange([4, 4, 4], CPU)
    assert layout.order is None and len(layout.runs) == 1 and layout.runs[0].places is None


def test_gradient_of_select_equals_indexing() -> None:
    rows = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([4, 0, 8, 2])
    weights = torch.randn(4, 3, dtype=torch.float64)
    (ours,) = torch.autograd.grad((select(rows, index) * weights).sum(), rows)
    (plain,) = torch.autograd.grad((rows[index] * weights).sum(), rows)
    assert torch.equal(ours, plain)
