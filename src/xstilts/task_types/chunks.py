"""Encoding in chunks: the tokenizer's own objects are many times larger than the features made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import Features, IntArray, TaskType, Tokenizer

CHUNK = 20_000
"""Examples encoded at a time."""


def encode_in_chunks(
    task_type: TaskType, examples: Sequence[Any], tokenizer: Tokenizer, encoding: Encoding, chunk: int = CHUNK
) -> Features:
    """What ``task_type.encode`` gives for all ``examples``, with only ``chunk`` of them in the tokenizer at a time."""
    starts = range(0, max(len(examples), 1), chunk)
    return concatenated([task_type.encode(examples[at : at + chunk], tokenizer, encoding) for at in starts])


def concatenated(parts: Sequence[Features]) -> Features:
    """The features of all parts in order; ``example`` counts on. Targets are there if every part has them.

    Args:
        parts: at least one; of the same shape of task.
    """
    if len(parts) == 1:
        return parts[0]
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    firsts = np.cumsum([0, *(part.num_examples for part in parts)])
    targets = [part.targets for part in parts if part.targets is not None]
    contexts = [part.context_offsets for part in parts if part.context_offsets is not None]
    return Features(
        input_ids=np.concatenate([part.input_ids for part in parts]),
        type_ids=np.concatenate([part.type_ids for part in parts]),
        offsets=_joined([part.offsets for part in parts]),
        example=np.concatenate([part.example + first for part, first in zip(parts, firsts, strict=False)]),
        read=np.concatenate([part.read for part in parts]),
        read_offsets=_joined([part.read_offsets for part in parts]),
        targets=np.concatenate(targets) if len(targets) == len(parts) else None,
        context_offsets=np.concatenate(contexts) if len(contexts) == len(parts) else None,
        num_examples=int(firsts[-1]),
        counts=dict(counts),
    )


def _joined(offsets: Sequence[IntArray]) -> IntArray:
    """Offsets of parts that stand end to end."""
    lengths = np.concatenate([np.diff(each) for each in offsets])
    joined: IntArray = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return joined
