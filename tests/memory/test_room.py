"""How much memory there is: the machine's, the cgroup's, the card's."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from xstilts.memory import room
from xstilts.memory.room import free_memory, free_on_card, give_back, own_memory

GIB = 2**30


def world(tmp_path: Path, cgroup: str) -> tuple[Path, Path, Path]:
    (tmp_path / "meminfo").write_text("MemTotal: 33554432 kB\nMemAvailable:   16777216 kB\n")
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "fs").mkdir()
    return tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "fs"


def limit(folder: Path, most: str, used: int, pages: int, *, old: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{'total_' if old else ''}inactive_file {pages}\n")


def test_the_machine_decides_where_nothing_limits(tmp_path: Path) -> None:
    meminfo, own, root = world(tmp_path, "0::/user/me\n")
    limit(root / "user" / "me", "max", 5, 0)
    assert free_memory(meminfo, own, root) == 16 * GIB


def test_a_limit_counts_without_pages_that_can_be_given_back(tmp_path: Path) -> None:
    meminfo, own, root = world(tmp_path, "0::/user/me\n")
    limit(root / "user" / "me", str(8 * GIB), 5 * GIB, 2 * GIB)
    assert free_memory(meminfo, own, root) == 5 * GIB


def test_pages_of_files_in_use_can_be_given_back_too(tmp_path: Path) -> None:
    """Streaming reads its weights through them: they must not count as taken."""
    meminfo, own, root = world(tmp_path, "0::/user/me\n")
    limit(root / "user" / "me", str(8 * GIB), 5 * GIB, 2 * GIB)
    with (root / "user" / "me" / "memory.stat").open("a") as stat:
        stat.write(f"active_file {GIB}\n")
    assert free_memory(meminfo, own, root) == 6 * GIB


def test_the_tightest_of_nested_limits_counts(tmp_path: Path) -> None:
    meminfo, own, root = world(tmp_path, "0::/user/me\n")
    limit(root / "user", str(4 * GIB), GIB, 0)
    limit(root / "user" / "me", str(8 * GIB), GIB, 0)
    assert free_memory(meminfo, own, root) == 3 * GIB


def test_a_container_that_sees_only_its_root(tmp_path: Path) -> None:
    meminfo, own, root = world(tmp_path, "0::/docker/abc\n")
    limit(root, str(2 * GIB), GIB, 0)
    assert free_memory(meminfo, own, root) == GIB


def test_the_first_version_of_cgroups(tmp_path: Path) -> None:
    meminfo, own, root = world(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/box\n")
    limit(root / "memory" / "box", str(6 * GIB), 2 * GIB, GIB, old=True)
    assert free_memory(meminfo, own, root) == 5 * GIB


def test_a_full_cgroup_leaves_nothing(tmp_path: Path) -> None:
    meminfo, own, root = world(tmp_path, "0::/\n")
    limit(root, str(GIB), 2 * GIB, 0)
    assert free_memory(meminfo, own, root) == 0


def test_own_memory(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmHWM: 9 kB\nRssAnon:\t    1024 kB\nRssFile: 5 kB\n")
    assert own_memory(tmp_path / "status") == 2**20
    assert own_memory(tmp_path / "none") == 0


def test_a_card_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(room, "nvidia_smi", lambda device, fields: "40536 MiB")
    assert free_on_card("cuda:1") == 40536 * 2**20

    def fails(*_: str) -> str:
        raise subprocess.CalledProcessError(1, "nvidia-smi")

    monkeypatch.setattr(room, "nvidia_smi", fails)
    assert free_on_card("cuda:1") is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in another way")
def test_memory_that_was_freed_and_kept_goes_back() -> None:
    """A second streamed pass in one process was refused: what the first had freed still counted as used."""
    freed = [b"x" * 100_000 for _ in range(1000)]
    above = b"x" * 100_000
    freed.clear()
    before = own_memory()
    give_back()
    assert own_memory() < before - 50e6
    assert above
