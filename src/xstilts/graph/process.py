"""The driver's end of a worker process."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xstilts.graph.node import Node, Resources
from xstilts.graph.stopping import STOPPED

GOODBYE_SECONDS = 5.0
"""How long a worker may take to leave before it is killed."""
STDERR_TAIL = 2000
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class WorkerDiedError(Exception):
    """The process ended without an answer.

    Args:
        text: how.
        ready: whether it had started well.
        told: whether it left because somebody asked it to (see ``stopping``).
    """

    def __init__(self, text: str, *, ready: bool, told: bool = False) -> None:
        super().__init__(text)
        self.text, self.ready, self.told = text, ready, told


class WorkerProcess:
    """One started worker, in a session of its own: Ctrl-C reaches only the driver, which then ends it.

    Args:
        command: what to start; it calls ``worker.serve``.
        resources: sets the threads, through the environment, before any library is loaded.
    """

    def __init__(self, command: Sequence[str], resources: Resources) -> None:
        threads = dict.fromkeys(THREAD_VARIABLES, str(resources.threads))
        self.resources = asdict(resources)
        self.versions: dict[str, str] = {}
        self._ready = False
        self._rest = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, **threads},
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise WorkerDiedError(f"the worker cannot be started: {error}", ready=False) from error
        self.pid = self._process.pid

    def wait_ready(self) -> None:
        """Wait for the first event."""
        first = next(self._events())
        self.versions, self._ready = dict(first["versions"]), True

    def execute(
        self, node: Node, parents: Mapping[str, Path], out: Path, progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Run a node; gives the event that ends it, ``done`` or ``failed``.

        Raises:
            WorkerDiedError: the process ended instead.
        """
        request = {
            "node": node.as_json(),
            "parents": {role: str(path) for role, path in parents.items()},
            "out": str(out),
            "resources": self.resources,
        }
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the reading below says how
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        for event in self._events():
            if event["event"] == "done":
                self._forget()
            if event["event"] in ("done", "failed"):
                return event
            progress(event)
        raise AssertionError("events end with an answer or an error")

    def _events(self) -> Iterator[dict[str, Any]]:
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                yield json.loads(line)
                continue
            chunk = self._read_chunk()
            if not chunk:
                text = self._how_it_ended()
                raise WorkerDiedError(text, ready=self._ready, told=self._process.returncode == STOPPED)
            self._rest += chunk

    def _read_chunk(self) -> bytes:
        """Some bytes of output; none once it is dead. Its death is looked for too: a child may hold the pipe open."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not selector.select(0.5):
                if self._process.poll() is not None and not selector.select(0):
                    return b""
        return os.read(self._process.stdout.fileno(), 1 << 16)

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):  # its output ends before it does
            self._process.wait(GOODBYE_SECONDS)
        self._kill_session()
        code = self._process.wait()
        if code < 0:
            names = {int(s): f" ({s.name})" for s in signal.Signals}
            text = f"worker died, signal {-code}{names.get(-code, '')}"
            if -code == signal.SIGKILL:
                text += ": often the system is out of memory (see dmesg); fewer micro_batch_tokens or workers help"
            return text
        return f"worker ended with exit status {code}"

    def stderr_tail(self) -> str:
        """The end of what it printed."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL))
        return self._stderr.read().decode(errors="replace")

    def _forget(self) -> None:
        """Drop what it printed: a worker lives for weeks, and a later failure's cause is not among it."""
        self._stderr.seek(0)  # the worker writes at the same place: they share it
        self._stderr.truncate()

    def _kill_session(self) -> None:
        """End it and every process it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it now; a thread waiting for its answer gets ``WorkerDiedError``."""
        if self._process.returncode is None:
            self._kill_session()

    def terminate(self) -> None:
        """Ask it to save what can go on and leave (see ``stopping``); its death is told as by ``kill``."""
        if self._process.returncode is None:
            self._process.terminate()

    def close(self) -> None:
        """Let an idle worker leave, else kill it; then free everything."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + GOODBYE_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        self._kill_session()
        self._process.wait()
        self._process.stdout.close()
        self._stderr.close()
