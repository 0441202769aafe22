"""One label for a text or a pair of texts (NLI, paraphrase)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import FeatureBuilder, Features, FloatArray, Head, Tokenizer


@dataclass(frozen=True, slots=True)
class PairExample:
    """Two texts (``second`` may be ``None``) and their label."""

    id: str
    first: str
    second: str | None
    label: str | None


@dataclass(frozen=True)
class Classification:
    """Labels in the order of the head's outputs."""

    name: ClassVar[str] = "classification"
    labels: tuple[str, ...]

    @property
    def head(self) -> Head:
        """RoBERTa's classification head (jiant heads.py)."""
        return Head("pooled", len(self.labels), self.labels)

    def encode(self, examples: Sequence[PairExample], tokenizer: Tokenizer, encoding: Encoding) -> Features:
        """Both texts in one sequence; what exceeds ``max_length`` is cut from the longer text and counted."""
        texts = [e.first if e.second is None else (e.first, e.second) for e in examples]
        builder = FeatureBuilder()
        for i, (ids, types, dropped) in enumerate(truncated(tokenizer, texts, encoding.max_length)):
            builder.add(i, ids, types, (0,))
            builder.counts["dropped_tokens"] += dropped
            builder.counts["truncated_examples"] += dropped > 0
        labels = [e.label for e in examples]
        targets = None if None in labels else [self._index(e) for e in examples]
        return builder.build(len(examples), targets)

    def _index(self, example: PairExample) -> int:
        if example.label not in self.labels:
            raise ModelError(
                f"label {example.label!r} of row {example.id!r} is not among the head's labels {list(self.labels)}"
            )
        return self.labels.index(example.label)

    def decode(
        self, examples: Sequence[PairExample], features: Features, logits: FloatArray, encoding: Encoding
    ) -> list[dict[str, Any]]:
        """The label with the largest logit (the first of equals), with log-probabilities."""
        scores = log_softmax(logits)
        best = scores.argmax(axis=1)
        return [
            {"id": e.id, "label": self.labels[b], "scores": [round(float(x), 5) for x in row]}
            for e, b, row in zip(examples, best, scores, strict=True)
        ]

    def gold(self, example: PairExample) -> str | None:
        """The label."""
        return example.label

    def answer(self, output: dict[str, Any]) -> str:
        """The label."""
        return str(output["label"])

    def fingerprint(self, example: PairExample) -> Hashable:
        """Both texts."""
        return (example.first.strip(), (example.second or "").strip())


def truncated(
    tokenizer: Tokenizer, texts: Sequence[str | tuple[str, str]], max_length: int
) -> list[tuple[list[int], list[int], int]]:
    """Sub-words, type ids and the number of dropped sub-words of each text or pair, longest text cut first."""
    tokenizer.rust.enable_truncation(max_length, strategy="longest_first")
    try:
        encoded = tokenizer.encode(texts)
    finally:
        tokenizer.rust.no_truncation()
    # The overflow of a pair repeats sub-words, so what was dropped is counted on the whole text.
    cut = [i for i, e in enumerate(encoded) if e.overflowing]
    whole = dict(zip(cut, tokenizer.encode([texts[i] for i in cut]), strict=True))
    return [(e.ids, e.type_ids, len(whole.get(i, e).ids) - len(e.ids)) for i, e in enumerate(encoded)]


def log_softmax(logits: FloatArray) -> FloatArray:
    """Log-probabilities along the last axis, in float32."""
    import numpy as np

    shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
    result: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
