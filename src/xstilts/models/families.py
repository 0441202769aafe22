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
        modules: our name of each of the head's modules -> its name there; the head itself is the empty name.
    """

    suffix: str
    modules: Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """One ``model_type`` whose packed execution is verified.

    Args:
        stem: how its class names begin.
        prefix: under which name ``AutoModelFor...`` holds the encoder.
        heads: names of the head's weights by shape of task.
    """

    stem: str
    prefix: str
    heads: Mapping[str, HeadNames]


def _heads(prefix: str, classification: dict[str, str], masked_lm: dict[str, str]) -> dict[str, HeadNames]:
    choice = {"dense": f"{prefix}.pooler.dense", "output": "classifier"}
    return {
        "classification": HeadNames("ForSequenceClassification", classification),
        "multiple_choice": HeadNames("ForMultipleChoice", choice),
        "tagging": HeadNames("ForTokenClassification", {"output": "classifier"}),
        "span": HeadNames("ForQuestionAnswering", {"output": "qa_outputs"}),
        "masked_lm": HeadNames("ForMaskedLM", masked_lm),
    }


def _roberta(stem: str) -> Family:
    pooled = {"dense": "classifier.dense", "output": "classifier.out_proj"}
    masked_lm = {"": "lm_head", "dense": "lm_head.dense", "norm": "lm_head.layer_norm"}
    return Family(stem, "roberta", _heads("roberta", pooled, masked_lm))


_BERT_POOLED = {"dense": "bert.pooler.dense", "output": "classifier"}
_BERT_MASKED_LM = {
    "": "cls.predictions",
    "dense": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
}

FAMILIES: Mapping[str, Family] = {
    "bert": Family("Bert", "bert", _heads("bert", _BERT_POOLED, _BERT_MASKED_LM)),
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
