"""Workers forked from a process that has loaded torch: one starts in milliseconds, and is a process like any other.

For a process of its own that never computes gradients itself, as those of a fork would fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import IO, Any
from unittest.mock import patch

from xstilts.graph import process
from xstilts.graph.worker import Execute, serve

OPEN_FILES = 1024


class Forked:
    """What ``WorkerProcess`` needs of ``subprocess.Popen``."""

    def __init__(self, run: Callable[[], None], stderr: IO[bytes], env: Mapping[str, str]) -> None:
        (theirs, mine), (answers, said) = os.pipe(), os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setsid()
                for number, handle in enumerate((theirs, said, stderr.fileno())):
                    os.dup2(handle, number)
                os.closerange(3, OPEN_FILES)  # the others' pipes, too, as starting a program does
                os.environ.update(env)
                for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                    signal.signal(each, signal.SIG_DFL)
                run()
                status = 0
            finally:
                os._exit(status)
        os.close(theirs)
        os.close(said)
        self.stdin, self.stdout = os.fdopen(mine, "wb"), os.fdopen(answers, "rb")

    def poll(self) -> int | None:
        """As of ``Popen``."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 1e9) -> int:
        """As of ``Popen``."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked worker", timeout)
            time.sleep(0.002)
        return code

    def terminate(self) -> None:
        """As of ``Popen``."""
        os.kill(self.pid, signal.SIGTERM)


@contextmanager
def forked(execute: Execute) -> Iterator[None]:
    """Within, workers of ``LocalEngine`` are forked from here and run nodes by ``execute``, whatever its command says."""

    def start(command: Sequence[str], *, stderr: IO[bytes], env: Mapping[str, str], **_: Any) -> Forked:
        return Forked(lambda: serve(execute), stderr, env)

    real = {"PIPE": subprocess.PIPE, "TimeoutExpired": subprocess.TimeoutExpired}
    with patch.object(process, "subprocess", SimpleNamespace(Popen=start, **real)):
        yield
