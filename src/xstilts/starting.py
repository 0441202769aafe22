"""The model that a node starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.graph.node import Node, Resources
from xstilts.hyperparameters import Training
from xstilts.inputs import base_model
from xstilts.models.model import Model
from xstilts.models.recomputing import recompute_layers
from xstilts.task_types import Head
from xstilts.training.kept import kept_folder


def start_folder(spec: Mapping[str, Any], parents: Mapping[str, Path], resources: Resources) -> Path:
    """The folder of the model that a node starts from: its parent's, one that its parent kept on the way, or a base model."""
    if "checkpoint" in spec:
        return kept_folder(parents["model"], spec["checkpoint"])
    return parents["model"] / "model" if "model" in parents else base_model(spec["model"], resources)


def start_model(
    node: Node,
    parents: Mapping[str, Path],
    resources: Resources,
    head: Head | Mapping[str, Head],
    settings: Training,
) -> Model:
    """That model with new heads, ready to be trained as ``settings`` and ``resources`` say."""
    model = Model.start(
        start_folder(node.spec, parents, resources),
        head,
        node.spec["seed"],
        precision=node.spec["precision"],
        device=resources.device,
        dropout=settings.dropout,
        attention_dropout=settings.attention_dropout,
        lora=settings.lora,
    )
    if resources.gradient_checkpointing:
        recompute_layers(model.encoder)
    return model
