"""A worker: one process that runs many nodes, so that libraries and models are loaded once.

It reads one JSON request a line from its standard input and writes JSON events, one a line, to what was its standard
output; prints of libraries go to standard error and cannot break the protocol. It dies with its driver, and leaves with exit
status 143 when it gets SIGTERM (``stopping``).

    request   {"node": Node.as_json(), "parents": {role: path}, "out": path, "resources": {...}}
    events    {"event": "ready", "pid", "versions"}
              {"event": "progress", "done", "total", "unit", "note"}
              {"event": "done", "counts", "seconds", "peak_memory_bytes"}
              {"event": "failed", "type", "message", "traceback", "disk", "again"}
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import queue
import re
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from xstilts.errors import BeginAgainError, StoreError
from xstilts.graph.disk import explain
from xstilts.graph.failure import Failure
from xstilts.graph.node import Node, Resources
from xstilts.graph.stopping import asked, leave_on_sigterm

EVERY_SECONDS = 0.2
"""Shortest time between two progress events."""
DISTRIBUTION = "xstilts"


class Progress:
    """Told by a node how far it is; passes on at most five reports a second and the last of each phase.

    Args:
        send: takes the event.
        clock: seconds; replaced in tests.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._send, self._clock = send, clock
        self._next = -float("inf")
        self._last: tuple[float, float | None, str] | None = None

    def __call__(self, done: float, total: float | None, unit: str, **notes: Any) -> None:
        """``done`` of ``total`` (``None``: unknown) ``unit``; ``notes`` are shown beside it."""
        at_end = total is not None and done >= total and self._last != (done, total, unit)
        if self._clock() < self._next and not at_end:
            return
        self._next, self._last = self._clock() + EVERY_SECONDS, (done, total, unit)
        self._send({"event": "progress", "done": done, "total": total, "unit": unit, "note": notes})


Execute = Callable[[Node, Mapping[str, Path], Path, Resources, Progress], dict[str, Any]]
"""Runs a node: (node, role -> folder of the parent, folder for the outputs, resources, progress) -> counts."""


def serve(execute: Execute) -> None:
    """Run requests until the driver closes our standard input; then return, or die if a node is running."""
    die_with_parent()
    for name in ("SIGUSR1", "SIGUSR2"):  # a cluster may signal all processes of a job; its driver decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    leave_on_sigterm()
    requests, events = _private_streams()
    lock = threading.Lock()

    def send(event: dict[str, Any]) -> None:
        line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with lock:
            events.write(line)
            events.flush()

    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read, args=(requests, lines, busy), daemon=True).start()
    send({"event": "ready", "pid": os.getpid(), "versions": versions()})
    while (line := lines.get()) is not None:
        event = _answer(execute, json.loads(line), Progress(send))
        busy.clear()
        try:
            send(event)
        except BrokenPipeError:
            return
        if asked():
            return


def _read(requests: BinaryIO, lines: queue.SimpleQueue[bytes | None], busy: threading.Event) -> None:
    """Pass requests on. At the end of the input the driver is gone: a running node must not write any further."""
    for line in requests:
        busy.set()
        lines.put(line)
    if busy.is_set():
        os._exit(1)
    lines.put(None)


def _answer(execute: Execute, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    out = Path(request["out"])
    _reset_peak_memory()
    started = time.monotonic()
    try:
        node = Node.from_json(request["node"])
        parents = {role: Path(path) for role, path in request["parents"].items()}
        counts = execute(node, parents, out, Resources(**request["resources"]), progress)
        json.dumps(counts, allow_nan=False)
    # SystemExit of a library is a failure of the node like any other, not the end of the worker.
    except BaseException as error:
        failure, disk = Failure.of(error), disk_error(error, out)
        told = {"what": disk.what, "where": disk.where, "hint": disk.hint} if disk else None
        return {
            "event": "failed",
            "type": failure.type,
            "message": failure.text,
            "traceback": failure.traceback,
            "disk": told,
            "again": error.again if isinstance(error, BeginAgainError) else None,
        }
    seconds = time.monotonic() - started
    return {"event": "done", "counts": counts, "seconds": seconds, "peak_memory_bytes": peak_memory_bytes()}


def disk_error(error: BaseException, out: Path) -> StoreError | None:
    """The failure of the disk behind ``error``, if one is: such a failure is not the node's own."""
    told = explain(error, out)
    # Some libraries (numpy's tofile) report a short write without the system's number.
    if told is None and isinstance(error, OSError) and error.errno is None and shutil.disk_usage(out).free < 2**20:
        told = explain(OSError(28, "No space left on device"), out)
    return told


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Our own copies of standard input and output; the public ones become nothing and standard error."""
    requests, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    return requests, events


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it dies, even inside a long library call."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)


def _reset_peak_memory() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak is then that of the worker's life so far


def peak_memory_bytes() -> int:
    """Most resident memory since the node began where Linux can reset it, else since the worker began."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions() -> dict[str, str]:
    """Python's, this package's and its declared dependencies' versions; nothing is imported."""
    found = {"python": platform.python_version()}
    needs = [n for n in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in n]
    names = [re.match(r"[A-Za-z0-9._-]+", need) for need in needs]
    for name in (DISTRIBUTION, *(m[0] for m in names if m)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
