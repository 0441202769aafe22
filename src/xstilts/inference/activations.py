"""The hidden states of all sequences between two layers: on the device, in memory, or on a disk; kept through a kill.

Shape legend: T tokens of all batches end to end; t those of one batch; H hidden size.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from xstilts.errors import StoreError
from xstilts.graph.disk import guarded, sync_folder

_WRITTEN_AT_ONCE = 1 << 26
_LAYER = re.compile(r"layer-(\d+)")
FLOAT_BYTES = 4


class Kept:
    """A folder that holds the states behind one layer, whole or not at all.

    Args:
        folder: made if it is not there.
        num_bytes: of the states.
        held: while held nobody else has taken this work over; it raises when somebody has.
    """

    def __init__(
        self, folder: Path, num_bytes: int, held: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self.folder, self._num_bytes, self._held = folder, num_bytes, held
        self._part = folder / f"part-{os.getpid()}"
        folder.mkdir(parents=True, exist_ok=True)

    def newest(self) -> int | None:
        """The last layer whose states are here. Everything else in the folder is removed."""
        whole = {}
        for path in self.folder.iterdir():
            named = _LAYER.fullmatch(path.name)
            if named and path.stat().st_size == self._num_bytes:
                whole[int(named[1])] = path
        newest = max(whole, default=None)
        for path in self.folder.iterdir():
            if newest is None or path != whole[newest]:
                path.unlink()
        return newest

    def path(self, layer: int) -> Path:
        """Where the states behind a layer are."""
        return self.folder / f"layer-{layer:03d}"

    def part(self) -> FileIO:
        """A new file for the states behind the next layer."""
        return FileIO(self._part, "w+")

    def commit(self, part: FileIO, layer: int) -> None:
        """From now on the states behind ``layer`` are here, and no others."""
        os.fsync(part.fileno())
        with self._held():
            self._part.replace(self.path(layer))
            sync_folder(self.folder)
            for path in self.folder.iterdir():
                if path != self.path(layer):
                    path.unlink()

    def remove(self) -> None:
        """Give the space back."""
        shutil.rmtree(self.folder, ignore_errors=True)


class States(ABC):
    """T x H float32, read and written batch by batch, in any order but once a layer."""

    finished: int | None = None
    """The layer behind which the states are, from an earlier attempt; ``None``: from the beginning."""

    @abstractmethod
    def read(self, first: int, end: int) -> Tensor:
        """Rows ``first`` to ``end``, t x H, on the device, as the layer before left them."""

    @abstractmethod
    def write(self, first: int, states: Tensor) -> None:
        """Rows from ``first`` on, as this layer leaves them."""

    @abstractmethod
    def finish(self, layer: int) -> None:
        """All rows are written: the next layer reads them."""

    @abstractmethod
    def close(self) -> None:
        """Give memory and files back; what is kept on the disk stays."""


class InMemory(States):
    """States on a device; a row is overwritten once its layer has read it.

    Args:
        rows, width: T and H.
        place: where they are.
        device: where they are wanted.
        kept: where to save them between two layers; ``None``: nowhere.
        every_seconds: time from one saving to the next.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        place: torch.device,
        device: torch.device,
        kept: Kept | None = None,
        every_seconds: float = 120.0,
    ) -> None:
        self._states = torch.empty((rows, width), device=place)
        self._device, self._kept, self._every = device, kept, every_seconds
        self._saved = time.monotonic()
        if kept is not None and (layer := kept.newest()) is not None:
            with guarded(kept.folder), FileIO(kept.path(layer)) as file:
                host = torch.empty((rows, width))
                _fill(file, 0, host)
                self._states.copy_(host)
            self.finished = layer

    def read(self, first: int, end: int) -> Tensor:
        """A view, or a copy on the device."""
        return self._states[first:end].to(self._device)

    def write(self, first: int, states: Tensor) -> None:
        """In place."""
        self._states[first : first + len(states)].copy_(states)

    def finish(self, layer: int) -> None:
        """Save them if it is time."""
        if self._kept is None or time.monotonic() - self._saved < self._every:
            return
        with guarded(self._kept.folder), self._kept.part() as part:
            _write(part, self._states.cpu())
            self._kept.commit(part, layer)
        self._saved = time.monotonic()

    def close(self) -> None:
        """The memory goes with the object."""


class OnDisk(States):
    """States in a file: one is read while the next is written, so every finished layer is a place to go on from.

    Args:
        rows, width: T and H.
        device: where they are wanted.
        kept: where the files are.
    """

    def __init__(self, rows: int, width: int, device: torch.device, kept: Kept) -> None:
        self._width, self._device, self._kept = width, device, kept
        self.finished = kept.newest()
        self._before: FileIO | None = None if self.finished is None else FileIO(kept.path(self.finished))
        with guarded(kept.folder):
            self._after = kept.part()

    def read(self, first: int, end: int) -> Tensor:
        """From the file of the layer before."""
        assert self._before is not None
        states = torch.empty((end - first, self._width))
        with guarded(self._kept.folder):
            _fill(self._before, first * self._width * FLOAT_BYTES, states)
        return states.to(self._device)

    def write(self, first: int, states: Tensor) -> None:
        """To the file of this layer."""
        with guarded(self._kept.folder):
            self._after.seek(first * self._width * FLOAT_BYTES)
            _write(self._after, states.cpu())

    def finish(self, layer: int) -> None:
        """One rename."""
        with guarded(self._kept.folder):
            self._kept.commit(self._after, layer)
            self._drop(self._before)
            self._before, self._after = self._after, self._kept.part()

    def close(self) -> None:
        """Close both files."""
        self._drop(self._before)
        self._after.close()

    @staticmethod
    def _drop(file: FileIO | None) -> None:
        """Close a file, none of which needs to stay in memory."""
        if file is None or file.closed:
            return
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.close()


def _bytes(states: Tensor) -> memoryview:
    return states.contiguous().view(-1).view(torch.uint8).numpy().data


def _write(file: FileIO, states: Tensor) -> None:
    left = _bytes(states)
    while left:
        left = left[file.write(left[:_WRITTEN_AT_ONCE]) :]


def _fill(file: FileIO, at: int, states: Tensor) -> None:
    target, done = _bytes(states), 0
    file.seek(at)
    while done < len(target):
        count = file.readinto(target[done : done + _WRITTEN_AT_ONCE])
        if not count:
            raise StoreError("hidden states end before they should", where=str(file.name), hint="remove this file")
        done += count
