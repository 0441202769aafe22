"""The tensors in a folder's safetensors files, read by name into memory that is given, every byte counted.

transformers maps whole files. Here a weight is read once, into memory that is used again for the next one, and the system is
told that it need not keep what was read: files larger than the memory would only push other things out of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xstilts.errors import ModelError
from xstilts.models.loading import WEIGHTS
from xstilts.outside import parse_json, read_object
from xstilts.task_types.base import IntArray

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_READ_AT_ONCE = 1 << 26
_LENGTH_BYTES = 8  # of the header, at the beginning of a file


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int  # byte of the file

    @property
    def num_bytes(self) -> int:
        """Its size in the file."""
        return prod(self.shape) * self.dtype.itemsize


class WeightFiles:
    """One ``model.safetensors`` or the shards that its index names. Close it, or use it as a context.

    Args:
        folder: holds them.

    Raises:
        ModelError: there are none, one is missing, damaged or of another kind.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bytes_read = 0  # tensors' bytes, headers not counted
        self._open: dict[Path, FileIO] = {}
        self.stored: dict[str, Stored] = {}
        digest = hashlib.sha256()
        for path in _files(folder):
            header, begin = _header(path)
            state = path.stat()
            digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns} {json.dumps(header)}".encode())
            for name, entry in header.items():
                if name != "__metadata__" and entry["dtype"] in DTYPES:
                    at = begin + entry["data_offsets"][0]
                    self.stored[name] = Stored(path, DTYPES[entry["dtype"]], tuple(entry["shape"]), at)
        self.identity = digest.hexdigest()
        """Of the files as they lie there: names, sizes, times, headers. Not of the weights' values."""

    def read(self, name: str, into: Tensor) -> None:
        """Fill ``into``, a contiguous CPU tensor of the stored dtype and shape."""
        found = self.stored[name]
        assert into.dtype == found.dtype and into.numel() == prod(found.shape) and into.is_contiguous()
        self._fill(found, found.start, into)
        self._forget(found)

    def read_rows(self, name: str, rows: IntArray) -> Tensor:
        """The rows (ascending, each once) of a matrix, in the stored dtype; no others are read."""
        found = self.stored[name]
        width = found.shape[1] * found.dtype.itemsize
        table = torch.empty((len(rows), found.shape[1]), dtype=found.dtype)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file(found.file).fileno(), found.start, found.num_bytes, os.POSIX_FADV_RANDOM)
        cuts = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            self._fill(found, found.start + int(rows[first]) * width, table[first:end])
        self._forget(found)
        return table

    def _fill(self, found: Stored, at: int, into: Tensor) -> None:
        target = into.view(-1).view(torch.uint8).numpy().data
        file = self._file(found.file)
        file.seek(at)
        done = 0
        while done < len(target):
            count = file.readinto(target[done : done + _READ_AT_ONCE])
            if not count:
                raise ModelError("the weights end before their header says so", where=str(found.file))
            done += count
        self.bytes_read += done

    def _forget(self, found: Stored) -> None:
        if hasattr(os, "posix_fadvise"):
            handle = self._file(found.file).fileno()
            os.posix_fadvise(handle, found.start, found.num_bytes, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def _file(self, path: Path) -> FileIO:
        if path not in self._open:
            with _readable(path):
                self._open[path] = FileIO(path)
        return self._open[path]

    def close(self) -> None:
        """Close what is open; a later ``read`` opens it again."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _files(folder: Path) -> Iterator[Path]:
    whole, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if whole.is_file():
        yield whole
        return
    with _readable(index):
        names = sorted(map(str, set(read_object(index)["weight_map"].values())))
    for name in names:
        if Path(name).name != name:
            raise ModelError(f"the index names a file outside its folder: {name!r}", where=str(index))
        yield folder / name


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a file, checked by the library, and the byte behind it."""
    with _readable(path):
        with safe_open(path, framework="pt"):  # all offsets are inside the file and no two overlap
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            header: dict[str, Any] = parse_json(file.read(length))
    return header, _LENGTH_BYTES + length


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"the weights cannot be read: {error}",
            where=str(path),
            hint="the download is incomplete, or the file is no safetensors file",
        ) from error
