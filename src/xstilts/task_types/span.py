"""An answer that is a span of a context (extractive question answering)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import FeatureBuilder, Features, FloatArray, Head, Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding as SubwordEncoding


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer's text and its first character in the context."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class SpanExample:
    """A question about a context. ``answers`` is ``None`` when the gold is missing, ``()`` when unanswerable."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None


@dataclass(frozen=True)
class Span:
    """Start and end logits on the context's sub-words; the first token stands for "no answer in this window"."""

    name: ClassVar[str] = "span"
    unanswerable: bool = False  # SQuAD v2.0: the empty answer may be predicted

    @property
    def head(self) -> Head:
        """One linear layer to two logits a token (jiant heads.py)."""
        return Head("token", 2)

    def encode(self, examples: Sequence[SpanExample], tokenizer: Tokenizer, encoding: Encoding) -> Features:
        """Windows over the context, ``stride`` sub-words shared. Targets: start and end among the read positions.

        The head reads the first token (read position 0) and every context sub-word. A training window that does not hold
        the whole answer has target (0, 0).
        """
        builder, spans, targets = FeatureBuilder(), [], []
        questions = self._questions(examples, tokenizer, encoding, builder)
        tokenizer.rust.enable_truncation(encoding.max_length, stride=encoding.stride, strategy="only_second")
        try:
            encoded = tokenizer.encode([(q, e.context) for q, e in zip(questions, examples, strict=True)])
        finally:
            tokenizer.rust.no_truncation()
        for i, (example, first) in enumerate(zip(examples, encoded, strict=True)):
            for window in (first, *first.overflowing):
                context = [k for k, side in enumerate(window.sequence_ids) if side == 1]
                builder.add(i, window.ids, window.type_ids, (0, *context))
                spans.append((0, 0))
                spans.extend(window.offsets[k] for k in context)
                targets.append(_target(example, window, context))
        has_gold = all(e.answers is not None for e in examples)
        return builder.build(len(examples), targets if has_gold else None, spans)

    @staticmethod
    def _check_room(longest: int, tokenizer: Tokenizer, encoding: Encoding) -> None:
        """Windows move forward by what is left beside the longest question and the overlap."""
        room = encoding.max_length - longest - tokenizer.rust.num_special_tokens_to_add(is_pair=True)
        if room <= encoding.stride:
            raise ModelError(
                f"windows of {encoding.max_length} sub-words leave {room} for the context beside a question of {longest}, "
                f"and must overlap by {encoding.stride}: they cannot move forward",
                hint="raise encoding.max_length, or lower encoding.stride or encoding.max_question_length",
            )

    def _questions(
        self, examples: Sequence[SpanExample], tokenizer: Tokenizer, encoding: Encoding, builder: FeatureBuilder
    ) -> list[str]:
        encoded = tokenizer.encode([e.question for e in examples], add_special_tokens=False)
        longest = min(max((len(subwords.ids) for subwords in encoded), default=0), encoding.max_question_length)
        self._check_room(longest, tokenizer, encoding)
        questions = []
        for example, subwords in zip(examples, encoded, strict=True):
            excess = len(subwords.ids) - encoding.max_question_length
            cut = len(example.question) if excess <= 0 else subwords.offsets[encoding.max_question_length - 1][1]
            builder.counts["dropped_tokens"] += max(excess, 0)
            builder.counts["truncated_examples"] += excess > 0
            questions.append(example.question[:cut])
        return questions

    def decode(
        self, examples: Sequence[SpanExample], features: Features, logits: FloatArray, encoding: Encoding
    ) -> list[dict[str, Any]]:
        """The best span over all windows, with its score and the null score (the smallest over windows)."""
        assert features.context_offsets is not None
        best: list[tuple[float, int, int]] = [(-math.inf, 0, 0)] * len(examples)
        null = [math.inf] * len(examples)
        for w in range(features.num_sequences):
            here = slice(features.read_offsets[w], features.read_offsets[w + 1])
            i = int(features.example[w])
            null[i] = min(null[i], float(logits[here][0].sum()))
            found = _best_span(logits[here], features.context_offsets[here], encoding)
            if found is not None and found[0] > best[i][0]:
                best[i] = found
        outputs = []
        for i, (example, (score, start, end)) in enumerate(zip(examples, best, strict=True)):
            text = example.context[start:end]
            row = {"id": example.id, "text": text, "start": start, "null_score": round(null[i], 5)}
            row["score"] = round(score, 5) if math.isfinite(score) else None
            outputs.append(row)
        return outputs

    def gold(self, example: SpanExample) -> tuple[str, ...] | None:
        """The answers' texts."""
        return None if example.answers is None else tuple(a.text for a in example.answers)

    def answer(self, output: dict[str, Any]) -> str:
        """The span's text; the empty string if ``unanswerable`` and the null score wins (threshold 0).

        A text-to-text model's answer has no scores: what it wrote stands.
        """
        if "flaws" in output:
            return str(output["text"])
        missing = output["score"] is None or (self.unanswerable and output["null_score"] > output["score"])
        return "" if missing else str(output["text"])

    def fingerprint(self, example: SpanExample) -> Hashable:
        """The context: questions about one paragraph share it."""
        return example.context.strip()


def _target(example: SpanExample, window: SubwordEncoding, context: list[int]) -> tuple[int, int]:
    if not example.answers:
        return 0, 0
    answer = example.answers[0]
    first, last = answer.start, answer.start + len(answer.text)
    start = end = 0
    for position, k in enumerate(context, start=1):
        left, right = window.offsets[k]
        if left <= first < right:
            start = start or position
        if left < last <= right:
            end = position
    covered = context and window.offsets[context[0]][0] <= first and last <= window.offsets[context[-1]][1]
    return (start, end) if covered and 0 < start <= end else (0, 0)


def _best_span(logits: FloatArray, offsets: NDArray[np.int32], encoding: Encoding) -> tuple[float, int, int] | None:
    """Score and characters of the best span among the ``n_best`` starts and ends, at most ``max_answer_length`` long."""
    import numpy as np

    if len(logits) < 2:
        return None
    starts, ends = logits[1:, 0], logits[1:, 1]
    top_s = np.argsort(-starts, kind="stable")[: encoding.n_best]
    top_e = np.argsort(-ends, kind="stable")[: encoding.n_best]
    length = top_e[None, :] - top_s[:, None]
    allowed = (length >= 0) & (length < encoding.max_answer_length)
    if not allowed.any():
        return None
    scores = np.where(allowed, starts[top_s][:, None] + ends[top_e][None, :], -np.inf)
    s, e = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(scores[s, e]), int(offsets[1 + top_s[s]][0]), int(offsets[1 + top_e[e]][1])
