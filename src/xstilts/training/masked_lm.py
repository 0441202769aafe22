"""Masked LM and translation LM as a course: pre-training from scratch, and text among the intermediate tasks of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xstilts.batching import Batch, gather, micro_batches, ranges
from xstilts.batching.masking import Masking, masked, special_ids
from xstilts.errors import DataError
from xstilts.hyperparameters import MaskedLM, Training
from xstilts.models.text_model import TextModel
from xstilts.task_types import Features, Tokenizer
from xstilts.task_types.base import FeatureBuilder, IntArray
from xstilts.task_types.classification import truncated
from xstilts.training.course import MicroBatch, Step, Trainable, evaluates_after

Translations = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Texts:
    """What a language model learns from.

    Args:
        text: language -> its lines.
        bitext: language -> its lines with their translations.
    """

    text: Mapping[str, Sequence[str]]
    bitext: Mapping[str, Translations]

    @property
    def size(self) -> int:
        """Lines and translations of all languages together."""
        return sum(map(len, self.text.values())) + sum(map(len, self.bitext.values()))

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Lines and translations of each language: kept with what was learned from them."""
        return {
            "lines": {language: len(found) for language, found in self.text.items()},
            "translations": {language: len(found) for language, found in self.bitext.items()},
        }


@dataclass(frozen=True)
class Corpus:
    """Sequences of one language, or translations between two: consecutive ones of the features.

    Args:
        first: number of its first sequence.
        size: how many there are.
        share: of all draws.
    """

    first: int
    size: int
    share: float


class OverText:
    """How long a training on text lasts: ``max_steps``, or ``epochs`` over as many lines as there are."""

    features: Features
    settings: Training

    @property
    def per_epoch(self) -> int:
        """Steps that draw as many lines as there are."""
        return -(-self.features.num_sequences // self.settings.batch_size)

    @property
    def total(self) -> int:
        """Steps of the training."""
        return self.settings.max_steps or max(1, round(self.settings.epochs * self.per_epoch))


@dataclass(frozen=True)
class MaskedLMCourse(OverText):
    """``batch_size`` sequences a step: a corpus is drawn by its share, then a line of it, with replacement.

    Everything is drawn from (seed, step), so what a step learns from needs no cursor. Losses are means over the sub-words
    to predict; logits are computed for these only.

    Args:
        features: all sequences, corpus after corpus.
        corpora: their places and shares, which add up to 1.
        masking: what is hidden.
        settings: hyper-parameters; ``max_steps`` or ``epochs`` over all lines.
        seed: of draws, masks and dropout.
    """

    features: Features
    corpora: Sequence[Corpus]
    masking: Masking
    settings: Training
    seed: int

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """Step ``number``: its sequences, hidden in part before they are cut into micro-batches."""
        draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, number), spawn_key=(2,))))
        sequences = draw_lines(self.corpora, self.settings.batch_size, draws)
        hidden = masked(self.features, sequences, self.masking, draws)
        parts = micro_batches(hidden.lengths, hidden.example, micro_batch_tokens)
        return Step(
            micro_batches=(self._micro_batch(hidden, part, self.features.example[sequences], device) for part in parts),
            items=len(hidden.read),
            examples=len(sequences),
            windows=len(sequences),
            tokens=int(hidden.lengths.sum()),
        )

    @staticmethod
    def _micro_batch(hidden: Features, part: IntArray, lines: IntArray, device: torch.device) -> MicroBatch:
        assert hidden.targets is not None
        reads = ranges(hidden.read_offsets[part], np.diff(hidden.read_offsets)[part])
        return MicroBatch(gather(hidden, part, device), torch.from_numpy(hidden.targets[reads]).to(device), lines[part])

    def loss(self, model: Trainable, micro_batch: MicroBatch) -> Tensor:
        """Cross-entropy of the hidden sub-words, summed."""
        assert not isinstance(model, TextModel) and isinstance(micro_batch.batch, Batch)
        return cross_entropy(model.logits(micro_batch.batch), micro_batch.targets, reduction="sum")

    def evaluates_after(self, done: int) -> bool:
        """As for a task; pre-training keeps the last step, so nothing asks."""
        return evaluates_after(done, self.total, self.per_epoch, self.settings)


def draw_lines(corpora: Sequence[Corpus], count: int, draws: np.random.Generator) -> IntArray:
    """So many lines, with replacement: a corpus by its share, then one of its lines."""
    chosen = draws.choice(len(corpora), count, p=[corpus.share for corpus in corpora])
    firsts = np.array([corpus.first for corpus in corpora])[chosen]
    sizes = np.array([corpus.size for corpus in corpora])[chosen]
    lines: IntArray = firsts + (draws.random(count) * sizes).astype(np.int64)
    return lines


def shares(sizes: Sequence[int], alpha: float) -> list[float]:
    """The share of each language: (number of lines) ** alpha, normalised (Conneau and Lample 2019)."""
    weights = np.array(sizes, float) ** alpha
    result: list[float] = (weights / weights.sum()).tolist()
    return result


def masked_lm_course(
    texts: Texts, tokenizer: Tokenizer, settings: MaskedLM, training: Training, seed: int, *, max_length: int
) -> MaskedLMCourse:
    """The course that learns from ``texts``.

    Args:
        texts: of every language of ``settings``.
        tokenizer: of the model that learns; it has a mask.
        settings: the objective: shares of languages and translations, and how much is hidden.
        training: hyper-parameters.
        seed: of draws, masks and dropout.
        max_length: sub-words of the longest sequence; what exceeds it is cut and counted.

    Raises:
        ModelError: the tokenizer has no mask.
    """
    features, corpora = encode_corpora(texts, tokenizer, settings, max_length)
    return MaskedLMCourse(features, corpora, Masking.of(tokenizer, settings.mask), training, seed)


def encode_corpora(
    texts: Texts, tokenizer: Tokenizer, settings: MaskedLM, max_length: int
) -> tuple[Features, list[Corpus]]:
    """Every line as one sequence, corpus after corpus, and the share of draws of each corpus.

    A translation is one sequence of both sides, each first in turn, so that neither is always the first (Conneau and
    Lample 2019 have positions start anew; here they go on, as XLM-R's do). A line of which the tokenizer knows
    nothing is left out and counted.

    Raises:
        DataError: a language is left without lines.
    """
    builder, places = FeatureBuilder(), []
    special = frozenset(special_ids(tokenizer))
    corpora: list[list[str | tuple[str, str]]] = [list(found) for found in texts.text.values()]
    corpora += [[pair if i % 2 else pair[::-1] for i, pair in enumerate(pairs)] for pairs in texts.bitext.values()]
    for found in corpora:
        first = len(builder.example)
        for ids, types, dropped in truncated(tokenizer, found, max_length):
            if special.issuperset(ids):  # unknown characters alone: nothing could be hidden
                builder.counts["lines_without_words"] = builder.counts.get("lines_without_words", 0) + 1
                continue
            builder.add(len(builder.example), ids, types, ())
            builder.counts["dropped_tokens"] += dropped
            builder.counts["truncated_examples"] += dropped > 0
        places.append((first, len(builder.example) - first))
    translation = settings.translation if texts.bitext else 0.0
    sizes = [size for _, size in places]
    if not all(sizes):
        raise DataError(
            f"no line of {[*texts.text, *texts.bitext][sizes.index(0)]} has a sub-word that the model knows",
            hint="its vocabulary does not cover this script: leave the language out",
        )
    of_text = shares(sizes[: len(texts.text)], settings.alpha)
    of_bitext = shares(sizes[len(texts.text) :], settings.alpha) if texts.bitext else []
    weights = [(1 - translation) * s for s in of_text] + [translation * s for s in of_bitext]
    drawn = [Corpus(first, size, weight) for (first, size), weight in zip(places, weights, strict=True)]
    return builder.build(len(builder.example), None), drawn
