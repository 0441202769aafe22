"""What a measurement ran on: part of its key, because another machine gives other numbers. No torch here."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from xstilts.errors import ModelError

LIBRARIES = ("xstilts", "torch", "transformers", "tokenizers", "numpy")
"""Libraries whose version can change how fast a model answers."""


def members(device: str) -> tuple[str, ...]:
    """The devices of one slot: one, or several that train one model together (``cuda:0+1``, ``cpu+cpu``).

    Raises:
        ModelError: no device has such a name, they are not of one kind, or one card stands twice.
    """
    first, *more = device.split("+")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", first):
        raise ModelError(f"device {device!r} is none", where="--device", hint="cpu or cuda:N (N from 0)")
    kind = first.partition(":")[0]
    found = (first, *(f"{kind}:{each}" if each.isdigit() else each for each in more))
    fits = {"cpu": r"cpu", "cuda": r"cuda:\d+"}.get(kind, "")
    if more and not all(re.fullmatch(fits, each) for each in found):
        raise ModelError(
            f"device {device!r} is no group of devices: processors or cards, one kind", hint="cuda:0+1 or cpu+cpu"
        )
    if kind == "cuda" and len(set(found)) < len(found):
        raise ModelError(f"device {device!r} names a card twice: each process needs its own")
    return found


def fingerprint(device: str, threads: int, precision: str) -> dict[str, Any]:
    """The device, the threads, the precision and the versions of libraries, as plain data.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads of the measured process.
        precision: ``fp32`` or ``bf16``.

    Raises:
        ModelError: the device cannot be asked what it is.
    """
    device = members(device)[0]  # measured is on the first of several
    return {
        "kind": device.partition(":")[0],
        "name": _gpu_name(device) if device.startswith("cuda") else cpu_name(),
        "cpu": cpu_name(),
        "cores": cores(),
        "threads": threads,
        "precision": precision,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}},
    }


def cores() -> int:
    """The cores this process may use; macOS and Windows only know how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """As Linux calls it, else what Python knows."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name(device: str) -> str:
    try:
        return nvidia_smi(device, "name,driver_version")
    except (OSError, subprocess.SubprocessError) as error:
        raise ModelError(
            f"nvidia-smi does not say what {device} is: {error}",
            hint="a measurement is of one device, so its name is needed before anything is computed",
        ) from error


def nvidia_smi(device: str, fields: str) -> str:
    """What nvidia-smi says of one card: its ``fields``, separated by commas.

    Raises:
        ModelError: ``CUDA_VISIBLE_DEVICES`` hides it.
        OSError, subprocess.SubprocessError: there is no nvidia-smi, or it fails.
    """
    number = device.partition(":")[2] or "0"
    if visible := os.environ.get(
        "CUDA_VISIBLE_DEVICES"
    ):  # torch counts these; nvidia-smi knows numbers, UUIDs and slices
        names = visible.split(",")
        if int(number) >= len(names):
            raise ModelError(f"{device} is not there: CUDA_VISIBLE_DEVICES is {visible!r}")
        number = names[int(number)].strip()
    command = ["nvidia-smi", f"--id={number}", f"--query-gpu={fields}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def check_cards(devices: Sequence[str]) -> None:
    """Notice before anything is computed that torch does not find a card here; asked in a process of its own.

    Raises:
        ModelError: with the first that is not there.
    """
    wanted = [each for device in devices for each in members(device) if each.startswith("cuda")]
    if not wanted:
        return
    asked = [sys.executable, "-c", "import torch; print(torch.__version__, torch.cuda.device_count())"]
    torch, count = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    if missing := [each for each in wanted if int(each.partition(":")[2] or 0) >= int(count)]:
        found = f"{count} GPU{'s' * (count != '1')}"
        hint = "--device cpu" if count == "0" else f"cuda:0 to cuda:{int(count) - 1}"
        raise ModelError(f"{missing[0]} is not there: torch {torch} finds {found} here", where="--device", hint=hint)


def worker_threads(devices: Sequence[str], threads: int | None) -> tuple[int, int]:
    """CPU threads of one process, and of all of them together; ``threads`` of one, or the cores shared evenly."""
    processes = sum(len(members(device)) for device in devices)
    share = max(1, cores() // processes) if threads is None else threads
    return share, max(share, min(share * processes, cores()))
