"""One of several texts completes or answers a prompt."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import FeatureBuilder, Features, FloatArray, Head, Tokenizer
from xstilts.task_types.classification import log_softmax, truncated


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A prompt, its choices (always ``num_choices`` of them) and the index of the right one."""

    id: str
    prompt: str
    choices: tuple[str, ...]
    label: int | None


@dataclass(frozen=True)
class MultipleChoice:
    """Each choice is one sequence (prompt, choice); the choices of an example are never split over micro-batches."""

    name: ClassVar[str] = "multiple_choice"
    num_choices: int

    @property
    def head(self) -> Head:
        """One score for each choice; softmax over the choices (jiant heads.py)."""
        return Head("pooled", 1)

    def encode(self, examples: Sequence[ChoiceExample], tokenizer: Tokenizer, encoding: Encoding) -> Features:
        """``num_choices`` sequences an example; the target is the index of the right one."""
        pairs = [(e.prompt, choice) for e in examples for choice in e.choices]
        builder = FeatureBuilder()
        for i, (ids, types, dropped) in enumerate(truncated(tokenizer, pairs, encoding.max_length)):
            builder.add(i // self.num_choices, ids, types, (0,))
            builder.counts["dropped_tokens"] += dropped
            builder.counts["truncated_examples"] += dropped > 0
        labels = [e.label for e in examples]
        return builder.build(len(examples), None if None in labels else labels)

    def decode(
        self, examples: Sequence[ChoiceExample], features: Features, logits: FloatArray, encoding: Encoding
    ) -> list[dict[str, Any]]:
        """The choice with the largest score (the first of equals)."""
        scores = log_softmax(logits.reshape(len(examples), self.num_choices))
        return [
            {"id": e.id, "choice": int(row.argmax()), "scores": [round(float(x), 5) for x in row]}
            for e, row in zip(examples, scores, strict=True)
        ]

    def gold(self, example: ChoiceExample) -> int | None:
        """The index of the right choice."""
        return example.label

    def answer(self, output: dict[str, Any]) -> int:
        """The index of the chosen text."""
        return int(output["choice"])

    def fingerprint(self, example: ChoiceExample) -> Hashable:
        """Prompt and choices."""
        return (example.prompt.strip(), example.choices)
