"""Layer streaming: all sequences through one layer, then all through the next, so that every weight is read once.

What bounds memory is then one layer and the next, one batch, and the hidden states of all sequences between two layers; those
may lie on a disk. Results equal those of the encoder in memory up to rounding: the same layers see the same batches.

Shape legend: T tokens of all batches end to end; R positions read; C outputs; H hidden size.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xstilts.batching import gather, inference_batches, ranges
from xstilts.batching.batch import Batch
from xstilts.errors import ModelError
from xstilts.inference.activations import FLOAT_BYTES, InMemory, Kept, OnDisk, States
from xstilts.memory.room import free_bytes, give_back
from xstilts.models.layout import arrange
from xstilts.models.packed_attention import Packing
from xstilts.models.streamed import StreamedEncoder
from xstilts.models.streamed_model import StreamedModel
from xstilts.task_types import Features
from xstilts.task_types.base import FloatArray, IntArray

Progress = Callable[..., None]
"""``progress(done, total, unit)``."""
Keep = Callable[[int, int, Tensor], None]
"""``keep(layer, number of the batch, states)``: T x H float32 in the batch's order, or R x H of what is read."""


@dataclass(frozen=True)
class Room:
    """Where hidden states may lie.

    Args:
        folder: on a disk with room for them; kept through a kill, removed at the end. ``None``: memory only.
        every_seconds: states in memory are saved to it when so much time has gone by; those on a disk after every layer.
        held: while held nobody else has taken this work over; it raises when somebody has.
    """

    folder: Path | None = None
    every_seconds: float = 120.0
    held: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True)
class StreamNeeds:
    """What a streamed evaluation takes, in bytes; known before anything is read.

    Args:
        layers: two layers' weights, and what a weight is read into before it is cast.
        embeddings: rows of the embedding matrix that occur, before the first layer only.
        batch: what one batch needs while it is in a layer.
        states: of all sequences between two layers; twice that on a disk.
    """

    layers: int
    embeddings: int
    batch: int
    states: int

    @property
    def without_states(self) -> int:
        """The largest sum of what is there at one time."""
        return max(self.layers, self.embeddings) + self.batch

    @classmethod
    def of(cls, encoder: StreamedEncoder, num_ids: int, tokens: int, largest_batch: int, longest: int) -> StreamNeeds:
        """Of a set.

        Args:
            encoder: its weights are in files.
            num_ids: different sub-words.
            tokens: sub-words in all.
            largest_batch: sub-words of the largest batch.
            longest: sub-words of the longest sequence.
        """
        config, hidden = encoder.config, encoder.hidden_size
        inner = int(getattr(config, "intermediate_size", None) or config.d_ff)
        # At the widest point: the layer's input, its attention's output, and the inner states before and after GELU.
        batch = largest_batch * (3 * hidden + 2 * inner) * FLOAT_BYTES
        if encoder.device.type == "cpu" and encoder.precision == "fp32":  # oneDNN lays the widest weight anew
            batch += hidden * inner * FLOAT_BYTES
        if not encoder.packed or encoder.precision == "bf16":  # weights of attention are there as a whole
            batch += 2 * largest_batch * longest * int(config.num_attention_heads) * FLOAT_BYTES
        layers = 2 * encoder.layer_bytes + encoder.staging_bytes
        return cls(layers, num_ids * (encoder.row_bytes + 8), batch, tokens * hidden * FLOAT_BYTES)


def stream(
    encoder: StreamedEncoder,
    batches: Sequence[Batch],
    keep: Keep,
    *,
    wanted: Collection[int],
    read_only: bool = False,
    room: Room | None = None,
    progress: Progress | None = None,
) -> None:
    """Run all batches through the layers up to the last wanted one; no weight above it is read.

    Args:
        encoder: whose weights are in files.
        batches: on its device.
        keep: is given the states of the wanted layers, a layer at a time, batches in order.
        wanted: numbers of layers; 0 is the embeddings' output.
        read_only: of the last layer, only the positions that a head reads (R) are computed and kept.
        room: where hidden states may lie. Only an evaluation that wants one layer goes on after a kill.
        progress: told after each batch, in layers.

    Raises:
        ModelError: neither memory nor disk has room; said before anything is computed.
        StoreError: the disk failed.
    """
    room = room or Room()
    packings = [Packing(arrange(batch.lengths, encoder.device)) for batch in batches]
    ids = np.unique(np.concatenate([np.unique(batch.input_ids.cpu().numpy()) for batch in batches]))
    tokens, longest = [batch.num_tokens for batch in batches], max(max(batch.lengths) for batch in batches)
    needs = StreamNeeds.of(encoder, len(ids), sum(tokens), max(tokens), longest)
    own = None if room.folder is None else room.folder / _fingerprint(encoder, batches, wanted)
    states = _open(encoder, needs, own, room, resumes=len(wanted) == 1)
    with ExitStack() as ends, torch.inference_mode():
        ends.callback(encoder.files.close)
        ends.callback(states.close)
        if states.finished is None:
            _embed(encoder, batches, packings, states, ids, keep, wanted)
        _run_layers(encoder, batches, packings, states, keep, wanted, progress, read_only=read_only)
    if own is not None:
        shutil.rmtree(own, ignore_errors=True)


def _embed(
    encoder: StreamedEncoder,
    batches: Sequence[Batch],
    packings: Sequence[Packing],
    states: States,
    ids: IntArray,
    keep: Keep,
    wanted: Collection[int],
) -> None:
    """Layer 0."""
    embed, first = encoder.embedder(ids), 0
    for at, (batch, packing) in enumerate(zip(batches, packings, strict=True)):
        embedded = embed(batch, packing.layout)
        if 0 in wanted:
            keep(0, at, packing.layout.restore(embedded))
        if max(wanted):
            states.write(first, embedded)
        first += batch.num_tokens
    if max(wanted):
        states.finish(0)


def _run_layers(
    encoder: StreamedEncoder,
    batches: Sequence[Batch],
    packings: Sequence[Packing],
    states: States,
    keep: Keep,
    wanted: Collection[int],
    progress: Progress | None,
    *,
    read_only: bool,
) -> None:
    """Every layer behind the one that is finished, up to the last wanted one."""
    begin, last = (states.finished or 0) + 1, max(wanted)
    with closing(encoder.layers(begin, last)) as layers:
        for number, layer in enumerate(layers, begin):
            first = 0
            for at, (batch, packing) in enumerate(zip(batches, packings, strict=True)):
                rows = packing.layout.sorted_places(batch.read) if read_only and number == last else None
                passed = encoder.run(layer, states.read(first, first + batch.num_tokens), packing, rows)
                if number < last:
                    states.write(first, passed)
                if number in wanted:
                    passed = encoder.finish(passed) if number == encoder.num_layers else passed
                    keep(number, at, passed if rows is not None else packing.layout.restore(passed))
                if progress is not None:
                    progress(number - 1 + (at + 1) / len(batches), last, "layers")
                first += batch.num_tokens
            if number < last:
                states.finish(number)


def stream_logits(
    model: StreamedModel,
    parts: Sequence[Features],
    *,
    micro_batch_tokens: int,
    room: Room | None = None,
    progress: Progress | None = None,
) -> list[FloatArray]:
    """The head's outputs at every read position of each of several sets, R x C float32, in one pass over the weights.

    Batches are those of ``predict_logits``. A set without sequences gives 0 x 1.
    """
    chosen = [(part, sequences) for part in parts for sequences in inference_batches(part, micro_batch_tokens)]
    batches = [gather(part, sequences, model.device) for part, sequences in chosen]
    found: dict[int, FloatArray] = {}

    def keep(_: int, at: int, read: Tensor) -> None:
        part, sequences = chosen[at]
        logits = model.logits(read).cpu().numpy()
        whole = found.setdefault(id(part), np.empty((len(part.read), logits.shape[1]), np.float32))
        whole[ranges(part.read_offsets[sequences], np.diff(part.read_offsets)[sequences])] = logits

    if batches:
        last = {model.num_layers}
        stream(model.encoder, batches, keep, wanted=last, read_only=True, room=room, progress=progress)
    return [found.get(id(part), np.zeros((0, 1), np.float32)) for part in parts]


def _open(encoder: StreamedEncoder, needs: StreamNeeds, own: Path | None, room: Room, *, resumes: bool) -> States:
    """On the device if there is room, else in memory, else on the disk."""
    rows, width = needs.states // (encoder.hidden_size * FLOAT_BYTES), encoder.hidden_size
    host, device = torch.device("cpu"), encoder.device
    give_back()
    free = {place: free_bytes(str(place)) or 0 for place in {host, device}}
    if needs.without_states > free[device]:
        raise ModelError(
            f"streaming needs {_gib(needs.without_states)} on {device} for two layers and a batch, but {_gib(free[device])} "
            "are available",
            where=str(encoder.folder),
            hint="fewer --micro-batch-tokens, or another --device",
        )
    kept = None if own is None else Kept(own, needs.states, room.held)
    for place in dict.fromkeys([device, host]):
        taken = needs.without_states if place == device else 0
        if needs.states + taken <= free[place]:
            return InMemory(rows, width, place, device, kept if resumes else None, room.every_seconds)
    there = 0 if own is None else shutil.disk_usage(own).free
    if kept is None or 2 * needs.states > there:
        raise ModelError(
            f"the hidden states of {rows:,} sub-words take {_gib(needs.states)}: they do not fit into the "
            f"{_gib(free[host])} of memory available (the layers need {_gib(needs.without_states)}), and on a disk they need "
            f"{_gib(2 * needs.states)}"
            + (f", where {_gib(there)} are free" if own else ", but no folder was given for them"),
            where=str(own.parent if own else encoder.folder),
            hint="evaluate fewer rows or languages at a time, free some disk space, or name a store on a larger disk",
        )
    if not resumes:
        kept.remove()
        kept = Kept(kept.folder, needs.states, room.held)
    return OnDisk(rows, width, device, kept)


def _fingerprint(encoder: StreamedEncoder, batches: Sequence[Batch], wanted: Collection[int]) -> str:
    """Of everything that hidden states between two layers depend on."""
    digest = hashlib.sha256()
    facts = (
        encoder.files.identity,
        encoder.precision,
        encoder.device.type,
        sorted(wanted),
        encoder.config.to_json_string(),
    )
    digest.update(repr(facts).encode())
    for batch in batches:
        digest.update(repr((batch.lengths, batch.read_counts)).encode())
        for tensor in (batch.input_ids, batch.type_ids, batch.read):
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
