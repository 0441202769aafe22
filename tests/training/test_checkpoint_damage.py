"""Damaged, half-written and unwritable checkpoints: passed over, named, and the end is the same."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attempts import Attempts, toy_start, undisturbed

from xstilts.errors import StoreError


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return undisturbed(tmp_path_factory.mktemp("calm"), toy_start)


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path, toy_start)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FILES = ("weights.safetensors", "optimizer.safetensors", "best.safetensors", "training.jsonl", "checkpoint.json")


@pytest.fixture(scope="module")
def at_13(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a training stopped in step 13."""
    stopped = Attempts(tmp_path_factory.mktemp("stopped"), toy_start)
    stopped.stopped_at(13)
    assert stopped.kept == [11, 12]
    return stopped.folder


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [flip, halve, Path.unlink], ids=lambda f: f.__name__)
def test_a_damaged_checkpoint_is_passed_over_and_named(
    attempts: Attempts, expected: Any, at_13: Path, harm: Callable[[Path], None], name: str
) -> None:
    shutil.copytree(at_13, attempts.folder)
    harm(attempts.folder / "step-00000012" / name)
    summary = attempts.run(every_seconds=1e9)
    (resumption,) = summary.resumed
    assert (resumption.step, resumption.damaged) == (11, (f"step-00000012/{name}",))
    assert attempts.shown[-1]["damaged"] == f"step-00000012/{name}"
    assert attempts.outcome(summary) == expected


def test_when_none_is_whole_it_starts_anew_and_says_so(attempts: Attempts, expected: Any, at_13: Path) -> None:
    shutil.copytree(at_13, attempts.folder)
    flip(attempts.folder / "step-00000012" / "weights.safetensors")
    halve(attempts.folder / "step-00000011" / "checkpoint.json")
    attempts.stopped_at(1)
    assert attempts.kept == [], "damaged ones go, so that they never count among the last two"
    assert attempts.shown[-1]["resumed at"] == "step 0"
    attempts.stopped_at(3)
    summary = attempts.run()
    assert attempts.outcome(summary) == expected
    assert [r.step for r in summary.resumed] == [2]


def test_the_record_of_a_new_start_names_what_was_damaged(attempts: Attempts, expected: Any) -> None:
    attempts.stopped_at(2)
    shutil.rmtree(attempts.folder / "step-00000001")
    (attempts.folder / "step-00000001").mkdir()
    summary = attempts.run()
    (resumption,) = summary.resumed
    assert (resumption.step, resumption.damaged) == (0, ("step-00000001/checkpoint.json",))
    assert attempts.outcome(summary) == expected


def test_a_half_written_checkpoint_is_nothing(attempts: Attempts, expected: Any) -> None:
    attempts.stopped_at(6)
    half = attempts.folder / ".step-00000006.1.0.aside"
    shutil.copytree(attempts.folder / "step-00000005", half)
    summary = attempts.run(every_seconds=1e9)
    assert not half.exists()
    assert (summary.resumed[0].step, summary.resumed[0].damaged) == (5, ())
    assert attempts.outcome(summary) == expected


@pytest.mark.parametrize("after", range(8))
def test_a_full_disk_stops_the_training_and_loses_no_older_checkpoint(
    attempts: Attempts, expected: Any, at_13: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    shutil.copytree(at_13, attempts.folder)
    real, calls = os.fsync, iter(range(10**6))

    def fsync(handle: int) -> None:
        if next(calls) >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match=r"disk is full \(ENOSPC\)"):
            attempts.run()
    assert 12 in attempts.kept
    assert all((attempts.folder / f"step-{step:08d}" / "checkpoint.json").exists() for step in attempts.kept)
    summary = attempts.run(every_seconds=1e9)
    assert summary.resumed[-1].damaged == ()
    assert attempts.outcome(summary) == expected


def test_a_really_full_disk(attempts: Attempts, expected: Any) -> None:
    attempts.folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(attempts.folder)]
    refused = subprocess.run(mount, capture_output=True, check=False)
    if refused.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted: {refused.stderr.decode().strip()}")
    try:
        attempts.stopped_at(5)
        ballast = attempts.folder / ".ballast"
        with ballast.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
            while True:
                stream.write(bytes(4096))
        with pytest.raises(StoreError, match=r"disk is full \(ENOSPC\)"):
            attempts.run()
        ballast.unlink()
        assert attempts.kept == [3, 4]
        summary = attempts.run()
        assert [r.step for r in summary.resumed] == [4]
        assert attempts.outcome(summary) == expected
    finally:
        subprocess.run(["umount", str(attempts.folder)], check=True)


def test_a_folder_that_is_anothers_by_now_is_left_alone(attempts: Attempts) -> None:
    attempts.stopped_at(5)

    def held() -> Any:
        raise StoreError("taken over")

    with pytest.raises(StoreError, match="taken over"):
        attempts.run(held=held)
    assert attempts.kept == [3, 4]
