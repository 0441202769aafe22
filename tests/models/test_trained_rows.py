"""Training a part of the embedding matrix equals training all of it, and nothing of it is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch
from tiny_models import PACKED, PADDED, VOCABULARY, make_batch, tiny
from torch import Tensor, nn

from xstilts.batching.batch import Batch
from xstilts.hyperparameters import Training
from xstilts.models.encoder import Encoder
from xstilts.models.loading import load_encoder
from xstilts.models.trained_rows import trained_rows, whole_rows
from xstilts.training.optimizer import adamw, learning_rate

SETTINGS = Training(learning_rate=1e-2, weight_decay=0.3, warmup=0.1)
STEPS = 6


def batches() -> Iterator[Batch]:
    for step in range(STEPS):
        yield make_batch((7, 3, 12), seed=step)


def ids() -> np.ndarray:
    return np.concatenate([batch.input_ids.numpy() for batch in batches()])


def trained(family: str, within: bool) -> tuple[dict[str, Tensor], Tensor, int]:
    """Weights after some steps, what was said of an unseen text before the last one, and the optimizer's numbers."""
    encoder = load_encoder(tiny(family)).train()
    for module in encoder.modules():  # not by the config: ModernBERT has no one name for it, and its default is none
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    context: AbstractContextManager[None] = trained_rows(encoder, ids()) if within else nullcontext()
    with context:
        optimizer = adamw(encoder, SETTINGS)
        for step, batch in enumerate(batches()):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, STEPS, SETTINGS)
            optimizer.zero_grad()
            encoder(batch).square().mean().backward()
            optimizer.step()
            if step == STEPS - 2:
                said = everything(encoder)
        numbers = sum(value.numel() for state in optimizer.state.values() for value in state.values())
    return {name: w.detach().clone() for name, w in encoder.state_dict().items()}, said, numbers


def everything(encoder: Encoder) -> Tensor:
    """Hidden states of a text that holds the whole vocabulary, in evaluation mode."""
    lengths = (20,) * (VOCABULARY // 20)
    batch = make_batch(lengths)
    whole = Batch(torch.arange(VOCABULARY), batch.type_ids, lengths, batch.read, batch.read_counts, batch.sequences)
    with torch.no_grad():
        states: Tensor = encoder.eval()(whole)
    encoder.train()
    return states


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_equal_to_training_the_whole_matrix(family: str) -> None:
    weights, said, numbers = trained(family, within=True)
    expected, expected_said, all_numbers = trained(family, within=False)
    assert weights.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, atol=2e-5, rtol=1e-4, msg=name)
    torch.testing.assert_close(said, expected_said, atol=1e-4, rtol=1e-4)
    assert numbers < all_numbers


def test_rows_that_are_not_met_decay_as_they_would_have() -> None:
    before = load_encoder(tiny("xlm-roberta")).transformer.get_input_embeddings().weight.detach()
    weights, _, _ = trained("xlm-roberta", within=True)
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    left = np.setdiff1d(np.arange(VOCABULARY), ids())
    assert 0 < len(left) < VOCABULARY
    factor = np.prod([1 - learning_rate(s, STEPS, SETTINGS) * SETTINGS.weight_decay for s in range(STEPS)])
    torch.testing.assert_close(weights[name][left], before[left] * float(factor))
    assert factor < 0.999


def test_a_training_text_that_was_not_announced_is_refused_and_the_matrix_comes_back() -> None:
    encoder = load_encoder(tiny("bert")).train()
    whole = encoder.transformer.get_input_embeddings()
    before = whole.weight.detach().clone()
    with pytest.raises(IndexError), trained_rows(encoder, np.array([3, 4, 4])):
        encoder(make_batch((7, 3)))
    assert encoder.transformer.get_input_embeddings() is whole
    assert torch.equal(whole.weight, before)


def test_the_whole_matrix_can_be_read_on_the_way_and_training_goes_on() -> None:
    encoder = load_encoder(tiny(PACKED[0])).train()
    with trained_rows(encoder, ids()[:5]):
        rows = encoder.transformer.get_input_embeddings()
        with torch.no_grad():
            rows.weight.mul_(0.5)  # as weight decay leaves them, the row of ones too
        with whole_rows(encoder):
            read = {name: weight.detach().clone() for name, weight in encoder.state_dict().items()}
        assert encoder.transformer.get_input_embeddings() is rows
        with whole_rows(encoder):
            assert all(torch.equal(weight, read[name]) for name, weight in encoder.state_dict().items())
    left = encoder.state_dict()
    assert list(left) == list(read)
    assert all(torch.equal(weight, read[name]) for name, weight in left.items())
    with whole_rows(encoder):
        assert encoder.state_dict().keys() == left.keys()
