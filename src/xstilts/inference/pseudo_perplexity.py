"""Pseudo-perplexity: how well a masked LM knows a text (Salazar et al. 2020, "Masked Language Model Scoring").

Every sub-word is hidden once, in a copy of its sequence in which all others can be seen, and

    pseudo-perplexity = exp(-1 / N * sum over sequences and their N sub-words of log P(sub-word | the others))

Special tokens are neither hidden nor counted. It depends on how a vocabulary cuts a text, so it compares models of one
vocabulary. A head that nobody trained says next to nothing: it gives about the size of the vocabulary.

Shape legend: T sub-words of a sequence; K copies of it; R positions read by the head; V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from xstilts.batching import gather, inference_batches, ranges
from xstilts.batching.masking import Masking
from xstilts.errors import ModelError
from xstilts.models.model import Model
from xstilts.task_types import Features
from xstilts.task_types.base import FeatureBuilder, IntArray
from xstilts.task_types.classification import truncated

Progress = Callable[..., None]
"""``progress(done, total, unit)``."""
TEXTS_AT_A_TIME = 64


@dataclass(frozen=True)
class PseudoPerplexity:
    """What a masked LM says of some texts.

    Args:
        log_likelihood: the natural logarithms of all sub-words' probabilities, added up.
        sub_words: how many were hidden and counted, N.
        texts: how many texts.
        dropped_sub_words: cut from the ends of texts that are too long; not counted.
    """

    log_likelihood: float
    sub_words: int
    texts: int
    dropped_sub_words: int

    @property
    def value(self) -> float:
        """exp of the mean negative logarithm; 1 is certainty, V is guessing. Infinite where it exceeds a float."""
        try:
            return math.exp(-self.log_likelihood / self.sub_words)
        except OverflowError:
            return math.inf


def pseudo_perplexity(
    model: Model,
    texts: Sequence[str],
    *,
    max_length: int = 128,
    copies: int | None = None,
    micro_batch_tokens: int = 1024,
    progress: Progress | None = None,
) -> PseudoPerplexity:
    """The pseudo-perplexity of ``texts``, without dropout; the model's mode is put back.

    Args:
        model: with its masked-LM head.
        texts: each is one sequence.
        max_length: sub-words of the longest sequence, special ones included; the rest is cut and counted.
        copies: ``None`` hides one sub-word a copy, as published: T copies of a sequence. A number hides all sub-words whose
            places are the same modulo ``copies`` at once: cheaper, and no longer the published number, for hidden ones do
            not see each other. Say which one was used.
        micro_batch_tokens: sub-words in one forward pass.
        progress: called after every part.

    Raises:
        ModelError: the model has no masked-LM head or no mask, no text has a sub-word, or a logit is not a finite number.
    """
    if model.head_shape is None or model.head_shape.kind != "masked_lm":
        raise ModelError("pseudo-perplexity needs a masked-LM head, and this model has none", where=str(model.source))
    if copies is not None and copies < 1:
        raise ValueError(f"copies: {copies}; needed: a number from 1, or none")
    masking, was_training = Masking.of(model.tokenizer, 0.5), model.training
    total, sub_words, lost = 0.0, 0, 0
    model.eval()
    try:
        for first in range(0, len(texts), TEXTS_AT_A_TIME):
            features = hidden_in_turn(texts[first : first + TEXTS_AT_A_TIME], model, masking, max_length, copies)
            total += _log_likelihood(model, features, micro_batch_tokens)
            sub_words += len(features.read)
            lost += features.counts["dropped_tokens"]
            if progress is not None:
                progress(min(first + TEXTS_AT_A_TIME, len(texts)), len(texts), "texts")
    finally:
        model.train(was_training)
    if not sub_words:
        raise ModelError("none of the texts has a sub-word to hide")
    if not math.isfinite(total):
        raise ModelError("logits are not finite numbers", hint="the weights are damaged or the precision overflows")
    return PseudoPerplexity(total, sub_words, len(texts), lost)


def hidden_in_turn(
    texts: Sequence[str], model: Model, masking: Masking, max_length: int, copies: int | None
) -> Features:
    """Copies of every text, in each of which other sub-words are hidden; every one that is not special is hidden once.

    ``read`` and ``targets`` say where something is hidden, and what it was.
    """
    builder, targets = FeatureBuilder(), []
    for example, (ids, types, dropped) in enumerate(truncated(model.tokenizer, texts, max_length)):
        builder.counts["dropped_tokens"] += dropped
        places = np.flatnonzero(~np.isin(ids, masking.special_ids))
        for hidden in _in_turn(places, copies):
            copy = np.array(ids)
            targets.append(copy[hidden])
            copy[hidden] = masking.mask_id
            builder.add(example, copy.tolist(), types, hidden.tolist())
    return builder.build(len(texts), np.concatenate([*targets, np.empty(0, np.int64)]).tolist())


def _in_turn(places: IntArray, copies: int | None) -> list[IntArray]:
    """The places to hide in each copy: one, or every ``copies``-th."""
    apart = len(places) if copies is None else min(copies, len(places))
    return [places[first::apart] for first in range(apart)]


def _log_likelihood(model: Model, features: Features, micro_batch_tokens: int) -> float:
    """The log-probabilities of the targets, added up in double precision."""
    assert features.targets is not None
    read_counts, total = np.diff(features.read_offsets), 0.0
    with torch.inference_mode():
        for sequences in inference_batches(features, micro_batch_tokens):
            logits = model.logits(gather(features, sequences, model.device))
            targets = features.targets[ranges(features.read_offsets[sequences], read_counts[sequences])]
            losses = cross_entropy(logits, torch.from_numpy(targets).to(logits.device), reduction="none")
            total -= float(losses.double().sum())
    return total
