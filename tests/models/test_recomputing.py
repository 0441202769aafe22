"""Gradient checkpointing: the gradients of an ordinary training to the last bit, dropout included, in less memory."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from tiny_models import PACKED, make_batch, tiny, write_folder
from torch import Tensor, nn

from xstilts.errors import ModelError
from xstilts.models.model import Model
from xstilts.models.recomputing import recompute_layers
from xstilts.task_types import Head

LENGTHS = (7, 12, 3, 12, 20)
FAMILIES = [*PACKED, "electra", "distilbert", "modernbert"]
Kind = Literal["pooled", "token"]
HEADS: dict[Kind, str] = {"pooled": "first", "token": "every second"}


def started(folder: Any, kind: Kind, *, recompute: bool) -> Model:
    dropout = None if "modernbert" in str(folder) else 0.3  # its layers have no dropout but that of attention
    model = Model.start(folder, Head(kind, 4), 0, dropout=dropout, attention_dropout=0.2)
    if recompute:
        recompute_layers(model.encoder)
    return model.train()


def gradients(model: Model, read: str) -> tuple[float, dict[str, Tensor]]:
    torch.manual_seed(11)
    batch = make_batch(LENGTHS, read=read)
    loss = model.logits(batch).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    drawn_after = torch.rand(3)  # the generator stands where it would: what is drawn next is the same too
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), {**found, "drawn after": drawn_after}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_equal_to_the_last_bit_with_dropout(family: str, kind: Kind) -> None:
    (plain, of_plain), (less, of_less) = (
        gradients(started(tiny(family), kind, recompute=recompute), HEADS[kind]) for recompute in (False, True)
    )
    assert plain == less
    assert of_plain.keys() == of_less.keys()
    assert all(torch.equal(of_plain[name], of_less[name]) for name in of_plain)


def test_bfloat16_too() -> None:
    found = []
    for recompute in (False, True):
        model = Model.start(tiny("xlm-roberta"), Head("token", 4), 0, precision="bf16", dropout=0.3)
        if recompute:
            recompute_layers(model.encoder)
        found.append(gradients(model.train(), "every second")[1])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def kept_bytes(model: Model) -> int:
    """Bytes that the forward pass keeps for the backward pass, weights left out."""
    weights = {p.data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.logits(make_batch(LENGTHS))
    return sum(kept.values())


def test_less_is_kept_and_every_layer_but_the_last_runs_twice(tmp_path: Any) -> None:
    folder = write_folder(tmp_path / "deep", "xlm-roberta", num_hidden_layers=6)
    plain, less = (started(folder, "pooled", recompute=recompute) for recompute in (False, True))
    assert kept_bytes(less) < kept_bytes(plain) / 2
    assert less.encoder.stack is not None
    ran = [0] * 6
    for number, layer in enumerate(less.encoder.stack):

        def count(_: nn.Module, __: Any, number: int = number) -> None:
            ran[number] += 1

        layer.get_submodule("attention.self").register_forward_pre_hook(count)
    gradients(less, "first")
    assert ran == [2, 2, 2, 2, 2, 1]
    ran[:] = [0] * 6
    with torch.no_grad():
        less.eval().logits(make_batch(LENGTHS))
    assert ran == [1] * 6


def test_a_family_whose_layers_are_not_one_list_is_refused() -> None:
    with pytest.raises(ModelError, match=r"(?s)'albert'.*without --gradient-checkpointing"):
        recompute_layers(Model.start(tiny("albert"), Head("pooled", 2)).encoder)
