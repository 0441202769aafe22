"""What is found out while planning: mistakes that would otherwise show only in the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from itertools import combinations
from typing import Any

from xstilts.errors import StudyError
from xstilts.graph.node import Node
from xstilts.hyperparameters import LORA_FAMILIES, MASKED_LM, Encoding
from xstilts.study import Study
from xstilts.tasks import load


def check_repeats(parts: Mapping[str, Mapping[str, Any]], arm: str) -> None:
    """MNLI is a part of ANLI+: nobody should learn its rows twice without meaning to."""
    for one, other in combinations(parts, 2):
        both = _digests(parts[one]) & _digests(parts[other])
        if both:
            raise StudyError(
                f"{one} and {other} have {len(both)} training file{'s' * (len(both) > 1)} in common",
                where=f"arms.{arm}.intermediate",
                hint="leave one of them out, or mean it: mixture: {repeat: true}",
            )


def check_lengths(study: Study, model: str, positions: int | None, otherwise: str) -> None:
    """No task may encode longer sequences than a model numbers: found out here, not after it was made.

    Args:
        model: what the study calls it.
        positions: sub-words of the longest sequence that it numbers; ``None`` for any.
        otherwise: what else helps, for the hint.
    """
    arms = [task for arm in study.arms.values() for task in arm.learned]
    for role, names in (("intermediate", arms), ("target", study.targets)):
        for task in names:
            defaults = Encoding() if task == MASKED_LM else load(task).encoding
            length = study.encoding_of(task, role, defaults).max_length
            if positions is not None and length > positions:
                raise StudyError(
                    f"{task} is encoded in up to {length} sub-words, but models.{model} numbers {positions}",
                    where=f"encoding.{task}.max_length",
                    hint=f"say so in the study file: encoding: {{{role}: {{max_length: {positions}, stride: "
                    f"{positions // 4}}}}}, or {otherwise}",
                )


def check_lora(nodes: Iterable[Node], families: Mapping[str, str]) -> None:
    """LoRA needs ``peft`` and a family of which it is known where its layers are; a mixture is one training.

    Args:
        nodes: of the plan.
        families: ``model_type`` of every model of the study that is not made from scratch.
    """
    for node in nodes:
        whole = node.spec.get("training", {}).get("lora")
        for name, part in node.spec.get("parts", {}).items():
            if part["training"].get("lora", whole) != whole:
                raise StudyError(
                    f"{name} asks for other adapters than the mixture it is learned in, which is one training",
                    where=f"training.{name}.lora",
                    hint="say it once, in training.mixture.lora or training.intermediate.lora",
                )
        if whole is None:
            continue
        if find_spec("peft") is None:
            raise StudyError("lora needs the package peft", where="training", hint="pip install 'xstilts[lora]'")
        family = families.get(str(node.labels["model"]), LORA_FAMILIES[0])
        if family not in LORA_FAMILIES:
            raise StudyError(
                f"LoRA is not verified for {family!r}",
                where=f"models.{node.labels['model']}",
                hint=f"it is for: {', '.join(LORA_FAMILIES)}",
            )


def _digests(part: Mapping[str, Any]) -> set[str]:
    return {file["sha256"] for file in part["files"]}
