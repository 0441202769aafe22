"""Text that is both learned from and scored."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xstilts.checking.findings import Overlap
from xstilts.task_types import Span
from xstilts.tasks.task import Task


@dataclass(frozen=True)
class Fingerprints:
    """One part and a hash of the text of each of its rows (for spans: of the context, and of context and question)."""

    task: Task
    split: str
    language: str
    texts: array[int]
    questions: array[int]


def find_overlaps(parts: Sequence[Fingerprints], source: str) -> tuple[Overlap, ...]:
    """Every pair of a part that is learned from and a part of the same shape that is scored, with text in common.

    Learned from are training rows, against every dev and test part; and the dev rows of the ``source`` language, which
    choose checkpoints, against every test part.
    """
    return tuple(overlap for learned in parts for overlap in _overlaps(learned, parts, source))


def _overlaps(learned: Fingerprints, parts: Sequence[Fingerprints], source: str) -> Iterator[Overlap]:
    chooses = learned.split == "dev" and learned.language == source
    if learned.split != "train" and not chooses:
        return
    scored = ("test",) if chooses else ("dev", "test")
    values = _values(learned.texts)
    known, known_questions = np.unique(values), np.unique(_values(learned.questions))
    for tested in parts:
        if tested.split not in scored or type(tested.task.type) is not type(learned.task.type):
            continue
        texts = _values(tested.texts)
        shared = _count_in(texts, known)
        if shared:
            yield Overlap(
                task=learned.task.name,
                split=learned.split,
                language=learned.language,
                rows=int(np.isin(values, texts).sum()),
                total=len(values),
                tested_task=tested.task.name,
                tested_split=tested.split,
                tested_language=tested.language,
                tested_rows=shared,
                tested_total=len(texts),
                equal_rows=_count_in(_values(tested.questions), known_questions) if tested.questions else shared,
                text="context" if isinstance(tested.task.type, Span) else "text",
            )


def _values(hashes: array[int]) -> NDArray[np.int64]:
    return np.frombuffer(hashes, np.int64) if len(hashes) else np.zeros(0, np.int64)


def _count_in(values: NDArray[np.int64], known: NDArray[np.int64]) -> int:
    """How many of ``values`` are among the sorted ``known``, which may be a thousand times more."""
    if not len(known):
        return 0
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return int((known[at] == values).sum())
