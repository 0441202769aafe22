"""Files from outside, changed at random (always alike): a reader takes them or raises an error of ours that says where.

``python -m benchmarks.fuzz`` tries the same readers for as long as one likes; what it found is in ``tests/test_outside.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import data_readers
import model_readers
import pytest
import record_readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutating import CHANGES, KINDS
from trying import Reader, Try, attempt, write

READERS = [*data_readers.readers(), *record_readers.readers(), *model_readers.readers()]
STEPS = st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 2**32 - 1)), min_size=1, max_size=3)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name)
def test_only_errors_of_ours_come_out(reader: Reader, home: Path) -> None:
    write(reader, home)
    reader.read(home)  # valid as it is, or the rest shows nothing

    @settings(
        max_examples=max(2, int(7 * min(reader.weight, 1))),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(reader.changeable), STEPS)
    def tried(file: str, steps: list[tuple[str, int]]) -> None:
        attempt(reader, home, Try(file, tuple(steps)))

    tried()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_no_trap(kind: str, home: Path) -> None:
    turn = KINDS.index(kind)
    for number, reader in enumerate(READERS[turn % 3 :: 3]):
        folder = home / str(number)
        write(reader, folder)
        file = reader.changeable[turn % len(reader.changeable)]
        attempt(reader, folder, Try(file, kind=kind))
