"""Masked LM: which sub-words are to be predicted, and what stands in their place (Devlin et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xstilts.batching.batch import ranges
from xstilts.errors import ModelError
from xstilts.task_types import Features, Tokenizer
from xstilts.task_types.base import IntArray

MASKED, REPLACED = 0.8, 0.1
"""Of the sub-words to predict these shares become the mask and another sub-word; the rest stay as they are."""


@dataclass(frozen=True)
class Masking:
    """How sub-words are chosen and replaced.

    Args:
        share: of the sub-words that are not special, each to be predicted with this probability.
        mask_id: the mask.
        special_ids: never predicted, never put in.
        vocabulary: sub-words there are.
    """

    share: float
    mask_id: int
    special_ids: tuple[int, ...]
    vocabulary: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, share: float) -> Masking:
        """The masking of a tokenizer that has a mask.

        Raises:
            ModelError: it has none.
        """
        if tokenizer.mask_id is None:
            raise ModelError(
                "the tokenizer has no mask token, so nothing can be hidden from this model",
                hint="masked LM needs a model that was pre-trained by it, with mask_token in tokenizer_config.json",
            )
        return cls(
            share, tokenizer.mask_id, special_ids(tokenizer), tokenizer.rust.get_vocab_size(with_added_tokens=True)
        )

    @cached_property
    def ordinary_ids(self) -> IntArray:
        """What may be put in another's place."""
        return np.setdiff1d(np.arange(self.vocabulary), self.special_ids)


def special_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Sub-words that stand for no text."""
    added = tokenizer.rust.get_added_tokens_decoder()
    return tuple(sorted(number for number, token in added.items() if token.special))


def masked(features: Features, sequences: IntArray, masking: Masking, generator: np.random.Generator) -> Features:
    """The sequences with some sub-words hidden: features that read where something is hidden, and what it was (targets).

    If chance hides nothing, one sub-word is hidden all the same, so that there is something to learn from.
    """
    lengths = features.lengths[sequences]
    ids = features.input_ids[ranges(features.offsets[sequences], lengths)].copy()
    may = ~np.isin(ids, masking.special_ids)
    chosen = may & (generator.random(len(ids)) < masking.share)
    if not chosen.any() and may.any():
        chosen[generator.choice(np.flatnonzero(may))] = True
    read = np.flatnonzero(chosen)
    targets = ids[read].astype(np.int64)
    fate = generator.random(len(read))
    other = generator.choice(masking.ordinary_ids, len(read))
    ids[read] = np.where(fate < MASKED, masking.mask_id, np.where(fate < MASKED + REPLACED, other, targets))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    read_offsets = np.searchsorted(read, offsets)
    return Features(
        input_ids=ids,
        type_ids=features.type_ids[ranges(features.offsets[sequences], lengths)],
        offsets=offsets,
        example=np.arange(len(sequences)),
        read=read - np.repeat(offsets[:-1], np.diff(read_offsets)),
        read_offsets=read_offsets,
        targets=targets,
        num_examples=len(sequences),
    )
