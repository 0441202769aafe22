"""The rows that are worked on: real ones, or made-up ones as long as the real ones.

Made-up rows let every line be made again from a clone. Their words are words of the tokenizer's vocabulary that are one
sub-word each; their lengths are drawn from ``lengths.json``, the histograms of the real rows (``benchmarks.lengths``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xstilts.data.pairs import NLI_LABELS
from xstilts.errors import DataError
from xstilts.rows import without_gold
from xstilts.task_types import PairExample, SpanExample, TaggingExample, Tokenizer
from xstilts.task_types.base import IntArray
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples

LENGTHS = Path(__file__).with_name("lengths.json")
LANGUAGES = ("en", "zh")
GROUP = 64
"""Most neighbours in length that are taken together: as many as two batches of 32, so that sorting leaves no more padding in
512 rows than in the whole set. A pass of fewer rows has smaller groups: it still has all lengths, but sorts worse."""
_MADE = 4096  # rows of a made-up set
_VOCABULARY = 4000  # words that made-up rows are made of


class Rows(Protocol):
    """Where rows come from. Test rows have no gold."""

    def pairs(self, split: str, language: str) -> list[PairExample]:
        """XNLI."""

    def tagged(self, language: str) -> list[TaggingExample]:
        """udpos test rows."""

    def questions(self, language: str) -> list[SpanExample]:
        """XQuAD."""

    def sentences(self, language: str) -> list[str]:
        """Tatoeba: the English or the Chinese side of zh-en."""


@dataclass(frozen=True)
class RealRows:
    """Published files, read as every study reads them."""

    folder: Path

    def pairs(self, split: str, language: str) -> list[PairExample]:
        """XNLI."""
        return self._read("xnli", split, language)

    def tagged(self, language: str) -> list[TaggingExample]:
        """udpos test rows."""
        return self._read("udpos", "test", language)

    def questions(self, language: str) -> list[SpanExample]:
        """XQuAD."""
        return self._read("xquad", "test", language)

    def sentences(self, language: str) -> list[str]:
        """Tatoeba."""
        (bitext,) = self._read("tatoeba", "test", "zh")
        return list(bitext.queries if language == "en" else bitext.candidates)

    def _read(self, name: str, split: str, language: str) -> list[Any]:
        task = load(name)
        folder = DataFolder(self.folder)
        files = folder.files(task, split, language)
        if not files:
            raise DataError(
                f"no {split} rows of {name} in {language!r}: none of {', '.join(folder.missing(task, split, language))}",
                where=str(self.folder),
                hint="without --data rows are made up, as long as the real ones",
            )
        examples = read_examples(task, files, language)
        return examples if split == "train" else without_gold(examples)


@dataclass(frozen=True)
class MadeRows:
    """Made-up rows with the lengths of the real ones."""

    tokenizer: Tokenizer
    seed: int

    @cached_property
    def words(self) -> list[str]:
        """Words of the vocabulary that are one sub-word each."""
        marked = sorted(w[1:] for w in self.tokenizer.rust.get_vocab() if w[:1] == "▁" and w[1:].isalpha())
        drawn = np.random.default_rng(self.seed).permutation(len(marked))[:_VOCABULARY]
        asked = [marked[i] for i in drawn]
        encoded = self.tokenizer.encode(asked, add_special_tokens=False)
        whole = [w for w, e in zip(asked, encoded, strict=True) if len(e.ids) == 1]
        if len(whole) < 100:
            raise DataError(f"only {len(whole)} words of this vocabulary are one sub-word: too few to make rows of")
        return whole

    @cached_property
    def histograms(self) -> Mapping[str, Mapping[str, int]]:
        """Length -> rows, by name."""
        found: dict[str, dict[str, int]] = json.loads(LENGTHS.read_text(encoding="utf-8"))["histograms"]
        return found

    def pairs(self, split: str, language: str) -> list[PairExample]:
        """XNLI: two thirds of the sub-words in the first text."""
        draws, lengths = self._draw(f"xnli.{split}.{language}")
        rows = []
        for i, length in enumerate(lengths.tolist()):
            inside = max(2, length - 4)
            first = min(inside - 1, max(1, round(inside * 2 / 3)))
            label = NLI_LABELS[i % len(NLI_LABELS)] if split == "train" else None
            rows.append(PairExample(str(i), self._text(draws, first), self._text(draws, inside - first), label))
        return rows

    def tagged(self, language: str) -> list[TaggingExample]:
        """udpos: as many words as sub-words."""
        draws, lengths = self._draw(f"udpos.test.{language}")
        texts = (self._text(draws, max(1, length - 2)) for length in lengths.tolist())
        return [TaggingExample(str(i), tuple(text.split()), None) for i, text in enumerate(texts)]

    def questions(self, language: str) -> list[SpanExample]:
        """XQuAD: questions and contexts drawn apart."""
        draws, lengths = self._draw(f"xquad.question.{language}")
        _, contexts = self._draw(f"xquad.context.{language}")
        both = zip(lengths.tolist(), contexts.tolist(), strict=True)
        texts = ((self._text(draws, max(1, q)), self._text(draws, max(1, c))) for q, c in both)
        return [SpanExample(str(i), question, context, None) for i, (question, context) in enumerate(texts)]

    def sentences(self, language: str) -> list[str]:
        """Tatoeba."""
        draws, lengths = self._draw(f"tatoeba.test.{language}")
        return [self._text(draws, max(1, length - 2)) for length in lengths.tolist()]

    def _draw(self, name: str) -> tuple[np.random.Generator, IntArray]:
        draws = np.random.default_rng((self.seed, *name.encode()))
        found = self.histograms[name]
        counts = np.array([*found.values()], float)
        values = np.array([int(length) for length in found], np.int64)
        lengths: IntArray = draws.choice(values, _MADE, p=counts / counts.sum())
        return draws, lengths

    def _text(self, draws: np.random.Generator, length: int) -> str:
        return " ".join(self.words[i] for i in draws.integers(len(self.words), size=length))


def in_batches(lengths: IntArray, size: int) -> list[IntArray]:
    """Lengths, so many at a time."""
    return np.split(lengths, range(size, len(lengths), size))


def positions(batches: Iterable[IntArray], width: int | None = None) -> int:
    """How many positions batches of sequences of these lengths have, each as wide as its longest one, or ``width``."""
    return sum(len(lengths) * (width or int(lengths.max())) for lengths in batches)


def spread(lengths: Sequence[int] | IntArray, count: int, seed: int) -> IntArray:
    """Which ``count`` rows stand for the whole set, in a random order.

    They are groups of neighbours in length at even steps of the sorted set, so that a contender that sorts a pass leaves
    as little padding as one that sorts the whole set.
    """
    order = np.argsort(lengths, kind="stable")
    if count < len(order):
        group = min(GROUP, max(8, count // 8), count)
        groups = count // group
        step = len(order) / groups
        firsts = [min(max(0, int((i + 0.5) * step - group / 2)), len(order) - group) for i in range(groups)]
        order = np.concatenate([order[first : first + group] for first in firsts])
    chosen: IntArray = np.random.default_rng(seed).permutation(order).astype(np.int64)
    return chosen
