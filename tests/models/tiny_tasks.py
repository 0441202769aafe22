"""Rows, heads and peers of every shape for the tiny models: what packed execution is compared on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import transformers
from torch import Tensor

from xstilts.hyperparameters import Encoding, Training
from xstilts.models.packed_attention import NAME
from xstilts.task_types import (
    Answer,
    ChoiceExample,
    Classification,
    Head,
    MultipleChoice,
    PairExample,
    Span,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
)

FAMILIES = ("xlm-roberta", "bert", "xlm-roberta-xl")
RAGGED = (7, 2, 19, 2, 11, 12, 13, 2, 30, 3)
LABELS = ("a", "b", "c")
TYPES: dict[str, TaskType] = {
    "classification": Classification(LABELS),
    "multiple_choice": MultipleChoice(3),
    "tagging": Tagging(LABELS),
    "span": Span(),
}
CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "multiple_choice": "AutoModelForMultipleChoice",
    "tagging": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
    "masked_lm": "AutoModelForMaskedLM",
}
ENCODING = Encoding(max_length=38, stride=6, max_question_length=8)
STEP = Training(
    learning_rate=1e-3, batch_size=12, max_steps=1, warmup=0, clip_norm=0.5, adam_epsilon=1e-6, dropout=0.0,
    attention_dropout=0.0, selection="last",
)  # fmt: skip


def head_of(shape: str) -> Head:
    if shape == "masked_lm":
        return Head("masked_lm", 200)
    found = TYPES[shape].head
    assert found is not None
    return found


def examples(shape: str, count: int = 12, seed: int = 0) -> list[Any]:
    """Rows of words of one to four letters, with gold; lengths differ widely."""
    draw = np.random.default_rng(seed)

    def text(most: int) -> str:
        return " ".join(
            "".join(draw.choice(list("abcdefgh"), draw.integers(1, 4))) for _ in range(draw.integers(1, most))
        )

    made: list[Any] = []
    for i in range(count):
        if shape == "classification":
            made.append(PairExample(str(i), text(6), text(4), LABELS[i % 3]))
        elif shape == "multiple_choice":
            made.append(ChoiceExample(str(i), text(5), (text(3), text(6), text(2)), i % 3))
        elif shape == "tagging":
            words = tuple(text(9).split())
            made.append(TaggingExample(str(i), words, tuple(LABELS[k % 3] for k in range(len(words)))))
        else:
            context = text(40)
            answer = draw.choice(context.split())
            made.append(SpanExample(str(i), text(3), context, (Answer(str(answer), context.index(answer)),)))
    return made


def theirs(folder: Path, shape: str) -> Any:
    """The class of transformers for this head, without dropout, with its own attention."""
    off = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0)
    cls = getattr(transformers, CLASSES[shape])
    model, report = cls.from_pretrained(folder, output_loading_info=True, **off)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert model.config._attn_implementation != NAME
    return model


def largest(ours: Tensor, other: Tensor) -> float:
    assert ours.shape == other.shape
    return float((ours - other).abs().max())
