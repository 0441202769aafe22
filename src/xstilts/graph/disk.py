"""Bytes on a disk that may be full, read-only or broken: whole-or-nothing writes, digests, errors that say what to do.

A reader never sees half a file: JSON is written aside, flushed to the disk and renamed. The errors of a disk (full,
over quota, read-only, I/O) become a ``StoreError`` that names the path and says what is safe.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xstilts import outside
from xstilts.errors import StoreError
from xstilts.outside import MOST_BYTES

ADVICE = {
    errno.ENOSPC: ("the disk is full", "free some space (`xstilts clean{store}` lists what the store can spare)"),
    errno.EDQUOT: ("the disk quota is used up", "free some space (`xstilts clean{store}` lists what can go)"),
    errno.EROFS: ("the file system is read-only", "mount it for writing, or name another folder with --store"),
    errno.EIO: ("the disk reports an input/output error", "check the disk (dmesg), or move the store to another one"),
    errno.EACCES: ("permission denied", "run as the owner of the folder, or name another one with --store"),
}
SAFE = "every finished node is kept; the same command goes on from there"
_count = itertools.count()
_process = secrets.token_hex(4)  # processes of two machines may have one number


def explain(error: BaseException, path: Path, store: Path | None = None) -> StoreError | None:
    """The error of a disk as a ``StoreError``; ``None`` when ``error`` (or what caused it) is of another kind.

    Args:
        error: what was raised; its causes are looked at too.
        path: what was being written, named if the error itself names no file.
        store: folder of the store, for the command in the hint.
    """
    link: BaseException | None = error
    while link is not None:
        code = _code(link)
        if code is not None:
            what, cure = ADVICE[code]
            place = str(link.filename) if isinstance(link, OSError) and link.filename else str(path)
            cure = cure.format(store=f" --store {store}" if store else "")
            return StoreError(
                f"{what} ({errno.errorcode[code]}){free_space(Path(place))}", where=place, hint=f"{cure}; {SAFE}"
            )
        link = link.__cause__ or link.__context__
    return None


def free_space(path: Path) -> str:
    """``: 12.0 MiB of 1.0 GiB free``, for the file system that ``path`` is or would be on; empty where nobody can tell."""
    try:
        found = shutil.disk_usage(next(p for p in (path, *path.absolute().parents) if p.exists()))
    except (OSError, StopIteration):
        return ""
    return f": {_size(found.free)} of {_size(found.total)} free"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _code(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno in ADVICE:
        return error.errno
    # Libraries written in Rust (safetensors) keep the number only in their text.
    return next((code for code in ADVICE if f"(os error {code})" in str(error)), None)


@contextmanager
def guarded(path: Path, store: Path | None = None) -> Iterator[None]:
    """Turn the errors of the disk under ``path`` into ``StoreError``."""
    try:
        yield
    except OSError as error:
        told = explain(error, path, store)
        if told is None:
            raise
        raise told from error


def aside(path: Path) -> Path:
    """A hidden name next to ``path`` that no other thread or process uses, on this machine or another one."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_process}.{next(_count)}.aside")


def as_text(value: Any, *, compact: bool = False) -> str:
    """JSON as it stands in the store, fields in the order given (arms keep the study's). NaN is a ``ValueError``.

    ``compact`` is for what has thousands of entries: a third of the size, and twenty times as fast.
    """
    form: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 1}
    return json.dumps(value, **form, ensure_ascii=False, allow_nan=False) + "\n"


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk: a rename lasts only after this."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, content: str | bytes) -> None:
    """Write a new file and flush it; the caller renames it, or the folder it is in."""
    with path.open("wb") as out:
        out.write(content.encode() if isinstance(content, str) else content)
        out.flush()
        os.fsync(out.fileno())


def write_json(path: Path, value: Any, *, compact: bool = False) -> None:
    """Replace ``path`` whole: written aside, flushed, renamed. The old content survives any failure."""
    write_whole(path, as_text(value, compact=compact))


def write_whole(path: Path, content: str | bytes) -> None:
    """``write_json`` for any content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = aside(path)
    try:
        write_synced(fresh, content)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_json(path: Path) -> Any:
    """The value in ``path``; a ``StoreError`` names it when it is no JSON or cannot be read; ``FileNotFoundError`` stays."""
    try:
        return outside.read_json(path, MOST_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except ValueError as error:
        raise StoreError(
            f"not valid JSON: {error}", where=str(path), hint="the file was damaged after it was written"
        ) from error


def digest_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with outside.open_plain(Path(path)) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def settle(path: Path) -> dict[str, Any]:
    """Flush a written file to the disk; its ``sha256`` and ``bytes``."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return {"sha256": digest_file(path), "bytes": path.stat().st_size}


def regular_files(folder: Path, reserved: Collection[str]) -> list[str]:
    """Relative names of the files under ``folder``, sorted.

    Raises:
        StoreError: one is a link or a device, or has a ``reserved`` name.
    """
    names = []
    for path in folder.rglob("*"):
        mode, name = path.lstat().st_mode, path.relative_to(folder).as_posix()
        if name in reserved:
            raise StoreError("an output has a name that belongs to the store", where=name)
        if stat.S_ISREG(mode):
            names.append(name)
        elif not stat.S_ISDIR(mode):
            raise StoreError("an output is not a plain file: links and devices are not kept", where=name)
    return sorted(names)
