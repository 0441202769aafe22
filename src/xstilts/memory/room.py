"""How much memory there is: of the machine and its cgroup for the CPU, of the card for CUDA. No torch here."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from xstilts.device import nvidia_smi

_NO_LIMIT = 2**60
_V1 = {"limit": "memory.limit_in_bytes", "used": "memory.usage_in_bytes", "pages": r"total_(?:in)?active_file"}
_V2 = {"limit": "memory.max", "used": "memory.current", "pages": r"(?:in)?active_file"}


def free_memory(
    meminfo: Path = Path("/proc/meminfo"), own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int:
    """Bytes that this process may still take without anything being killed: the least of what the machine has available and
    what each cgroup it is in leaves it; file pages that can be given back count as free.

    Where there is no /proc (macOS, Windows), what psutil says is available.
    """
    if not meminfo.is_file():
        import psutil

        return int(psutil.virtual_memory().available)
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
    machine = int(found[1]) * 1024 if found else _NO_LIMIT
    return min(machine, *_left_by_cgroups(own, root))


def _left_by_cgroups(own: Path, root: Path) -> list[int]:
    left = [_NO_LIMIT]
    for line in own.read_text().splitlines() if own.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names, base = (_V1, root / "memory") if controllers else (_V2, root)
        folder = base / path.lstrip("/")
        # A container may not see the folder its path names: its own limits then stand at the root it does see.
        for each in [folder, *folder.parents] if folder.is_dir() else [base]:
            if (room := _room(each, names)) is not None:
                left.append(room)
            if each == base:
                break
    return left


def _room(folder: Path, names: dict[str, str]) -> int | None:
    try:
        limit = (folder / names["limit"]).read_text().strip()
        if limit == "max" or int(limit) >= _NO_LIMIT:
            return None
        used = int((folder / names["used"]).read_text())
        pages = re.findall(rf"^{names['pages']} (\d+)$", (folder / "memory.stat").read_text(), re.M)
        return max(0, int(limit) - used + sum(map(int, pages)))
    except (OSError, ValueError):
        return None


def give_back() -> None:
    """Return to the system what this process freed and the C library (glibc) keeps for later.

    That memory is free for this process, but a cgroup counts it as used: after one streamed pass it was 0.2 GiB, and the next
    was refused for want of it. Where the library has no such call, nothing happens.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def own_memory(status: Path = Path("/proc/self/status")) -> int:
    """Bytes of its own that this process holds already."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def free_bytes(device: str) -> int | None:
    """Bytes free on ``cpu`` or ``cuda:N``; ``None`` for a card that cannot be asked."""
    return free_on_card(device) if device.startswith("cuda") else free_memory()


def free_on_card(device: str) -> int | None:
    """Bytes free on a CUDA device; ``None`` where it cannot be asked.

    A worker that has torch loaded asks torch, whose own unused reserve counts as free; a plan asks nvidia-smi.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    try:
        return int(nvidia_smi(device, "memory.free").split()[0]) * 2**20
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None
