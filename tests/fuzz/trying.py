"""One reader, one changed file: only an error of ours may come out, soon, and it says where."""

from __future__ import annotations

import gc
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Literal

from mutating import CHANGES, KINDS, changed, displace, remove

from xstilts.errors import XstiltsError

SECONDS = 20
"""No reader needs as long for a file of a few thousand bytes."""
Steps = list[tuple[str, int]]


class HangError(BaseException):
    """A reader that does not come back."""


@dataclass(frozen=True)
class Reader:
    """Something that reads files from outside.

    Args:
        name: of the reader.
        files: valid files by their names in a folder.
        read: the folder to anything.
        change: names of the files that are changed; all if empty.
        weight: how often it is tried, beside the others.
        fresh: it changes the folder, so every try needs a new one.
    """

    name: str
    files: Mapping[str, bytes]
    read: Callable[[Path], object]
    change: tuple[str, ...] = ()
    weight: float = 1.0
    fresh: bool = False

    @property
    def changeable(self) -> tuple[str, ...]:
        """The files that are changed."""
        return self.change or tuple(self.files)


@dataclass(frozen=True)
class Try:
    """How one input is made: the file, what is done to it, or what stands in its place."""

    file: str
    steps: tuple[tuple[str, int], ...] = ()
    kind: str = ""


def draw(reader: Reader, random: Random) -> Try:
    """One input."""
    file = random.choice(reader.changeable)
    if random.random() < 0.02:
        return Try(file, kind=random.choice(KINDS))
    names = [*CHANGES, "retype"]
    count = random.choice((1, 1, 1, 2, 3))
    return Try(file, tuple((random.choice(names), random.getrandbits(32)) for _ in range(count)))


def write(reader: Reader, folder: Path) -> None:
    """The valid files."""
    for name, content in reader.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _told(number: int, frame: FrameType | None) -> None:
    raise HangError(f"no answer after {SECONDS} s")


@contextmanager
def _watched() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _told)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(reader: Reader, folder: Path, made: Try) -> tuple[Literal["accepted", "refused"], str]:
    """Whether the reader takes the changed file, and what it says if it does not.

    Raises:
        BaseException: anything that is no error of ours, or one that does not say where.
    """
    path = folder / made.file
    if made.kind:
        displace(path, made.kind)
    else:
        path.write_bytes(changed(reader.files[made.file], list(made.steps)))
    try:
        with _watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder)
        return "accepted", ""
    except XstiltsError as error:
        said = str(error)
        said.encode()  # it can be printed
        assert str(folder) in said or path.name in said, f"the error does not say where: {said!r}"
        return "refused", said
    finally:
        gc.collect(0)
        if reader.fresh:
            shutil.rmtree(folder)
            folder.mkdir()
            write(reader, folder)
        else:
            remove(path)
            path.write_bytes(reader.files[made.file])
