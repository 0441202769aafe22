"""A claim as its worker sees it: what it may write beside its outputs, for as long as nobody took the node over."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xstilts.errors import StoreError

OWNER = "owner.json"
CHECKPOINTS = "checkpoints"
CACHE = "cache"


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """While held, no other thread or process claims, gives up or cleans a node of the store whose work folder this is."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Claim:
    """The folder ``work/KEY`` of a running attempt.

    Args:
        folder: holds ``owner.json``, the outputs in ``out/`` and what outlives the attempt in ``checkpoints/``.
        owner: content of ``owner.json`` when the attempt began; empty outside a store.
    """

    folder: Path
    owner: bytes

    @staticmethod
    def of(out: Path) -> Claim:
        """The claim that the output folder ``out`` belongs to: the folder it lies in."""
        return Claim(out.parent, _content(out.parent / OWNER))

    @property
    def checkpoints(self) -> Path:
        """Where a training keeps its state: the next attempt finds it, a finished node does not have it."""
        return self.folder / CHECKPOINTS

    @property
    def cache(self) -> Path | None:
        """What nodes of the store share and anybody may remove; ``None`` outside a store."""
        return self.folder.parent.parent / CACHE if self.owner else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """While held, nobody takes the node over.

        Raises:
            StoreError: somebody already did. This process must write no more.
        """
        with locked(self.folder.parent):
            if _content(self.folder / OWNER) != self.owner:
                raise StoreError(
                    "another driver has taken this node over, so this one stops",
                    where=str(self.folder),
                    hint="a claim is only taken from a driver that looks dead: see that no two machines share a host name",
                )
            yield


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
