"""What an exported folder says of itself in xstilts.json, and its head's weights: read here, written by ``export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open
from torch import nn

from xstilts.errors import ModelError
from xstilts.models.families import FAMILIES, HeadNames
from xstilts.models.heads import MODULES
from xstilts.models.loading import WEIGHTS
from xstilts.models.precision import Precision
from xstilts.outside import open_plain, read_object
from xstilts.task_types import Head

DESCRIPTION = "xstilts.json"
HEAD_WEIGHTS = "xstilts-head.safetensors"


@dataclass(frozen=True)
class Description:
    """The content of xstilts.json."""

    task: str
    type: str
    head: Head | None
    precision: Precision
    architecture: str
    head_file: str  # where the head's weights are


def read_description(folder: Path) -> Description:
    """What xstilts.json of a folder says.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = folder / DESCRIPTION
    try:
        content = read_object(path)
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
    _require(isinstance(kind, str) and kind in MODULES, "head.kind", kind, f"needed: {', '.join(MODULES)}")
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
    names = head_names(model_type, description.type, description.head)
    file = folder / (WEIGHTS if names else HEAD_WEIGHTS)
    try:
        open_plain(file).close()  # the library would wait for whoever writes into a pipe
        with safe_open(file, framework="pt") as weights:
            found = {ours: weights.get_tensor(theirs) for ours, theirs in translation(head, names).items()}
        head.load_state_dict(found)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"the head's weights cannot be loaded: {error}", where=str(file)) from error


def head_names(model_type: str, type_name: str, shape: Head | None) -> HeadNames | None:
    """How ``AutoModelFor...`` names this head; ``None`` when it has no such head."""
    if shape is None or model_type not in FAMILIES:
        return None
    names = FAMILIES[model_type].heads.get(type_name)
    return names if names is not None and set(names.modules) == MODULES[shape.kind] else None


def translation(head: nn.Module, names: HeadNames | None) -> dict[str, str]:
    """Our name of each of the head's weights to the name in the file."""
    modules = {} if names is None else names.modules
    translated = {}
    for ours in head.state_dict():
        module, _, weight = ours.rpartition(".")
        translated[ours] = f"{modules.get(module, module)}.{weight}".lstrip(".")
    return translated
