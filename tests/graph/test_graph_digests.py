"""Remembered digests: never a stale one."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from xstilts.errors import DataError
from xstilts.graph import digests as module
from xstilts.graph.digests import Digests
from xstilts.graph.disk import digest_file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "input.txt"
    path.write_text("one")
    os.utime(path, ns=(10**18, 10**18))
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read in full."""
    seen: list[Path] = []

    def spy(path: Path) -> str:
        seen.append(path)
        return digest_file(path)

    monkeypatch.setattr(module, "digest_file", spy)
    return seen


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_file_is_read_once_even_by_a_later_process(tmp_path: Path, source: Path, reads: list[Path]) -> None:
    first = Digests(tmp_path / "cache" / "digests.json")
    assert first.digest(source) == first.digest(source) == sha("one")
    first.save()
    assert Digests(first.path).digest(source) == sha("one")
    assert len(reads) == 1


def test_a_change_of_size_time_or_inode_is_seen(tmp_path: Path, source: Path, reads: list[Path]) -> None:
    known = Digests(tmp_path / "digests.json")
    known.digest(source)
    source.write_text("three")
    os.utime(source, ns=(10**18, 10**18))
    assert known.digest(source) == sha("three")
    source.write_text("other")
    os.utime(source, ns=(10**18, 10**18 + 1))
    assert known.digest(source) == sha("other")
    twin = tmp_path / "twin"
    twin.write_text("third")
    os.utime(twin, ns=(10**18, 10**18 + 1))
    twin.replace(source)
    assert known.digest(source) == sha("third")
    assert len(reads) == 4


def test_a_file_just_written_is_not_remembered(tmp_path: Path, source: Path) -> None:
    known = Digests(tmp_path / "digests.json")
    stamp = time.time_ns()
    os.utime(source, ns=(stamp, stamp))
    assert known.digest(source) == sha("one")
    source.write_text("two")  # same size, and on a coarse clock the same time
    os.utime(source, ns=(stamp, stamp))
    assert known.digest(source) == sha("two")


def test_two_processes_keep_each_others_digests(tmp_path: Path, source: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("two")
    os.utime(other, ns=(10**18, 10**18))
    one, two = Digests(tmp_path / "digests.json"), Digests(tmp_path / "digests.json")
    one.digest(source)
    two.digest(other)
    one.save()
    two.save()
    assert set(json.loads(one.path.read_text())["files"]) == {str(source), str(other)}


def test_a_damaged_cache_is_rebuilt(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "digests.json"
    for content in ("{half", "[1]", json.dumps({str(source): ["x"]})):
        path.write_text(content)
        known = Digests(path)
        assert known.digest(source) == sha("one")
        known.save()
        assert Digests(path).digest(source) == sha("one")


def test_a_flipped_digit_in_the_cache_is_no_other_digest(tmp_path: Path, source: Path) -> None:
    known = Digests(tmp_path / "digests.json")
    known.digest(source)
    known.save()
    text = known.path.read_text()
    known.path.write_text(text.replace(sha("one"), sha("two")))
    assert text != known.path.read_text()
    assert Digests(known.path).digest(source) == sha("one")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        Digests(tmp_path / "digests.json").digest(tmp_path / "nowhere.txt")
