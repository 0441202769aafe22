"""Sentence embeddings: the hidden states of a sentence's sub-words, pooled, at every layer that is asked for.

One pass of the encoder gives all layers and poolings. They go to memory-mapped files in a scratch folder, because BUCC
at 13 layers and 2 poolings is larger than a laptop's memory. Embeddings are scratch: never the output of a node.

Shape legend: T tokens of a batch end to end; B sequences of a batch; N sentences, U distinct ones; H hidden size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from xstilts.batching.batch import Batch, gather
from xstilts.batching.micro_batches import inference_batches
from xstilts.errors import DataError, MissingNameError, ModelError, StoreError
from xstilts.hyperparameters import Encoding
from xstilts.inference.stream import Room, stream
from xstilts.models.streamed_model import StreamedModel
from xstilts.task_types import Features, Retrieval, Tokenizer
from xstilts.task_types.base import FloatArray, IntArray

Progress = Callable[[int, int], None]
"""``(sentences done, sentences in all)``."""

SENTENCES_AT_ONCE = 16384
"""Sentences whose sub-words are in memory together. They are sorted by length among themselves."""
_CUT = ("dropped_tokens", "truncated_examples")  # what is counted of the sentences


class Layers(Protocol):
    """An encoder seen from here."""

    def layers(self, batch: Batch, *, up_to: int | None = None) -> list[Tensor]:
        """Hidden states, T x H each: the embedding output, then each layer up to ``up_to``."""


class LayerModel(Protocol):
    """A model seen from here: what embedding a sentence needs of it."""

    @property
    def encoder(self) -> Layers:
        """Gives the hidden states of every layer."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Cuts sentences into sub-words."""

    @property
    def device(self) -> torch.device:
        """Where the encoder lies."""

    @property
    def num_layers(self) -> int:
        """Layers above the embedding output."""

    @property
    def hidden_size(self) -> int:
        """H."""


def mean(states: Tensor, lengths: Sequence[int]) -> Tensor:
    """The mean over all sub-words of each sequence, special ones included, in float32: T x H to B x H.

    XTREME and jiant average under the attention mask, so ``<s>`` and ``</s>`` count (FACTS 2.4).
    """
    counts = torch.tensor(lengths, device=states.device)
    return torch.segment_reduce(states.float(), "mean", lengths=counts, axis=0)


def first(states: Tensor, lengths: Sequence[int]) -> Tensor:
    """The first sub-word of each sequence (``<s>`` or ``[CLS]``), in float32: T x H to B x H."""
    counts = torch.tensor(lengths, device=states.device)
    return states[counts.cumsum(0) - counts].float()


POOLINGS: Mapping[str, Callable[[Tensor, Sequence[int]], Tensor]] = {"mean": mean, "first": first}


@dataclass(frozen=True)
class Embeddings:
    """What ``embed`` wrote.

    Args:
        folder: the scratch folder; whoever made it removes it.
        rows: for each of N sentences its row in the matrices. Equal sentences share one, and rows are numbered by first
            occurrence.
        layers, poolings: what was asked.
        counts: sub-words dropped because a sentence was longer than the encoding allows, and such sentences.
    """

    folder: Path
    rows: IntArray
    layers: tuple[int, ...]
    poolings: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def sentences(self) -> IntArray:
        """For each row the first sentence it stands for, U."""
        return np.unique(self.rows, return_index=True)[1].astype(np.int64)

    def matrix(self, layer: int, pooling: str) -> FloatArray:
        """U x H, float32, memory-mapped, read-only, not normalised."""
        matrix: FloatArray = np.load(_file(self.folder, layer, pooling), mmap_mode="r", allow_pickle=False)
        return matrix

    def discard(self, layer: int, pooling: str) -> None:
        """Give one matrix's space back."""
        _file(self.folder, layer, pooling).unlink()


def embed(
    model: LayerModel | StreamedModel,
    sentences: Sequence[str],
    encoding: Encoding,
    *,
    layers: Sequence[int],
    poolings: Sequence[str],
    out: Path,
    micro_batch_tokens: int = 4096,
    progress: Callable[..., None] | None = None,
) -> Embeddings:
    """Pool every sentence at every asked layer. Layers above the largest asked one are not run.

    Args:
        model: gives hidden states; it must be in evaluation mode.
        sentences: N texts; equal ones are embedded once.
        encoding: its ``max_length`` cuts long sentences; what is cut is counted.
        layers: 0 is the embedding output, ``model.num_layers`` the last layer.
        poolings: names of ``POOLINGS``.
        out: an existing scratch folder without embeddings.
        micro_batch_tokens: sub-words in one forward pass; affects rounding only.
        progress: told after each chunk of sentences; a streamed model tells ``(done, total, "layers")`` after each batch.

    Raises:
        ModelError: the model has no such layer.
        MissingNameError: there is no such pooling.
        StoreError: the scratch folder has no room.
    """
    if isinstance(model, StreamedModel):
        (found,) = embed_together(
            model,
            [(sentences, out)],
            encoding,
            layers=layers,
            poolings=poolings,
            scratch=out,
            micro_batch_tokens=micro_batch_tokens,
            progress=progress,
        )
        return found
    distinct, reserved = _reserved(model, sentences, layers, poolings, out)
    counts = dict.fromkeys(_CUT, 0)
    for start in range(0, len(distinct), SENTENCES_AT_ONCE):
        chunk = distinct[start : start + SENTENCES_AT_ONCE]
        cut = _embed_chunk(model, chunk, encoding, micro_batch_tokens, start, reserved.matrices)
        counts = {name: n + cut[name] for name, n in counts.items()}
        if progress:
            progress(start + len(chunk), len(distinct))
    return replace(reserved.empty, counts=counts)


def embed_together(
    model: StreamedModel,
    sets: Sequence[tuple[Sequence[str], Path]],
    encoding: Encoding,
    *,
    layers: Sequence[int],
    poolings: Sequence[str],
    scratch: Path,
    micro_batch_tokens: int = 4096,
    progress: Callable[..., None] | None = None,
) -> list[Embeddings]:
    """Embed several sets of sentences, each into its own folder, in one pass over the weights of a streamed model.

    Takes and raises what ``embed`` does; ``scratch`` is a folder where hidden states may lie meanwhile, and ``progress(done,
    total, unit)`` is told in layers.
    """
    chosen: list[tuple[Features, _Reserved, IntArray]] = []
    found = []
    for sentences, out in sets:
        distinct, reserved = _reserved(model, sentences, layers, poolings, out)
        features = Retrieval("nearest").encode(distinct, model.tokenizer, encoding)
        chosen += [(features, reserved, of) for of in inference_batches(features, micro_batch_tokens)]
        found.append(replace(reserved.empty, counts={name: features.counts[name] for name in _CUT}))
    batches = [gather(features, sequences, model.device) for features, _, sequences in chosen]

    def keep(layer: int, at: int, states: Tensor) -> None:
        features, reserved, sequences = chosen[at]
        for pooling in found[0].poolings:
            pooled = POOLINGS[pooling](states, batches[at].lengths)
            reserved.matrices[layer, pooling][features.example[sequences]] = pooled.cpu().numpy()

    room = Room(scratch / "states", every_seconds=math.inf)  # scratch does not outlive a kill
    stream(model.encoder, batches, keep, wanted=set(layers), room=room, progress=progress)
    return found


@dataclass(frozen=True)
class _Reserved:
    """Embeddings to be filled in."""

    empty: Embeddings
    matrices: Mapping[tuple[int, str], FloatArray]


def _reserved(
    model: LayerModel | StreamedModel,
    sentences: Sequence[str],
    layers: Sequence[int],
    poolings: Sequence[str],
    out: Path,
) -> tuple[list[str], _Reserved]:
    """The different sentences, and a row for each of them in every matrix."""
    layers, poolings = tuple(dict.fromkeys(layers)), tuple(dict.fromkeys(poolings))
    _check(model, sentences, layers, poolings)
    numbers: dict[str, int] = {}
    rows = np.array([numbers.setdefault(s, len(numbers)) for s in sentences], np.int64)
    matrices = {p: _reserve(_file(out, *p), (len(numbers), model.hidden_size)) for p in product(layers, poolings)}
    return list(numbers), _Reserved(Embeddings(out, rows, layers, poolings), matrices)


def _check(
    model: LayerModel | StreamedModel, sentences: Sequence[str], layers: tuple[int, ...], poolings: tuple[str, ...]
) -> None:
    if not sentences:
        raise DataError("there is no sentence to embed")
    if not layers or not poolings:
        raise ModelError("at least one layer and one pooling must be asked for")
    for layer in layers:
        if not 0 <= layer <= model.num_layers:
            raise ModelError(
                f"layer {layer} was asked of an encoder with {model.num_layers} layers",
                hint=f"0 is the embedding output, {model.num_layers} the last layer",
            )
    for pooling in poolings:
        if pooling not in POOLINGS:
            raise MissingNameError("pooling", pooling, POOLINGS)


def _embed_chunk(
    model: LayerModel,
    sentences: Sequence[str],
    encoding: Encoding,
    micro_batch_tokens: int,
    start: int,
    matrices: Mapping[tuple[int, str], FloatArray],
) -> dict[str, int]:
    """Fill rows ``start`` and following; gives the features' counts."""
    features = Retrieval("nearest").encode(sentences, model.tokenizer, encoding)
    last = max(layer for layer, _ in matrices)
    with torch.inference_mode():
        for sequences in inference_batches(features, micro_batch_tokens):
            batch = gather(features, sequences, model.device)
            states = model.encoder.layers(batch, up_to=last)
            for (layer, pooling), matrix in matrices.items():
                pooled = POOLINGS[pooling](states[layer], batch.lengths)
                matrix[start + features.example[sequences]] = pooled.cpu().numpy()
    return features.counts


def _file(folder: Path, layer: int, pooling: str) -> Path:
    return folder / f"layer-{layer:03d}-{pooling}.npy"


def _reserve(path: Path, shape: tuple[int, int]) -> FloatArray:
    """A memory-mapped matrix whose space on disk is really there.

    A sparse file on a full disk would end the process by SIGBUS at the first write; reserving gives an error instead.
    """
    try:
        matrix: FloatArray = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        need = shape[0] * shape[1] * 4 / 2**20
        raise StoreError(
            f"embeddings of {need:.0f} MiB a layer and pooling do not fit in the scratch folder: {error.strerror}",
            where=str(path),
            hint="the store's disk is full: point --store at a larger one",
        ) from error
    return matrix
