"""A claim as its worker sees it: what it may write beside its outputs, for as long as nobody took the node over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xstilts.errors import StoreError
from xstilts.outside import read_bytes

T = TypeVar("T")
OWNER = "owner.json"
OUT = "out"
CHECKPOINTS = "checkpoints"
CACHE = "cache"


class NodeBusyError(StoreError):
    """Another driver works on the node."""


class ClaimLostError(NodeBusyError):
    """Another driver took the node over from this one, which looked dead: nothing of this attempt counts any more."""


@dataclass(frozen=True)
class Claim:
    """The folder of one attempt, ``work/KEY/NUMBER/ID``: no other attempt ever writes there (see ``xstilts.graph.lease``).

    Args:
        folder: holds the outputs in ``out/`` and what outlives the attempt in ``checkpoints/``.
        owner: content of ``owner.json``, beside ``folder``, when the attempt began; empty outside a store.
    """

    folder: Path
    owner: bytes

    @staticmethod
    def of(out: Path) -> Claim:
        """The claim that the output folder ``out`` belongs to: the folder it lies in."""
        return Claim(out.parent, content(out.parent.parent / OWNER))

    @property
    def checkpoints(self) -> Path:
        """Where a training keeps its state: the next attempt finds it, a finished node does not have it."""
        return self.folder / CHECKPOINTS

    @property
    def work(self) -> Path:
        """The folder that all attempts of the store lie in; outside a store the folder ``folder`` lies in."""
        return self.folder.parents[2] if self.owner else self.folder.parent

    @property
    def cache(self) -> Path | None:
        """What nodes of the store share and anybody may remove; ``None`` outside a store."""
        return self.work.parent / CACHE if self.owner else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Entered only while nobody has taken the node over.

        It spares the work of one who lost; safety does not hang on it. A takeover carries the checkpoints to a place of its
        own by one rename, so whatever is written or removed here afterwards is in nobody's way.

        Raises:
            ClaimLostError: somebody has. This process should write no more.
        """
        if content(self.folder.parent / OWNER) != self.owner:
            raise lost(self.folder)
        yield


def lost(place: Path) -> ClaimLostError:
    """The error of one whose claim is gone."""
    return ClaimLostError(
        "another driver has taken this node over, so this one stops",
        where=str(place),
        hint="a claim is only taken from a driver that is dead or gave no sign of life for long",
    )


def afresh(read: Callable[[], T]) -> T:
    """What ``read`` gives, asked again where another machine took a file away while it was open (``ESTALE``)."""
    for _ in range(2):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()


def names(folder: Path) -> list[str]:
    """What a folder holds, sorted; nothing if it is not there, is no folder, or goes while it is read.

    Raises:
        OSError: other errors of the disk: what cannot be read now may be there.
    """
    try:
        return sorted(afresh(lambda: os.listdir(folder)))  # noqa: PTH208 - asked of every node of a study
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # of a damaged record: nothing can have it
            return []
        raise


def content(path: Path) -> bytes:
    """A file's bytes; none if it is not there.

    Raises:
        StoreError: something that is no file lies in its place. Other errors of the disk stay.
    """
    try:
        return afresh(lambda: read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ELOOP, errno.EFBIG):
            raise
        raise StoreError(f"cannot be read: {error.strerror}", where=str(path), hint="remove it") from None
