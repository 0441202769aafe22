"""From examples to scored outputs: encode, logits, decode.

Shape legend: N sequences; R positions a head reads; C outputs of the head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xstilts.batching import gather, inference_batches, ranges
from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.inference.stream import Room, stream_logits
from xstilts.models.model import Model
from xstilts.models.streamed_model import StreamedModel
from xstilts.task_types import Classification, Features, Tagging, TaskType
from xstilts.task_types.base import FloatArray, IntArray
from xstilts.tasks.task import Task

Progress = Callable[..., None]
"""``progress(done, total, unit)``."""

CHUNK = 20_000
"""Examples encoded at a time: bounds memory, and is large enough for sorting by length to leave no waste."""


def predict_logits(
    model: Model | StreamedModel,
    features: Features,
    *,
    micro_batch_tokens: int,
    room: Room | None = None,
    progress: Progress | None = None,
) -> FloatArray:
    """The head's outputs at every read position, R x C, float32, in the order of ``features.read``.

    Sequences run sorted by length over the whole set; the order of the result does not show it. The model's mode is put
    back. A set without sequences gives 0 x 1. ``room`` is for a streamed model: where hidden states may lie.

    Raises:
        ModelError: a logit is not a finite number (half-precision overflow, damaged weights): its argmax would be a
            silent class 0.
    """
    if isinstance(model, StreamedModel):
        (streamed,) = stream_logits(
            model, [features], micro_batch_tokens=micro_batch_tokens, room=room, progress=progress
        )
        _check_finite(streamed, features)
        return streamed
    logits: FloatArray | None = None
    read_counts = np.diff(features.read_offsets)

    def keep(sequences: IntArray, computed: Tensor) -> FloatArray:
        part = computed.float().cpu().numpy()
        whole = np.empty((len(features.read), part.shape[1]), np.float32) if logits is None else logits
        whole[ranges(features.read_offsets[sequences], read_counts[sequences])] = part
        return whole

    was_training, done = model.training, 0
    model.eval()
    try:
        with torch.inference_mode():
            waiting: tuple[IntArray, Tensor] | None = None
            for sequences in inference_batches(features, micro_batch_tokens):
                computed = model.logits(gather(features, sequences, model.device))
                # A batch is fetched when the next one is on its way, so that a device never waits to be given work.
                logits = logits if waiting is None else keep(*waiting)
                waiting = sequences, computed
                done += len(sequences)
                if progress is not None:
                    progress(done, features.num_sequences, "sequences")
            logits = logits if waiting is None else keep(*waiting)
    finally:
        model.train(was_training)
    if logits is None:
        return np.zeros((0, 1), np.float32)
    _check_finite(logits, features)
    return logits


def _check_finite(logits: FloatArray, features: Features) -> None:
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad) == 0:
        return
    sequences = np.searchsorted(features.read_offsets, bad, side="right") - 1
    examples = np.unique(features.example[sequences])
    raise ModelError(
        f"logits of {len(examples)} of {features.num_examples} examples are not finite numbers, "
        f"first of all example {examples[0]} (from 0)",
        hint="the weights are damaged or the precision overflows: try fp32",
    )


def predict(
    model: Model | StreamedModel,
    task_type: TaskType,
    examples: Sequence[Any],
    encoding: Encoding,
    *,
    micro_batch_tokens: int,
    progress: Progress | None = None,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One scored output for each example, and counts: those of encoding, ``examples``, ``tokens`` and ``sequences``.

    ``CHUNK`` examples are in memory as features at a time; outputs do not depend on it. Gold is not looked at: it is
    only encoded into targets nobody reads here. A streamed model reads its weights once for each chunk, so there it is all
    examples.
    """
    at_once = max(1, len(examples)) if isinstance(model, StreamedModel) else CHUNK
    outputs: list[dict[str, Any]] = []
    counts = Counter({"examples": 0, "tokens": 0, "sequences": 0})
    for first in range(0, len(examples), at_once):
        chunk = examples[first : first + at_once]
        features = task_type.encode(chunk, model.tokenizer, encoding)

        def shown(done: int, total: int, _: str, first: int = first, size: int = len(chunk)) -> None:
            if progress is not None:
                progress(first + size * done // total, len(examples), "examples")

        logits = predict_logits(model, features, micro_batch_tokens=micro_batch_tokens, progress=shown)
        outputs.extend(task_type.decode(chunk, features, logits, encoding))
        counts.update(features.counts)
        counts.update(examples=len(chunk), tokens=len(features.input_ids), sequences=features.num_sequences)
    return outputs, dict(counts)


def predict_together(
    model: StreamedModel,
    task_type: TaskType,
    examples: Mapping[str, Sequence[Any]],
    encoding: Encoding,
    *,
    micro_batch_tokens: int,
    room: Room,
    progress: Progress | None = None,
) -> dict[str, tuple[list[dict[str, Any]], dict[str, int]]]:
    """What ``predict`` gives, for each of several languages, in one pass over the weights of a streamed model."""
    parts = {language: task_type.encode(of, model.tokenizer, encoding) for language, of in examples.items()}
    logits = stream_logits(
        model, [*parts.values()], micro_batch_tokens=micro_batch_tokens, room=room, progress=progress
    )
    found = {}
    for (language, features), of in zip(parts.items(), logits, strict=True):
        _check_finite(of, features)
        chunk = examples[language]
        sizes = {"examples": len(chunk), "tokens": len(features.input_ids), "sequences": features.num_sequences}
        found[language] = task_type.decode(chunk, features, of, encoding), {**sizes, **features.counts}
    return found


def matched_type(task: Task, labels: tuple[str, ...]) -> TaskType:
    """The task's shape with the labels in the order of the model's head; other labels than the task's are an error.

    Raises:
        ModelError: a label that the head does not know, or one that the task does not have.
    """
    if not isinstance(task.type, Classification | Tagging):
        return task.type
    if task.type.labels and set(task.type.labels) != set(labels):
        unseen = sorted(set(task.type.labels) - set(labels))
        raise ModelError(
            f"{task.name} has labels the model's head does not know: {', '.join(unseen) or 'none'}; "
            f"the head knows {', '.join(labels)}"
        )
    return replace(task.type, labels=tuple(labels))
