"""Greedy decoding with a key-value cache: what a text-to-text model writes, token for token as transformers' ``generate``.

Rows of near length go together; those that have ended leave the batch, so that a long answer does not keep short ones.

Shape legend: n rows of a batch that have not ended; V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xstilts.batching.texts import TextBatch, TextFeatures, encode_texts, gather_texts, padded_batches
from xstilts.errors import ModelError
from xstilts.models.text_model import Decoding, TextModel
from xstilts.task_types import Tokenizer
from xstilts.task_types.cast import Cast
from xstilts.text_hyperparameters import TextEncoding

Progress = Callable[..., None]
"""``progress(done, total, unit)``."""
CHUNK = 20_000
"""Examples encoded at a time."""


@dataclass(frozen=True)
class Written:
    """The sub-words a model wrote, without start and end, and whether it came to an end."""

    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True)
class Allowed:
    """The only texts that may be written: at every place only sub-words that lead to one of them are looked at.

    Args:
        texts: as sub-words, the end token among them.
    """

    texts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, targets: Sequence[str], tokenizer: Tokenizer) -> Allowed:
        """The texts of all answers there are.

        Raises:
            ModelError: the tokenizer cannot tell two of them apart.
        """
        texts = tuple(tuple(encoded.ids) for encoded in tokenizer.encode(targets))
        if len(set(texts)) < len(texts):
            raise ModelError(f"this model's vocabulary cannot tell these answers apart: {', '.join(targets)}")
        return cls(texts)

    @cached_property
    def next(self) -> Mapping[tuple[int, ...], tuple[int, ...]]:
        """What may follow each beginning."""
        found: dict[tuple[int, ...], dict[int, None]] = {}
        for text in self.texts:
            for at, sub_word in enumerate(text):
                found.setdefault(text[:at], {})[sub_word] = None
        return {beginning: tuple(following) for beginning, following in found.items()}

    def mask(self, written: Sequence[tuple[int, ...]], logits: Tensor) -> Tensor:
        """``logits`` (n x V), minus infinity where nothing allowed would follow."""
        masked = torch.full_like(logits, -torch.inf)
        for row, beginning in enumerate(written):
            may = list(self.next[beginning])
            masked[row, may] = logits[row, may]
        return masked


def generate(
    model: TextModel,
    features: TextFeatures,
    *,
    max_new_tokens: int,
    micro_batch_tokens: int,
    min_new_tokens: int = 0,
    allowed: Allowed | None = None,
    progress: Progress | None = None,
) -> list[Written]:
    """What the model writes for every row, in their order; the model's mode is put back.

    Args:
        model: in any mode.
        features: inputs; targets are not looked at.
        max_new_tokens: at most so many sub-words, the end token among them.
        micro_batch_tokens: sub-words of input that are read at once, padding included.
        min_new_tokens: no text ends before it has so many: all have as many where this is ``max_new_tokens``, whatever the
            model would have said.
        allowed: the only texts that may be written.
        progress: told how many rows are done.

    Raises:
        ModelError: a logit is not a number.
    """
    lengths = features.inputs.lengths
    found: dict[int, Written] = {}
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), model.autocast():
            for rows in padded_batches(np.arange(len(features)), lengths, np.zeros_like(lengths), micro_batch_tokens):
                batch = gather_texts(features, rows, model.padding_id, model.device)
                texts = _written(model, batch, min_new_tokens, max_new_tokens, allowed)
                found |= zip(rows.tolist(), texts, strict=True)
                if progress is not None:
                    progress(len(found), len(features), "rows")
    finally:
        model.train(was_training)
    return [found[row] for row in range(len(features))]


def _written(model: TextModel, batch: TextBatch, least: int, most: int, allowed: Allowed | None) -> list[Written]:
    """The rows of one batch, token by token."""
    decoding = Decoding(model, batch)
    size, device = batch.mask.shape[0], batch.mask.device
    texts: list[tuple[int, ...]] = [()] * size
    ended = [False] * size
    going = list(range(size))
    last = torch.full((size, 1), model.start_id, device=device)
    for number in range(most):
        logits = decoding.next_logits(last)
        if number < least:
            logits[:, model.end_id] = -torch.inf
        if allowed is not None:
            logits = allowed.mask([texts[row] for row in going], logits)
        last = logits.argmax(-1, keepdim=True)
        stay = []
        for place, (row, token) in enumerate(zip(going, last[:, 0].tolist(), strict=True)):
            if token == model.end_id:
                ended[row] = True
            else:
                texts[row] += (token,)
                stay.append(place)
        if not stay:
            break
        if len(stay) < len(going):
            going = [going[place] for place in stay]
            chosen = torch.tensor(stay, device=device)
            last = last[chosen]
            decoding.keep(chosen)
    return [Written(text, end) for text, end in zip(texts, ended, strict=True)]


def write_answers(
    model: TextModel,
    cast: Cast,
    examples: Sequence[Any],
    encoding: TextEncoding,
    *,
    constrained: bool,
    micro_batch_tokens: int,
    progress: Progress | None = None,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows of a raw file (see ``xstilts.parsing.raw_file``), and counts: of encoding, and sub-words read and written.

    Args:
        model: writes.
        cast: says the examples.
        examples: gold is not looked at.
        encoding: lengths.
        constrained: only texts that are answers may be written.
        micro_batch_tokens: sub-words of input that are read at once.
        progress: told how many examples are done.
    """
    allowed = Allowed.of(cast.targets, model.tokenizer) if constrained else None
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for first in range(0, len(examples), CHUNK):
        chunk = examples[first : first + CHUNK]
        features = encode_texts([cast.render(example) for example in chunk], model.tokenizer, encoding)

        def shown(done: int, total: int, _: str, first: int = first) -> None:
            if progress is not None:
                progress(first + done, len(examples), "examples")

        written = generate(
            model,
            features,
            max_new_tokens=encoding.max_target_length,
            micro_batch_tokens=micro_batch_tokens,
            allowed=allowed,
            progress=shown,
        )
        texts = model.tokenizer.rust.decode_batch([list(each.ids) for each in written], skip_special_tokens=True)
        rows += [
            {"id": example.id, "text": text, "tokens": len(each.ids), "ended": each.ended}
            for example, text, each in zip(chunk, texts, written, strict=True)
        ]
        of_chunk = {
            **features.counts,
            "examples": len(chunk),
            "tokens": int(features.inputs.offsets[-1]),
            "tokens_written": sum(len(each.ids) for each in written),
        }
        counts = {name: counts.get(name, 0) + number for name, number in of_chunk.items()}
    return rows, counts
