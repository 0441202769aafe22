"""A program at a terminal of its own: what it prints there, and what it answers to keys."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiny_world import environment


def at_terminal(
    words: Sequence[str], *, columns: int = 100, home: Path | None = None, more: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """What ``words`` print on a terminal of so many columns, and how they end."""
    with Terminal(words, columns=columns, home=home, more=more) as terminal:
        shown = terminal.until_it_ends()
    return shown, terminal.status


class Terminal:
    """A program with a terminal as its standard input, output and error."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        columns: int = 100,
        home: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        plain = {k: v for k, v in environment().items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "LINES")}
        self.program = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=home,
            env={**plain, "TERM": "xterm-256color", **(more or {})},
            start_new_session=True,
        )
        os.close(theirs)
        self.status = -1

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.program.poll() is None:
            self.program.kill()
        self.status = self.program.wait()
        os.close(self.ours)

    def press(self, keys: str) -> None:
        """As if typed."""
        os.write(self.ours, keys.encode())

    def read(self, seconds: float) -> str:
        """What is shown within so many seconds, or until the program has gone."""
        shown, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.ours], [], [], left)[0]:
            try:
                shown += os.read(self.ours, 65536)
            except OSError:  # the other side is closed
                break
        return shown.decode(errors="replace")

    def until(self, text: str, seconds: float = 30) -> str:
        """What is shown up to ``text``; without it the test fails with what there was."""
        shown, end = "", time.monotonic() + seconds
        while text not in shown and time.monotonic() < end and self.program.poll() is None:
            shown += self.read(0.2)
        shown += "" if text in shown else self.read(0.2)
        assert text in shown, f"{text!r} never came: {shown!r}"
        return shown

    def until_it_ends(self, seconds: float = 60) -> str:
        """All that it shows."""
        shown, end = "", time.monotonic() + seconds
        while self.program.poll() is None and time.monotonic() < end:
            shown += self.read(0.2)
        return shown + self.read(0.2)
