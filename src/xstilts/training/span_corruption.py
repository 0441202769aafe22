"""Span corruption and denoising as a course: pre-training of a text-to-text model from scratch (Raffel et al. 2020).

Spans of a text are taken out, a sentinel left for each. By span corruption (section 3.1.4) the model writes each sentinel and
what stood there; by denoising (section 3.3.1; Lewis et al. 2020) the whole text, most of which stands in what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xstilts.batching.texts import Rows, TextBatch, TextFeatures, gather_texts, padded_batches
from xstilts.hyperparameters import Pretraining, Training
from xstilts.models.text_model import TextModel
from xstilts.models.text_scratch import SENTINELS
from xstilts.task_types import Features
from xstilts.task_types.base import IntArray
from xstilts.training.course import MicroBatch, Step, Trainable, evaluates_after
from xstilts.training.masked_lm import Corpus, OverText, Texts, draw_lines, encode_corpora

MEAN_SPAN = 3
"""Sub-words of a span on average."""


@dataclass(frozen=True)
class SpanCorruptionCourse(OverText):
    """``batch_size`` lines a step, drawn as masked LM draws them; everything from (seed, step).

    Args:
        features: all lines, corpus after corpus, each with its end token.
        corpora: their places and shares.
        share: of a line's sub-words that are taken out.
        sentinels: sub-words that stand for what is taken out.
        settings: hyper-parameters; ``max_steps`` or ``epochs`` over all lines.
        seed: of draws and dropout.
        padding_id: of the model that learns.
        whole: the whole line is written (denoising), not only what is taken out.
    """

    features: Features
    corpora: Sequence[Corpus]
    share: float
    sentinels: tuple[int, ...]
    settings: Training
    seed: int
    padding_id: int
    whole: bool = False

    def step(self, number: int, micro_batch_tokens: int, device: torch.device) -> Step:
        """Step ``number``: its lines with spans taken out, in padded micro-batches."""
        draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, number), spawn_key=(4,))))
        lines = draw_lines(self.corpora, self.settings.batch_size, draws)
        offsets, pairs = self.features.offsets, []
        for line in lines:
            here = self.features.input_ids[offsets[line] : offsets[line + 1]].astype(np.int64)
            taken_out, spans = corrupted(here, self.share, self.sentinels, draws)
            pairs.append((taken_out, here.tolist() if self.whole else spans))
        made = TextFeatures(Rows.of([read for read, _ in pairs]), Rows.of([write for _, write in pairs]), {})
        assert made.targets is not None
        read, written = made.inputs.lengths, made.targets.lengths
        parts = padded_batches(np.arange(len(lines)), read, written, micro_batch_tokens)
        return Step(
            micro_batches=self._micro_batches(made, parts, lines, device),
            items=int(written.sum()),
            examples=len(lines),
            windows=len(lines),
            tokens=int(read.sum() + written.sum()),
        )

    def _micro_batches(
        self, made: TextFeatures, parts: Sequence[IntArray], lines: IntArray, device: torch.device
    ) -> Iterator[MicroBatch]:
        for rows in parts:
            batch = gather_texts(made, rows, self.padding_id, device)
            assert batch.targets is not None
            yield MicroBatch(batch, batch.targets, lines[rows])

    def loss(self, model: Trainable, micro_batch: MicroBatch) -> Tensor:
        """Cross-entropy of the sub-words to be written."""
        assert isinstance(model, TextModel) and isinstance(micro_batch.batch, TextBatch)
        return model.loss(micro_batch.batch)

    def evaluates_after(self, done: int) -> bool:
        """Pre-training keeps the last step, so nothing asks."""
        return evaluates_after(done, self.total, self.per_epoch, self.settings)


def corrupted(
    line: IntArray, share: float, sentinels: Sequence[int], draws: np.random.Generator
) -> tuple[list[int], list[int]]:
    """What is read of a line and what is to be written, by T5's rule: spans alternate, what stays comes first.

    Args:
        line: sub-words, the end token last.
        share: to take out, at least one sub-word and, where there are two, not all.
        sentinels: at most so many spans.
        draws: where to cut.
    """
    size, end = len(line) - 1, int(line[-1])
    out = min(max(round(size * share), 1), max(size - 1, 1))
    stay = size - out
    spans = max(1, min(round(out / MEAN_SPAN), len(sentinels), out, max(stay, 1)))
    read, write, at = list[int](), list[int](), 0
    pieces = zip(_cut(stay, spans, draws), _cut(out, spans, draws), sentinels, strict=False)
    for kept, taken, sentinel in pieces:
        read += [*line[at : at + kept].tolist(), sentinel]
        write += [sentinel, *line[at + kept : at + kept + taken].tolist()]
        at += kept + taken
    return [*read, end], [*write, end]


def _cut(size: int, parts: int, draws: np.random.Generator) -> list[int]:
    """``size`` as a sum of so many numbers from 1, all sums alike likely; zeros where there is nothing."""
    if size < parts:
        return [0] * parts
    cuts = np.sort(draws.choice(size - 1, parts - 1, replace=False)) + 1 if parts > 1 else np.empty(0, np.int64)
    lengths: list[int] = np.diff(np.concatenate(([0], cuts, [size]))).astype(int).tolist()
    return lengths


def span_corruption_course(texts: Texts, model: TextModel, settings: Pretraining) -> SpanCorruptionCourse:
    """The course that learns from ``texts``, whose lines are cut at the length of ``settings.model``."""
    features, corpora = encode_corpora(texts, model.tokenizer, settings, settings.model.max_length)
    vocabulary = model.tokenizer.rust.get_vocab()
    sentinels = tuple(vocabulary[sentinel] for sentinel in SENTINELS)
    of = (features, corpora, settings.mask, sentinels, settings.training, settings.seed, model.padding_id)
    return SpanCorruptionCourse(*of, whole=settings.objective == "denoising")
