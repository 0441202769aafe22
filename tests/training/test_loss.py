from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy
from toys import SHAPES, Toy, toy, word_tokenizer

from xstilts.batching import gather, micro_batches, ranges
from xstilts.errors import TrainingError
from xstilts.task_types import Features, Retrieval
from xstilts.training.loss import num_items, summed_loss, targets_of

CPU = torch.device("cpu")
TOYS = {shape: toy(shape, 12) for shape in SHAPES}
FEATURES = {s: t.type.encode(t.examples, word_tokenizer(), t.encoding) for s, t in TOYS.items()}


def logits_of(task: Toy, features: Features, seed: int) -> Tensor:
    assert task.type.head is not None
    return torch.randn(len(features.read), task.type.head.num_outputs, generator=torch.Generator().manual_seed(seed))


def loss_of(task: Toy, features: Features, sequences: Any, logits: Tensor) -> Tensor:
    """The summed loss of some sequences when ``logits`` (of all read positions) came out."""
    counts = np.diff(features.read_offsets)[sequences]
    rows = torch.from_numpy(ranges(features.read_offsets[sequences], counts))
    targets = targets_of(task.type, features, sequences, CPU)
    return summed_loss(task.type, gather(features, sequences, CPU), logits[rows], targets)


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 1000), budget=st.integers(10, 400))
@settings(max_examples=25)
def test_micro_batches_add_up_to_the_loss_of_the_step(shape: str, seed: int, budget: int) -> None:
    task, features = TOYS[shape], FEATURES[shape]
    logits = logits_of(task, features, seed)
    everything = np.arange(features.num_sequences)
    parts = micro_batches(features.lengths, features.example, budget)
    whole = loss_of(task, features, everything, logits)
    torch.testing.assert_close(sum(loss_of(task, features, p, logits) for p in parts), whole)
    assert sum(num_items(task.type, features, p) for p in parts) == num_items(task.type, features, everything)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_is_the_one_written_down(shape: str) -> None:
    task, features = TOYS[shape], FEATURES[shape]
    logits = logits_of(task, features, 1)
    targets = torch.from_numpy(features.targets)
    log_probabilities = logits.log_softmax(-1)
    if shape in ("classification", "tagging"):
        wanted = -sum(log_probabilities[i, t] for i, t in enumerate(targets))
        items = len(logits)
    elif shape == "multiple_choice":
        wanted = -sum(logits[3 * i : 3 * i + 3, 0].log_softmax(0)[t] for i, t in enumerate(targets))
        items = len(task.examples)
    else:
        starts = features.read_offsets
        windows = [logits[a:b] for a, b in pairwise(starts)]
        wanted = sum(
            (cross_entropy(w[:, 0], t[0]) + cross_entropy(w[:, 1], t[1])) / 2
            for w, t in zip(windows, targets, strict=True)
        )
        items = len(windows)
    everything = np.arange(features.num_sequences)
    torch.testing.assert_close(loss_of(task, features, everything, logits), torch.as_tensor(wanted))
    assert num_items(task.type, features, everything) == items


def test_windows_of_different_lengths_give_finite_gradients() -> None:
    task, features = TOYS["span"], FEATURES["span"]
    assert len(set(np.diff(features.read_offsets))) > 1
    logits = logits_of(task, features, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(task, features, np.arange(features.num_sequences), logits), logits)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_half_precision_logits_are_summed_in_float32() -> None:
    task, features = TOYS["tagging"], FEATURES["tagging"]
    logits = logits_of(task, features, 3).bfloat16()
    loss = loss_of(task, features, np.arange(features.num_sequences), logits)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(task, features, np.arange(features.num_sequences), logits.float()))


def test_a_shape_without_a_head_has_no_loss() -> None:
    features = FEATURES["classification"]
    with pytest.raises(TrainingError, match="retrieval"):
        num_items(Retrieval("nearest"), features, np.arange(2))


def test_missing_gold_is_refused() -> None:
    task = TOYS["classification"]
    features = dataclasses.replace(FEATURES["classification"], targets=None)
    with pytest.raises(TrainingError, match="no gold"):
        loss_of(task, features, np.arange(2), torch.zeros(len(features.read), 2))
