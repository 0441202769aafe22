"""Where outputs go: standard output as they come, or a file that appears whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xstilts.errors import StoreError
from xstilts.graph.disk import aside, guarded

Write = Callable[[Sequence[dict[str, Any]]], None]


def check_place(out: Path | None) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if out is None:
        return
    if out.is_dir() or not out.parent.is_dir():
        problem = "this is a folder, not a file" if out.is_dir() else "the folder of this file is not there"
        raise StoreError(f"cannot write the output: {problem}", where=f"--out {out}")
    if not os.access(out.parent, os.W_OK):
        raise StoreError("cannot write the output: no permission to write here", where=f"--out {out}")


@contextmanager
def writer(out: Path | None, width: int | None = None) -> Iterator[Write]:
    """Writes outputs as JSON lines; as a matrix when ``out`` ends in ``.npy`` and ``width`` is given.

    Args:
        out: the file; ``None`` is standard output, flushed after every call.
        width: columns of the matrix; its rows are the ``vector`` of each output, NaN for a bad row.
    """
    if out is None:
        yield lambda rows: _write_json(sys.stdout.buffer, rows)
    elif width is not None and out.suffix.lower() == ".npy":
        with _whole(out) as file, _matrix(file, width) as write:
            yield write
    else:
        with _whole(out) as file:
            yield lambda rows: _write_json(file, rows)


@contextmanager
def _whole(out: Path) -> Iterator[IO[bytes]]:
    """A file written aside, flushed to the disk and renamed at the end; nothing is left of it after an error."""
    if out.exists() and not out.is_file():  # a device or a pipe
        with out.open("wb") as file:
            yield file
        return
    out = out.resolve()  # a link stays one
    fresh = aside(out)
    try:
        with guarded(out):
            with fresh.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)


def _write_json(file: IO[bytes], rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        if "vector" in row:
            row = row | {"vector": row["vector"].tolist()}
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    file.flush()


@contextmanager
def _matrix(file: IO[bytes], width: int) -> Iterator[Write]:
    """Appends rows behind a header whose row count is set at the end: NumPy leaves room for it to grow in place."""
    import numpy as np
    from numpy.lib import format as npy

    count = 0

    def header() -> None:
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, width)})

    def write(rows: Sequence[dict[str, Any]]) -> None:
        nonlocal count
        missing = np.full(width, np.nan, np.float32)
        block = np.stack([row.get("vector", missing) for row in rows])
        file.write(block.astype("<f4").tobytes())
        count += len(rows)

    header()
    start = file.tell()
    yield write
    file.seek(0)
    header()
    if file.tell() != start:
        raise AssertionError(f"the header of {count} rows takes {file.tell()} bytes, but {start} were left for it")
    file.seek(0, os.SEEK_END)
