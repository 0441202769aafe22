"""A small pocket world, made once for a test session, and what tests measure on it."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from xstilts.pocket import World, make_world
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples

SMALL = World(
    text_lines=300,
    bitext_lines=200,
    train_rows=600,
    train_questions=300,
    train_choices=300,
    dev_rows=60,
    test_rows=90,
    tatoeba_pairs=60,
    bucc_dev=(40, 15),
    bucc_test=(60, 20),
)
SOURCE = "en"
CODES = tuple(tongue.code for tongue in SMALL.tongues)
FOREIGN = CODES[1:]
_kept = tempfile.TemporaryDirectory()


@cache
def small_world() -> Path:
    """The folder; it goes with the process."""
    folder = Path(_kept.name) / "pocket"
    make_world(folder, SMALL)
    return folder


@cache
def examples(task: str, split: str, language: str = SOURCE) -> list[Any]:
    """The rows of one file set, read by the task's own reader, gold attached."""
    data, declared = DataFolder(small_world()), load(task)
    paths = data.files(declared, split, language)
    assert paths, data.missing(declared, split, language)
    return read_examples(declared, paths, language, data.gold_files(declared, split, language))


def words(text: str) -> list[str]:
    """Words without their punctuation."""
    return [word.strip(".?") for word in text.split()]


class NaiveBayes:
    """Bags of words and add-one smoothing: what a text gives away without being understood."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        self.counts: dict[str, Counter[str]] = {label: Counter() for label in sorted(set(labels))}
        for text, label in zip(texts, labels, strict=True):
            self.counts[label].update(words(text))
        self.known = {word for counter in self.counts.values() for word in counter}

    def label(self, text: str) -> str:
        """The likeliest label; all are as frequent."""
        return max(self.counts, key=lambda label: self._likelihood(text, self.counts[label]))

    def _likelihood(self, text: str, counter: Counter[str]) -> float:
        total = counter.total() + len(self.known)
        return sum(math.log((counter[word] + 1) / total) for word in words(text) if word in self.known)


def share(hits: Iterator[bool] | Sequence[bool]) -> float:
    """In per cent."""
    found = list(hits)
    return 100.0 * sum(found) / len(found)
