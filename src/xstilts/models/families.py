"""What is known of a family of encoders: may it run packed, and how ``AutoModelFor...`` names the head's weights.

The key is the ``model_type`` of config.json. Only families whose packed execution is tested against padded stand here;
every other ``AutoModel`` runs padded and is exported as a base model with our own head file beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class HeadNames:
    """Where one shape of task keeps its head in a transformers model.

    Args:
        suffix: ends the class name: ``XLMRoberta`` + ``ForSequenceClassification``.
        output: module name of the last linear layer.
        dense: module name of the dense layer before tanh; empty for a head that is one linear layer.
    """

    suffix: str
    output: str
    dense: str = ""


@dataclass(frozen=True)
class Family:
    """One ``model_type`` whose packed execution is verified.

    Args:
        stem: how its class names begin.
        prefix: under which name ``AutoModelFor...`` holds the encoder.
        positions: ``after_padding`` counts from ``pad_token_id + 1`` and skips padding ids, ``from_zero`` counts from 0.
        heads: names of the head's weights by shape of task.
    """

    stem: str
    prefix: str
    positions: Literal["after_padding", "from_zero"]
    heads: Mapping[str, HeadNames]

    def max_length(self, config: Any) -> int:
        """The longest sequence (sub-words) its position matrix can number."""
        used = config.pad_token_id + 1 if self.positions == "after_padding" else 0
        return int(config.max_position_embeddings) - used


def _heads(prefix: str, classification: HeadNames) -> dict[str, HeadNames]:
    return {
        "classification": classification,
        "multiple_choice": HeadNames("ForMultipleChoice", "classifier", f"{prefix}.pooler.dense"),
        "tagging": HeadNames("ForTokenClassification", "classifier"),
        "span": HeadNames("ForQuestionAnswering", "qa_outputs"),
    }


def _roberta(stem: str) -> Family:
    head = HeadNames("ForSequenceClassification", "classifier.out_proj", "classifier.dense")
    return Family(stem, "roberta", "after_padding", _heads("roberta", head))


_BERT_HEAD = HeadNames("ForSequenceClassification", "classifier", "bert.pooler.dense")

FAMILIES: Mapping[str, Family] = {
    "bert": Family("Bert", "bert", "from_zero", _heads("bert", _BERT_HEAD)),
    "camembert": _roberta("Camembert"),
    "roberta": _roberta("Roberta"),
    "xlm-roberta": _roberta("XLMRoberta"),
    "xlm-roberta-xl": _roberta("XLMRobertaXL"),
}


@dataclass(frozen=True)
class Execution:
    """How an encoder runs, decided once when it is loaded, and why. Shown in plans and results."""

    kind: Literal["packed", "padded"]
    reason: str


def execution_of(config: Any) -> Execution:
    """Packed for a verified family used as a plain bidirectional encoder, padded for everything else."""
    name = str(config.model_type)
    if name not in FAMILIES:
        return Execution("padded", f"packed execution is not verified for model_type {name!r}")
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        return Execution("padded", "config.json asks for a decoder, and packed execution is bidirectional")
    return Execution("packed", f"packed execution is verified for model_type {name!r}")
