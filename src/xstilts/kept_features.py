"""Features of a training set, made once and read from the disk by whoever trains on the same rows.

Arms, seeds and learning rates train on the same sub-words, and cutting 400,000 sentence pairs takes a minute. What is kept is
found by all that decides it: the rows with their gold, the tokenizer, the options, the shape of task and the version of the
code. It is memory-mapped, so workers on one machine share it. It may be removed at any time.

    cache/features/KEY/
        input_ids.npy ...     the arrays of ``Features``, or of what a text-to-text model reads and writes
        features.json         sha-256 of each array, the counts
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.errors import StoreError
from xstilts.graph.disk import as_text, aside, digest_file, guarded, read_json
from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import Features, TaskType, Tokenizer
from xstilts.task_types.chunks import encode_in_chunks

VERSION = 1
"""Of the code that makes features: raised when they may change."""
RECORD = "features.json"

Parts = dict[str, Any]
"""Names -> arrays, and values that JSON can say."""


def kept_features(
    folder: Path, task_type: TaskType, examples: Sequence[Any], tokenizer: Tokenizer, encoding: Encoding
) -> Features:
    """What ``encode_in_chunks`` gives, memory-mapped; made and written to ``folder`` if it is not there whole.

    Raises:
        StoreError: the disk refuses.
    """

    def make() -> Parts:
        made = encode_in_chunks(task_type, examples, tokenizer, encoding)
        return {field.name: getattr(made, field.name) for field in fields(Features)}

    return Features(**kept(folder / features_key(task_type, examples, tokenizer, encoding), make))


def features_key(task_type: TaskType, examples: Sequence[Any], tokenizer: Tokenizer, encoding: Encoding) -> str:
    """SHA-256 over everything that decides the features."""
    return key_of([f"{task_type!r}", encoding.model_dump_json()], tokenizer, (f"{example!r}" for example in examples))


def key_of(options: Iterable[str], tokenizer: Tokenizer, rows: Iterable[str]) -> str:
    """SHA-256 over the options, the version of the code, the tokenizer and the rows."""
    digest = hashlib.sha256("".join(f"{of}\0" for of in (VERSION, *options)).encode())
    digest.update(tokenizer.rust.to_str().encode())
    digest.update(f"\0{tokenizer.unknown_id}".encode())
    for row in rows:
        digest.update(f"\0{row}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def kept(home: Path, make: Callable[[], Parts]) -> Parts:
    """What ``make`` gives, its arrays memory-mapped from the folder ``home``; written there if it is not there whole.

    Raises:
        StoreError: the disk refuses.
    """
    if (found := _read(home)) is not None:
        return found
    with guarded(home):
        _write(make(), home)
    found = _read(home)
    if found is None:
        raise StoreError("features were written and are not there", where=str(home), hint="is the disk damaged?")
    return found


def _write(parts: Parts, home: Path) -> None:
    """Aside and renamed. No flush: what a crash leaves half-written has another digest and is made anew."""
    fresh = aside(home)
    fresh.mkdir(parents=True)
    try:
        record: dict[str, Any] = {"arrays": {}}
        for name, value in parts.items():
            if isinstance(value, np.ndarray):
                np.save(fresh / f"{name}.npy", value, allow_pickle=False)
                record["arrays"][name] = digest_file(fresh / f"{name}.npy")
            else:
                record[name] = value
        (fresh / RECORD).write_text(as_text(record), encoding="utf-8")
        fresh.rename(home)
    except OSError:
        if not (home / RECORD).is_file():  # else another worker was first
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _read(home: Path) -> Parts | None:
    """The parts in ``home``; if they are not what was written they are removed."""
    if not home.is_dir():
        return None
    try:
        record: Parts = read_json(home / RECORD)
        arrays = record.pop("arrays")
        if any(digest_file(home / f"{name}.npy") != digest for name, digest in arrays.items()):
            raise ValueError("another digest")
        # As plain arrays: numpy's class for memory maps is slow to index.
        for name in arrays:
            record[name] = np.asarray(np.load(home / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        return record
    except (StoreError, OSError, ValueError, TypeError, AttributeError, KeyError):
        shutil.rmtree(home, ignore_errors=True)
        return None
