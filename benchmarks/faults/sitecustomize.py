"""A disk that refuses, in every Python process started with this folder in PYTHONPATH (``benchmarks.chaos``).

``XSTILTS_FAULT`` is ``CODE:NUMBER:FOLDER:MARK``: of the changes that a process makes under FOLDER, the NUMBER-th fails with
CODE. ENOSPC stays (a full disk stays full, but things can be removed from it), EIO comes once. The file MARK says that it
came.
"""

import builtins
import errno
import io
import os
from pathlib import Path
from typing import Any

FILLS = ("mkdir", "fsync")
CHANGES = (*FILLS, "rename", "replace", "unlink", "rmdir")


def install(name: str, number: int, folder: str, mark: str) -> None:
    """From now on."""
    code = getattr(errno, name)
    made = 0
    real_open = io.open

    def refuse(place: Any, fills: bool) -> None:
        nonlocal made
        path = str(Path(f"/proc/self/fd/{place}").resolve() if isinstance(place, int) else place)
        if not path.startswith(folder) or (code == errno.ENOSPC and not fills):
            return
        made += 1
        if made == number or (made > number and code == errno.ENOSPC):
            with real_open(mark, "a") as out:
                out.write(f"{os.getpid()} {path}\n")
            raise OSError(code, os.strerror(code), path)

    def wrapped(real: Any, fills: bool) -> Any:
        def call(place: Any, *arguments: Any, **named: Any) -> Any:
            refuse(place, fills)
            return real(place, *arguments, **named)

        return call

    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if not set(mode) <= set("rbt"):
            refuse(file, True)
        return real_open(file, mode, *arguments, **named)

    for each in CHANGES:
        setattr(os, each, wrapped(getattr(os, each), each in FILLS))
    io.open = builtins.open = opened


if fault := os.environ.get("XSTILTS_FAULT"):
    code_name, which, under, note = fault.split(":")
    install(code_name, int(which), under, note)
