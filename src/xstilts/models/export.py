"""A trained model as an ordinary Hugging Face folder that ``AutoModelFor...`` loads with equal logits.

What transformers has no field for stands in xstilts.json. A family without a map of head names is written as a base model
with our head in a file beside it, and xstilts.json says so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from xstilts.errors import ModelError, StoreError
from xstilts.model_source import TOKENIZER_FILES, config_of
from xstilts.models.adapters import plain_weights
from xstilts.models.description import DESCRIPTION, HEAD_WEIGHTS, Description, head_names, translation
from xstilts.models.families import FAMILIES, HeadNames
from xstilts.models.loading import WEIGHTS
from xstilts.models.model import Model
from xstilts.task_types import Head

_NOTICES = ("LICENSE", "LICENSE.txt", "NOTICE")


def export(model: Model, out: Path, task_name: str, type_name: str, labels: Sequence[str] = ()) -> None:
    """Write config.json, model.safetensors, the source's tokenizer files and xstilts.json to ``out``.

    Args:
        model: what to write; weights are written as they are, float32, adapters merged into those beside them.
        out: a folder without a model in it; made if missing.
        task_name: what it was trained on.
        type_name: the shape of that task (``classification``, ``multiple_choice``, ``tagging``, ``span``).
        labels: one for each output of a head that has labels, in the order of the outputs.

    Raises:
        ModelError: labels do not fit the head, or ``out`` already holds a model.
        StoreError: the folder cannot be written.
    """
    shape = _with_labels(model.head_shape, labels)
    if (out / "config.json").exists() or (out / WEIGHTS).exists():
        raise ModelError("a model is already there, and nothing is overwritten", where=str(out))
    name = str(model.encoder.config.model_type)
    names = head_names(name, type_name, shape)
    architecture = _architecture(model, names)
    description = Description(
        task_name, type_name, shape, model.precision, architecture, WEIGHTS if names or not shape else HEAD_WEIGHTS
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_weights(model, names, out)
        for file in (*TOKENIZER_FILES, *_NOTICES):
            if (model.source / file).is_file():
                shutil.copyfile(model.source / file, out / file)
        _write_json(out / "config.json", _config(model.source, architecture, shape))
        _write_json(out / DESCRIPTION, _as_json(description, model))
    except (OSError, SafetensorError) as error:
        raise StoreError(f"the model cannot be written: {error}", where=str(out)) from error


def _with_labels(shape: Head | None, labels: Sequence[str]) -> Head | None:
    if shape is None:
        return None
    labels = tuple(labels) or shape.labels
    if labels and len(labels) != shape.num_outputs:
        raise ModelError(f"{len(labels)} labels for a head with {shape.num_outputs} outputs: {', '.join(labels[:20])}")
    return Head(shape.kind, shape.num_outputs, labels)


def _architecture(model: Model, names: HeadNames | None) -> str:
    if names is None:
        return type(model.encoder.transformer).__name__
    return FAMILIES[str(model.encoder.config.model_type)].stem + names.suffix


def _write_weights(model: Model, names: HeadNames | None, out: Path) -> None:
    encoder = plain_weights(model.encoder.transformer)
    head = {} if model.head is None else model.head.state_dict()
    theirs = {} if model.head is None else translation(model.head, names)
    named = {theirs[name]: weight for name, weight in head.items()}
    if names is None:
        _save(encoder, out / WEIGHTS)
        if named:
            _save(named, out / HEAD_WEIGHTS)
        return
    prefix = FAMILIES[str(model.encoder.config.model_type)].prefix
    _save({**{f"{prefix}.{name}": weight for name, weight in encoder.items()}, **named}, out / WEIGHTS)


def _save(weights: Mapping[str, Tensor], path: Path) -> None:
    ready = {name: weight.detach().to("cpu", torch.float32).contiguous() for name, weight in weights.items()}
    save_file(ready, path, metadata={"format": "pt"})


def _config(source: Path, architecture: str, shape: Head | None) -> dict[str, Any]:
    """The source's config.json with the head's fields; dropout overrides of this training are not handed on."""
    config = config_of(source)
    for stale in ("id2label", "label2id", "num_labels", "torch_dtype", "problem_type"):
        config.pop(stale, None)
    config.update(architectures=[architecture], dtype="float32")
    if shape is not None and shape.kind != "masked_lm":
        labels = shape.labels or tuple(f"LABEL_{i}" for i in range(shape.num_outputs))
        config["num_labels"] = shape.num_outputs
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    return config


def _as_json(description: Description, model: Model) -> dict[str, Any]:
    shape, execution = description.head, model.encoder.execution
    beside = description.head_file == HEAD_WEIGHTS
    return {
        "task": description.task,
        "type": description.type,
        "head": None
        if shape is None
        else {"kind": shape.kind, "num_outputs": shape.num_outputs, "labels": list(shape.labels)},
        "labels": [] if shape is None else list(shape.labels),
        "precision": description.precision,
        "execution": {"kind": execution.kind, "reason": execution.reason},
        "architecture": description.architecture,
        "head_file": description.head_file,
        "note": f"no AutoModelFor... map for this family and shape: base model, head in {HEAD_WEIGHTS}"
        if beside
        else "",
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
