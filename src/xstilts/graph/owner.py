"""Who works on a node, and whether that process still lives."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

_BOOT = Path("/proc/sys/kernel/random/boot_id")


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
            return None
    import psutil  # Linux answered above: only other systems need it

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return None


@dataclass(frozen=True)
class Owner:
    """The driver of a running attempt and the processes that write for it.

    Args:
        host: name of the machine.
        pid: process number of the driver.
        births: process number (as text: JSON keys are) -> ``birth`` of that process, for the driver and its workers.
        started: when, in UTC.
    """

    host: str
    pid: int
    births: dict[str, str]
    started: str = field(default_factory=lambda: now())

    @staticmethod
    def here(writers: Sequence[int] = ()) -> Owner:
        """This process, with the workers that write for it."""
        found = {str(pid): birth(pid) for pid in (os.getpid(), *writers)}
        return Owner(socket.gethostname(), os.getpid(), {pid: born for pid, born in found.items() if born is not None})

    @staticmethod
    def read(path: Path) -> Owner | None:
        """The owner written at ``path``; ``None`` when there is none, or only half of one (its writer died)."""
        try:
            record = json.loads(path.read_bytes())
            return Owner(record["host"], int(record["pid"]), dict(record["births"]), record["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``owner.json``."""
        return asdict(self)

    @property
    def state(self) -> Literal["live", "dead", "unknown"]:
        """``unknown`` for another machine: only its people can tell."""
        if self.host != socket.gethostname():
            return "unknown"
        return "live" if any(birth(int(pid)) == born for pid, born in self.births.items()) else "dead"


def now() -> str:
    """The time in UTC, to the millisecond: ``2026-01-31T12:00:00.000+00:00``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
