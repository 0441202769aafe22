"""Who works on a node, and whether that process still lives."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from xstilts.outside import parse_json

HIDDEN = "hidden"
"""``birth`` of a process that there is, and of which no more can be known."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")


@cache
def machine() -> str:
    """What tells where process numbers mean the same: the boot and, in a container, its numbering of processes.

    Two machines that share a host name are told apart, and a machine from itself before it was started anew. Where there is
    no such file the host's name must do.
    """
    try:
        return f"{_BOOT.read_text().strip()} {os.readlink(_PROCESSES)}"  # noqa: PTH115 - it points to no path
    except OSError:
        return socket.gethostname()


def birth(pid: int) -> str | None:
    """What tells this process from a later one with the same number; ``None`` when it is dead (a zombie is).

    On Linux the boot's id and the start in clock ticks, which no change of the clock moves; elsewhere the start time.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name in brackets may hold anything; the fields after its last bracket are numbered from 3 (the state).
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{_BOOT.read_text().strip()}:{fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        if _BOOT.exists():
            return HIDDEN if _is_hidden(pid) else None
    import psutil  # Linux answered above: only other systems need it

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return None


def _is_hidden(pid: int) -> bool:
    """Whether it is another user's, where the system shows people their own processes only (``hidepid``)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


@dataclass(frozen=True)
class Owner:
    """The driver of a running attempt and the processes that write for it.

    Args:
        id: of the attempt, unlike any other's.
        host: name of the machine, for people.
        machine: see ``machine``.
        pid: process number of the driver.
        births: process number (as text: JSON keys are) -> ``birth`` of that process, for the driver and its workers.
        node: ``Node.as_json()`` of what is run: its parents must stay.
        started: when, in UTC.
    """

    id: str
    host: str
    machine: str
    pid: int
    births: dict[str, str]
    node: dict[str, Any] = field(default_factory=dict)
    started: str = field(default_factory=lambda: now())

    @staticmethod
    def here(writers: Sequence[int] = (), node: Mapping[str, Any] | None = None) -> Owner:
        """This process, with the workers that write for it."""
        found = {str(pid): birth(pid) for pid in (os.getpid(), *writers)}
        births = {pid: born for pid, born in found.items() if born is not None}
        return Owner(secrets.token_hex(6), socket.gethostname(), machine(), os.getpid(), births, dict(node or {}))

    @staticmethod
    def parse(content: bytes) -> Owner | None:
        """From the bytes of ``owner.json``; ``None`` when they are none (the power went before they were on the disk)."""
        try:
            record = parse_json(content)
            places = (str(record["id"]), str(record["host"]), str(record["machine"]))
            births = {str(int(pid)): str(born) for pid, born in record["births"].items()}
            return Owner(*places, int(record["pid"]), births, dict(record["node"]), str(record["started"]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``owner.json``."""
        return asdict(self)

    @property
    def state(self) -> Literal["live", "dead", "unknown"]:
        """By its processes; ``unknown`` for another machine's and hidden ones, of which only the heartbeat tells."""
        if self.machine != machine():
            return "unknown"
        found = {pid: birth(int(pid)) for pid in self.births}
        if any(found[pid] == born for pid, born in self.births.items()):
            return "live"
        return "unknown" if HIDDEN in found.values() else "dead"


def now() -> str:
    """The time in UTC, to the millisecond: ``2026-01-31T12:00:00.000+00:00``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
