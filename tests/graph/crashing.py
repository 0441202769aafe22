"""A process that dies between two system calls: from the n-th change of a file system on, nothing it asks for happens.

Only the process dies, not the machine: what was changed before stays. What Python would do on its way out (``finally``,
``except``) does not happen either, as every later call is refused, too.
"""

from __future__ import annotations

import builtins
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

CHANGES = ("mkdir", "rename", "replace", "unlink", "rmdir", "link", "symlink", "fsync", "utime", "truncate")


class Dead(BaseException):
    """The process is no more."""


class Calls:
    """Counts changes; the process dies at number ``last`` (from 0; ``None``: never)."""

    def __init__(self, last: int | None) -> None:
        self.last, self.made, self._thread = last, 0, threading.get_ident()

    def change(self) -> None:
        """One more; other threads (signs of life for what another test claimed) are other processes here."""
        if threading.get_ident() != self._thread:
            return
        if self.last is not None and self.made >= self.last:
            raise Dead
        self.made += 1


@contextmanager
def dying_at(last: int | None) -> Iterator[Calls]:
    """Within, the ``last``-th change and all after it raise ``Dead``; opening a file to write is two changes."""
    calls = Calls(last)
    real_open = io.open

    def counted(real: Callable[..., Any], flushes: bool) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls.change()
            return None if flushes else real(*arguments, **named)

        return call

    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if set(mode) <= set("rbt"):
            return real_open(file, mode, *arguments, **named)
        calls.change()
        stream = real_open(file, mode, *arguments, **named)
        try:
            calls.change()
        except Dead:
            stream.close()  # the file is there, and empty
            raise
        return stream

    with ExitStack() as patches:
        for name in CHANGES:
            patches.enter_context(patch.object(os, name, counted(getattr(os, name), name == "fsync")))
        for module in (io, builtins):
            patches.enter_context(patch.object(module, "open", opened))
        yield calls
