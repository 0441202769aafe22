"""The model that trainings and evaluations start from: found on disk, made from scratch, drawn, or with fewer layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from xstilts.errors import StudyError
from xstilts.graph.node import Node
from xstilts.hyperparameters import Pretraining
from xstilts.model_choice import ModelChoice
from xstilts.model_source import ModelSource, longest_of
from xstilts.plan.checks import check_lengths
from xstilts.plan.texts import writes_text
from xstilts.shapes import shape_config
from xstilts.study import Study
from xstilts.study_files import StudyFiles

Add = Callable[[str, dict[str, Any], dict[str, str], dict[str, Any]], Node]
"""``add(kind, spec, parents, labels)`` gives the node of the plan."""


@dataclass(frozen=True)
class Start:
    """A base model (in the spec) or a node (a parent).

    Args:
        spec: what a node that starts from it says of it.
        parents: role -> key.
        num_layers: of the encoder.
        writes_text: it is trained and asked as a text-to-text model.
    """

    spec: dict[str, Any]
    parents: dict[str, str]
    num_layers: int
    writes_text: bool = False

    def then(self, node: Node) -> Start:
        """The model that ``node`` made of this one."""
        return replace(self, spec={}, parents={"model": node.key})


@dataclass(frozen=True)
class Starts:
    """Where each model of a study begins; a node that makes one is shared by all arms and seeds."""

    study: Study
    files: StudyFiles
    precision: str
    add: Add

    def of(self, name: str, choice: ModelChoice, found: Mapping[str, ModelSource]) -> Start:
        """The start of one model.

        Args:
            name: what the study calls it.
            choice: what the study says of it.
            found: the models that lie on disk.
        """
        family: str | None = None
        if choice.shape is not None:
            start, family = self._drawn(name, choice), str(shape_config(choice.shape)["model_type"])
        elif choice.pretrain is not None:
            start = self._pretrained(name, choice.pretrain)
        else:
            model = found[name]
            check_lengths(self.study, name, model.positions, "choose another model")
            start, family = Start({"model": model.identity}, {}, model.num_layers), model.family
        start = replace(start, writes_text=writes_text(self.study, name, family))
        return self._pruned(name, start, choice.keep_layers) if choice.keep_layers else start

    def _pruned(self, name: str, start: Start, layers: tuple[int, ...]) -> Start:
        """The model with only some of its layers."""
        if layers[-1] > start.num_layers:
            raise StudyError(f"layer {layers[-1]} of {start.num_layers} layers", where=f"models.{name}.keep_layers")
        labels = {"model": name, "task": f"{len(layers)} of {start.num_layers} layers"}
        node = self.add("prune", {**start.spec, "layers": list(layers)}, start.parents, labels)
        return replace(start.then(node), num_layers=len(layers))

    def _drawn(self, name: str, choice: ModelChoice) -> Start:
        """A model of a named shape with random weights."""
        config = shape_config(str(choice.shape))
        check_lengths(self.study, name, longest_of(config), "choose another shape")
        spec = {
            "config": config,
            "seed": choice.seed,
            "dtype": choice.dtype,
            "tokenizer": self.files.tokenizer(Path(str(choice.tokenizer)), f"models.{name}.tokenizer"),
        }
        node = self.add("random", spec, {}, {"model": name, "task": f"{choice.shape}, random weights"})
        return Start({}, {"model": node.key}, config.get("num_hidden_layers") or config["num_layers"])

    def _pretrained(self, name: str, settings: Pretraining) -> Start:
        """A model made from scratch."""
        if not settings.writes_text:
            longest = settings.model.max_length
            check_lengths(self.study, name, longest, f"raise models.{name}.pretrain.model.max_length")
        spec = {
            **self.files.masked_lm(settings, f"models.{name}.pretrain"),
            "settings": settings.in_keys(),
            "precision": self.precision,
            "tokenizers": tokenizers_version(),
        }
        task = settings.objective.replace("_", " ") if settings.writes_text else "masked LM"
        node = self.add("pretrain", spec, {}, {"model": name, "task": task})
        return Start({}, {"model": node.key}, settings.model.num_layers)


@cache
def tokenizers_version() -> str:
    """Major and minor version of the tokenizers library: another one may cut words differently."""
    from importlib.metadata import version  # slow to import

    return ".".join(version("tokenizers").split(".")[:2])
