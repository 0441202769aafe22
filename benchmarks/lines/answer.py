"""XQuAD rows, from question and context to the best span of all windows, against what transformers' run_qa example does.

transformers 5 has no question-answering pipeline any more; the example remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import IN_ORDER_SIZES, SORTED_SIZES, QuestionAnswering, best_of
from benchmarks.race import Agreement, Contender, Difference, Race, Ready
from benchmarks.rows import LANGUAGES, in_batches, positions, spread
from benchmarks.setting import MICRO_BATCH_TOKENS, Setting
from xstilts.hyperparameters import Encoding
from xstilts.inference.predict import predict
from xstilts.models.model import Model
from xstilts.task_types import Span, SpanExample
from xstilts.task_types.base import IntArray

ENCODING = Encoding(max_length=384, stride=128)
NEAR = 1e-3, 0.5
"""Scores (sums of two logits of deviation 1) that differ by less are the same: in float32, in bfloat16."""
OURS, DEFAULT = "xstilts", "run_qa example"
BEST, SORTED = "run_qa example, best batch", "run_qa example, sorted, best batch"
_DEFAULT_SIZE = 8
_SHARE = 8  # rows are this many times longer than those of the other lines


def races(setting: Setting) -> Iterator[Race]:
    """One race: English and Chinese rows mixed."""
    task_type = Span()
    whole = [row for language in LANGUAGES for row in _plain(setting, setting.source.questions(language))]
    # By sub-words of all windows of a row.
    features = setting.encode(task_type, whole, ENCODING)
    lengths = np.bincount(features.example, weights=features.lengths).astype(np.int64)
    chosen = spread(lengths, max(8, setting.rows // _SHARE), setting.seed)
    examples = [whole[i] for i in chosen]
    features = setting.encode(task_type, examples, ENCODING)
    folder = setting.with_head("xquad", task_type.name, task_type.head, features)
    windows, tokens = features.lengths, int(features.lengths.sum())

    def ours() -> Ready:
        model = Model.load(folder, precision=setting.precision)

        def call() -> list[dict[str, Any]]:
            return predict(model, task_type, examples, ENCODING, micro_batch_tokens=MICRO_BATCH_TOKENS)[0]

        return Ready(call, computed=tokens)

    flops = setting.flops(features.lengths.tolist(), reads=len(features.read))
    made = {OURS: ours, **run_qa(setting, folder, [(e.question, e.context) for e in examples], windows)}
    yield Race(
        name="answer",
        unit="tokens",
        contenders={name: Contender(make, tokens, flops) for name, make in made.items()},
        base=OURS,
        check=lambda answers: same_spans(answers, examples, setting.near(*NEAR)),
        notes={"rows": len(examples), "windows": features.num_sequences, "tokens": tokens},
    )


def run_qa(
    setting: Setting, folder: Path, inputs: Sequence[tuple[str, str]], windows: IntArray
) -> dict[str, Callable[[], Ready]]:
    """The example at its default, at the best size of batches of windows as they come, and of sorted windows.

    Args:
        setting: of this run.
        folder: of the model with a span head.
        inputs: questions and contexts.
        windows: how long each window is, in their order.
    """

    def load() -> QuestionAnswering:
        return QuestionAnswering(
            folder,
            max_length=ENCODING.max_length,
            stride=ENCODING.stride,
            n_best=ENCODING.n_best,
            max_answer_length=ENCODING.max_answer_length,
            precision=setting.precision,
        )

    def default() -> Ready:
        model = load()
        note = f"batch {_DEFAULT_SIZE}, padded to {ENCODING.max_length}"
        computed = positions([windows], ENCODING.max_length)
        return Ready(lambda: model(inputs, _DEFAULT_SIZE, sort=False, pad=True), note, computed)

    def best(sizes: Sequence[int], *, sort: bool) -> Ready:
        model = load()
        ordered = np.sort(windows)[::-1] if sort else windows

        def sized(size: int) -> Ready:
            call = partial(model, inputs, size, sort=sort, pad=False)
            return Ready(call, f"batch {size}", positions(in_batches(ordered, size)))

        return best_of([sized(size) for size in sizes])

    return {
        DEFAULT: default,
        BEST: lambda: best(IN_ORDER_SIZES, sort=False),
        SORTED: lambda: best(SORTED_SIZES, sort=True),
    }


def _plain(setting: Setting, examples: Sequence[SpanExample]) -> list[SpanExample]:
    """Questions that ours does not cut: the example cuts none."""
    encoded = setting.tokenizer.encode([e.question for e in examples], add_special_tokens=False)
    return [
        e for e, subwords in zip(examples, encoded, strict=True) if len(subwords.ids) <= ENCODING.max_question_length
    ]


def same_spans(
    answers: Mapping[str, Sequence[Mapping[str, Any]]], examples: Sequence[SpanExample], near: float
) -> Agreement:
    """The same span with the same score; another span of the same score is a tie."""
    differences = []
    for name, theirs in answers.items():
        for example, own, other in zip(examples, answers[OURS], theirs, strict=True):
            distance = abs(float(own["score"]) - float(other["score"]))
            same = (own["start"], own["text"]) == (other["start"], other["text"])
            if not same or not distance <= near:
                where = f"row {example.id}: {own['start']} {own['text']!r}, {name}: {other['start']} {other['text']!r}"
                differences.append(Difference(where, distance))
    return Agreement(f"best spans of {len(examples)} rows", differences, near)
