"""What translates: anything that gives one text for one text. Here: any program that reads lines and writes lines."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xstilts.errors import TranslationError
from xstilts.graph.disk import digest_file

BATCH = 1000
"""Texts in one call: what is translated again at most when the process is killed."""


@dataclass(frozen=True, slots=True)
class Translation:
    """One translated text.

    Args:
        text: the translation; empty if there is none.
        unknown: how many words the engine said it does not know; ``None`` if it says nothing about words.
        fits: false if the text or its translation is longer than the engine can take.
    """

    text: str
    unknown: int | None = None
    fits: bool = True


class Engine(Protocol):
    """Translates from one language into another; equal ``settings`` give equal translations."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def version(self) -> str:
        """Which one of that name, in a few words."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that can change a translation, as plain data: pair, options, digests."""

    @property
    def batch(self) -> int:
        """Texts in one call."""

    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """One translation for each text, in their order; texts are one line each and never empty.

        Raises:
            TranslationError: the engine fails, or gives more or fewer texts than it was given.
        """


class Command:
    """A program that reads one text a line and writes one translation a line, UTF-8; one process for each call.

    Args:
        command: the program and its arguments, quoted as in a shell (but no shell runs); ``{from}`` and ``{to}`` are
            replaced by the languages.
        source, target: the languages.
        batch: texts of one process.

    Raises:
        TranslationError: there is no such program.
    """

    name = "command"

    def __init__(self, command: str, source: str, target: str, batch: int = BATCH) -> None:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise TranslationError(f"{command!r} cannot be read as a command: {error}", where="--engine") from None
        self.argv = [word.replace("{from}", source).replace("{to}", target) for word in words]
        program = shutil.which(self.argv[0]) if self.argv else None
        if program is None:
            raise TranslationError(
                f"no program {self.argv[0]!r} here" if self.argv else "no command",
                where="--engine",
                hint='for example: --engine "command:python my_engine.py {from} {to}"',
            )
        self.batch = batch
        # The program's own files are a part of what it is, as far as its command names them.
        files = {Path(word).name: digest_file(word) for word in self.argv[1:] if Path(word).is_file()}
        self.settings: dict[str, Any] = {"argv": self.argv, "program": digest_file(program), "files": files}
        self.version = " ".join(Path(word).name if Path(word).is_file() else word for word in self.argv)

    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """One process for all of ``texts``."""
        return [Translation(text) for text in exchange(self.argv, texts, "\n")]


def exchange(argv: Sequence[str], texts: Sequence[str], between: str) -> list[str]:
    """What a program writes for texts that stand apart by ``between``: as many, spaces evened out.

    Raises:
        TranslationError: it does not start, fails, writes bytes that are not UTF-8, or another number of texts.
    """
    try:
        done = subprocess.run(argv, input=(between.join(texts) + "\n").encode(), capture_output=True, check=False)
    except OSError as error:
        raise TranslationError(f"cannot start: {error.strerror}", where=shlex.join(argv)) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise TranslationError(
            f"ended with status {done.returncode}" + (f": {said[-1]}" if said else ""), where=shlex.join(argv)
        )
    try:
        written = done.stdout.decode()
    except UnicodeDecodeError as error:
        raise TranslationError(f"wrote what is not UTF-8: {error.reason}", where=shlex.join(argv)) from None
    found = written.removesuffix("\n").split(between)
    if len(found) != len(texts):
        raise TranslationError(
            f"{len(texts)} texts went in, {len(found)} came out",
            where=shlex.join(argv),
            hint="it must write one line for each line it reads, in their order, and nothing else",
        )
    return [" ".join(text.split()) for text in found]
