"""A model folder with random weights, of any size, written block by block: memory holds one block, never a weight matrix.

For plans, speed and tests only: such a model has learned nothing. Its config.json says so (``shapes.RANDOM``), and everything
that is made from it says it too. The format of the files is safetensors': a header of JSON, then the numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from xstilts.errors import ModelError
from xstilts.graph.disk import aside, guarded, sync_folder, write_synced
from xstilts.model_source import TOKENIZER_FILES
from xstilts.models.loading import WEIGHTS, load_tokenizer
from xstilts.models.precision import Precision
from xstilts.shapes import RANDOM, Weight, weights

SHARD_BYTES = 4 * 2**30
BLOCK = 2**22
"""Numbers that are drawn at once: part of what a seed means."""
_DTYPES: Mapping[str, tuple[torch.dtype, str, str]] = {
    "fp32": (torch.float32, "F32", "float32"),
    "bf16": (torch.bfloat16, "BF16", "bfloat16"),
}
Progress = Callable[[int, int], None]
"""``(bytes written, bytes in all)``."""


def write_random_model(
    folder: Path,
    config: Mapping[str, Any],
    seed: int,
    *,
    dtype: Precision = "fp32",
    tokenizer: Path | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write config.json, safetensors weights and a tokenizer's files; the folder appears whole by one rename.

    Every weight is drawn from (seed, its name), as transformers draws untrained ones, so neither the order nor the size of
    the files changes it.

    Args:
        folder: must not be there.
        config: what config.json shall say; a family of ``shapes.weights``.
        seed: of the weights; the global random state is not touched.
        dtype: of the files; bf16 rounds what fp32 would have.
        tokenizer: a folder whose tokenizer files are copied.
        shard_bytes: a file is begun anew before it would grow beyond this; a larger weight has a file of its own.
        progress: told after each block.

    Returns:
        Parameters and bytes of weights.

    Raises:
        ModelError: the folder is there, the family is not known, or the tokenizer has more sub-words than the model rows.
        StoreError: the disk refuses; nothing is left behind.
    """
    if folder.exists():
        raise ModelError("something is already there, and nothing is overwritten", where=str(folder))
    every = list(weights(config))
    if tokenizer is not None:
        _check_vocabulary(tokenizer, int(config["vocab_size"]))
    fresh = aside(folder)
    with guarded(folder):
        try:
            fresh.mkdir(parents=True)
            written = write_weights(fresh, every, seed, dtype=dtype, shard_bytes=shard_bytes, progress=progress)
            marked = {**config, "dtype": _DTYPES[dtype][2], RANDOM: {"seed": seed, "block": BLOCK}}
            write_synced(fresh / "config.json", json.dumps(marked, indent=2) + "\n")
            for file in [] if tokenizer is None else [tokenizer / name for name in TOKENIZER_FILES]:
                if file.is_file():
                    shutil.copyfile(file, fresh / file.name)
            sync_folder(fresh)
            fresh.rename(folder)
            sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return {"parameters": sum(w.count for w in every), "bytes": written}


def _check_vocabulary(tokenizer: Path, rows: int) -> None:
    size = load_tokenizer(tokenizer).rust.get_vocab_size()
    if size > rows:
        raise ModelError(
            f"the tokenizer has {size:,} sub-words, but the shape has rows for {rows:,}",
            where=str(tokenizer),
            hint="use the tokenizer of that family",
        )


def write_weights(
    folder: Path,
    every: Sequence[Weight],
    seed: int,
    *,
    dtype: Precision,
    shard_bytes: int,
    progress: Progress | None,
) -> int:
    """Write one file, or several with an index; gives the bytes of all weights."""
    shards = list(_shards(every, _DTYPES[dtype][0].itemsize, shard_bytes))
    total, done = sum(w.count for w in every) * _DTYPES[dtype][0].itemsize, 0
    places: dict[str, str] = {}
    buffer = torch.empty(min(BLOCK, max(w.count for w in every)))
    for number, shard in enumerate(shards, start=1):
        name = WEIGHTS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        places |= {weight.name: name for weight in shard}
        with (folder / name).open("wb") as file:
            file.write(_header(shard, dtype))
            for weight in shard:
                for block in draw(weight, seed, buffer):
                    done += _put(file, block.to(_DTYPES[dtype][0]))
                    if progress is not None:
                        progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        write_synced(folder / f"{WEIGHTS}.index.json", json.dumps(index, indent=1) + "\n")
    return total


def _shards(every: Sequence[Weight], item: int, most: int) -> Iterator[list[Weight]]:
    shard: list[Weight] = []
    size = 0
    for weight in every:
        if shard and size + weight.count * item > most:
            yield shard
            shard, size = [], 0
        shard.append(weight)
        size += weight.count * item
    yield shard


def _header(shard: Sequence[Weight], dtype: Precision) -> bytes:
    """Eight bytes of length, then JSON padded with spaces to a multiple of eight, so that the numbers are aligned."""
    (number, name, _), at = _DTYPES[dtype], 0
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for weight in shard:
        end = at + weight.count * number.itemsize
        entries[weight.name] = {"dtype": name, "shape": list(weight.size), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def draw(weight: Weight, seed: int, buffer: Tensor) -> Iterator[Tensor]:
    """The numbers of one weight, float32, block by block; each lies in ``buffer``, where the next one will."""
    digest = hashlib.sha256(f"{seed} {weight.name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    for start in range(0, weight.count, len(buffer)):
        block = buffer[: min(len(buffer), weight.count - start)]
        yield (
            block.normal_(weight.mean, weight.deviation, generator=generator)
            if weight.deviation
            else block.fill_(weight.mean)
        )


def _put(file: BinaryIO, block: Tensor) -> int:
    return file.write(block.view(torch.uint8).numpy().data)
