"""A trained model as an ordinary Hugging Face folder that ``AutoModelFor...`` loads with equal logits.

What transformers has no field for stands in xstilts.json. A family without a map of head names is written as a base model
with our head in a file beside it, and xstilts.json says so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xstilts.errors import ModelError, StoreError
from xstilts.model_source import TOKENIZER_FILES
from xstilts.models.families import FAMILIES, HeadNames
from xstilts.models.heads import MODULES
from xstilts.models.loading import WEIGHTS
from xstilts.models.precision import Precision
from xstilts.task_types import Head

if TYPE_CHECKING:
    from xstilts.models.model import Model

DESCRIPTION = "xstilts.json"
HEAD_WEIGHTS = "xstilts-head.safetensors"
_NOTICES = ("LICENSE", "LICENSE.txt", "NOTICE")


@dataclass(frozen=True)
class Description:
    """The content of xstilts.json."""

    task: str
    type: str
    head: Head | None
    precision: Precision
    architecture: str
    head_file: str  # where the head's weights are


def export(model: Model, out: Path, task_name: str, type_name: str, labels: Sequence[str] = ()) -> None:
    """Write config.json, model.safetensors, the source's tokenizer files and xstilts.json to ``out``.

    Args:
        model: what to write; weights are written as they are, float32.
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
    names = _head_names(name, type_name, shape)
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


def read_description(folder: Path) -> Description:
    """What xstilts.json of a folder says.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("task", "type", "architecture", "head_file"):
            _require(isinstance(content[name], str), name, content[name], "needed: a text")
        known = get_args(Precision)
        _require(content["precision"] in known, "precision", content["precision"], f"needed: {' or '.join(known)}")
        return Description(
            content["task"],
            content["type"],
            _read_shape(content["head"]),
            content["precision"],
            content["architecture"],
            content["head_file"],
        )
    except FileNotFoundError:
        raise ModelError(
            f"no {DESCRIPTION} in {str(folder)!r}: xstilts did not write this folder, so its head is unknown",
            hint="Model.start puts a new head on its encoder",
        ) from None
    except KeyError as error:
        raise ModelError(f"{DESCRIPTION} is damaged: it has no {error}", where=str(path)) from error
    except (OSError, TypeError, ValueError) as error:
        raise ModelError(f"{DESCRIPTION} is damaged: {error}", where=str(path)) from error


def _read_shape(head: Any) -> Head | None:
    """The head that xstilts.json describes; a ``ValueError`` says which field cannot be."""
    if head is None:
        return None
    kind, outputs, labels = head["kind"], head["num_outputs"], head["labels"]
    _require(kind in [*MODULES], "head.kind", kind, f"needed: {', '.join(MODULES)}")
    _require(type(outputs) is int and outputs > 0, "head.num_outputs", outputs, "needed: a number from 1")
    texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    _require(texts and len(set(labels)) == len(labels), "head.labels", labels, "needed: a list of different texts")
    _require(len(labels) in (0, outputs), "head.labels", f"{len(labels)} labels", f"the head has {outputs} outputs")
    return Head(kind, outputs, tuple(labels))


def _require(holds: bool, name: str, found: Any, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {str(found)[:100]!r}; {rule}")


def read_head(folder: Path, head: nn.Module, description: Description, model_type: str) -> None:
    """Fill ``head`` with its weights from the folder; only those are read.

    Raises:
        ModelError: weights are missing or of another shape.
    """
    names = _head_names(model_type, description.type, description.head)
    file = folder / (WEIGHTS if names else HEAD_WEIGHTS)
    try:
        with safe_open(file, framework="pt") as weights:
            found = {ours: weights.get_tensor(theirs) for ours, theirs in _translation(head, names).items()}
        head.load_state_dict(found)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"the head's weights cannot be loaded: {error}", where=str(file)) from error


def _with_labels(shape: Head | None, labels: Sequence[str]) -> Head | None:
    if shape is None:
        return None
    labels = tuple(labels) or shape.labels
    if labels and len(labels) != shape.num_outputs:
        raise ModelError(f"{len(labels)} labels for a head with {shape.num_outputs} outputs: {', '.join(labels[:20])}")
    return Head(shape.kind, shape.num_outputs, labels)


def _head_names(model_type: str, type_name: str, shape: Head | None) -> HeadNames | None:
    """How ``AutoModelFor...`` names this head; ``None`` when it has no such head."""
    if shape is None or model_type not in FAMILIES:
        return None
    names = FAMILIES[model_type].heads.get(type_name)
    return names if names is not None and set(names.modules) == MODULES[shape.kind] else None


def _architecture(model: Model, names: HeadNames | None) -> str:
    if names is None:
        return type(model.encoder.transformer).__name__
    return FAMILIES[str(model.encoder.config.model_type)].stem + names.suffix


def _translation(head: nn.Module, names: HeadNames | None) -> dict[str, str]:
    """Our name of each of the head's weights to the name in the file."""
    modules = {} if names is None else names.modules
    translated = {}
    for ours in head.state_dict():
        module, _, weight = ours.rpartition(".")
        translated[ours] = f"{modules.get(module, module)}.{weight}".lstrip(".")
    return translated


def _write_weights(model: Model, names: HeadNames | None, out: Path) -> None:
    encoder = model.encoder.transformer.state_dict()
    head = {} if model.head is None else model.head.state_dict()
    translation = {} if model.head is None else _translation(model.head, names)
    named = {translation[name]: weight for name, weight in head.items()}
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
    config: dict[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
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
