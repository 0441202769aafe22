"""How far packed execution and plain padded transformers differ in float32; ``-s`` prints the figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import flat, make_batch, padded_inputs, tiny
from tiny_tasks import CLASSES, ENCODING, FAMILIES, RAGGED, STEP, TYPES, examples, head_of, largest, theirs
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModel

from xstilts.batching import gather
from xstilts.models.export import export
from xstilts.models.loading import load_encoder
from xstilts.models.model import Model
from xstilts.task_types import Features
from xstilts.training import TaskCourse, train


def told(figure: str) -> None:
    sys.stdout.write(f"\n{figure}")


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_of_every_layer_against_padded_transformers(family: str) -> None:
    batch = make_batch(RAGGED, types=family == "bert")
    plain = AutoModel.from_pretrained(tiny(family)).eval()
    with torch.no_grad():
        expected = plain(**padded_inputs(batch, 1, types=family == "bert"), output_hidden_states=True).hidden_states
        ours = load_encoder(tiny(family)).layers(batch)
    figure = max(largest(a, flat(b, batch.lengths)) for a, b in zip(ours, expected, strict=True))
    told(f"hidden states, {family}, float32: largest difference {figure:.1e}")
    assert figure < 1e-4


@pytest.mark.parametrize("shape", CLASSES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_every_head_against_padded_transformers(tmp_path: Path, family: str, shape: str) -> None:
    head, lengths = head_of(shape), RAGGED[:9]
    model = Model.start(tiny(family), head, seed=5)
    batch = make_batch(lengths, 3, read="first" if head.kind == "pooled" else "some", types=family == "bert")
    export(model, tmp_path, "task", shape, head.labels)
    inputs = padded_inputs(batch, 1, types=family == "bert")
    if shape == "multiple_choice":  # three examples of three choices
        inputs = {name: value.reshape(3, 3, -1) for name, value in inputs.items()}
    with torch.no_grad():
        output, ours = theirs(tmp_path, shape).eval()(**inputs), model.logits(batch)
    if shape == "span":
        expected = torch.stack([output.start_logits, output.end_logits], -1)
    else:
        expected = output.logits.reshape(9, 1) if shape == "multiple_choice" else output.logits
    figure = largest(ours, expected if head.kind == "pooled" else flat(expected, lengths)[batch.read])
    told(f"logits, {family}, {shape}, float32: largest difference {figure:.1e} (of {float(ours.abs().max()):.1f})")
    assert figure < 1e-4 and float(ours.std()) > 1e-3


def span_loss(output: Any, features: Features) -> Tensor:
    """Window by window: start and end among the positions that are read (transformers lets padding compete, too)."""
    losses = []
    assert features.targets is not None
    for window, gold in enumerate(torch.from_numpy(features.targets)):
        read = features.read[features.read_offsets[window] : features.read_offsets[window + 1]]
        for logits, target in zip((output.start_logits, output.end_logits), gold, strict=True):
            losses.append(cross_entropy(logits[window, read], target))
    return torch.stack(losses).mean()


def padded_step(model: Any, shape: str, features: Features, *, types: bool) -> None:
    """One update by plain transformers: one padded batch, its own loss, clipping, AdamW."""
    everything = gather(features, np.arange(features.num_sequences), torch.device("cpu"))
    inputs = padded_inputs(everything, 1, types=types)
    assert features.targets is not None
    labels = torch.from_numpy(features.targets)
    if shape == "multiple_choice":
        inputs = {name: value.reshape(-1, 3, value.shape[-1]) for name, value in inputs.items()}
    if shape == "tagging":
        block = torch.full_like(inputs["input_ids"], -100)
        row = np.repeat(np.arange(features.num_sequences), np.diff(features.read_offsets))
        block[row, features.read] = labels
        labels = block
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": STEP.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=STEP.learning_rate, eps=STEP.adam_epsilon, foreach=False)
    if shape == "span":
        torch.autograd.backward(span_loss(model.train()(**inputs), features))
    else:
        torch.autograd.backward(model.train()(**inputs, labels=labels).loss)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), STEP.clip_norm)
    assert norm > 2 * STEP.clip_norm, "clipping must take part in the comparison"
    optimizer.step()


@pytest.mark.parametrize("shape", TYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_step_against_padded_transformers(tmp_path: Path, family: str, shape: str) -> None:
    task_type, head = TYPES[shape], head_of(shape)
    model = Model.start(tiny(family), head, 5, dropout=0.0, attention_dropout=0.0)
    export(model, tmp_path / "before", "task", shape, head.labels)
    features = task_type.encode(examples(shape), model.tokenizer, ENCODING)
    plain = theirs(tmp_path / "before", shape)
    padded_step(plain, shape, features, types=family == "bert")
    options: dict[str, Any] = {"micro_batch_tokens": 100, "dev": None, "progress": lambda *_, **__: None}
    train(model, TaskCourse(task_type, features, STEP, seed=1), log=tmp_path / "log.jsonl", **options)
    export(model, tmp_path / "after", "task", shape, head.labels)
    ours, start = (load_file(tmp_path / name / "model.safetensors") for name in ("after", "before"))
    expected = plain.state_dict()
    figure = max(largest(weight, expected[name]) for name, weight in ours.items())
    moved = max(largest(weight, start[name]) for name, weight in ours.items())
    told(f"one AdamW step, {family}, {shape}, float32: largest difference {figure:.1e} (moved by up to {moved:.1e})")
    assert figure < 1e-4 and moved > 5e-4
