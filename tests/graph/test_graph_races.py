"""Who acts on a claim when somebody else does, between any two of its steps; and disks that answer strangely."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_graph_lease import KEY, MADE, Clock, look
from toy_graph import contents, die, leftovers, owner_file, rewrite_owner

from xstilts.errors import StoreError, TrainingError
from xstilts.graph.claim import Claim, ClaimLostError, NodeBusyError
from xstilts.graph.clean import size
from xstilts.graph.heartbeat import LEASE_SECONDS, Heartbeat
from xstilts.graph.lease import Leases
from xstilts.graph.store import Store


def at_its_last_rename(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Something happens when the driver of ``store`` is about to rename its outputs into place."""
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if path.name == "out" and not acted:
            acted.append(True)
            act()
        return rename(path, target)

    acted: list[bool] = []
    monkeypatch.setattr(Path, "rename", renamed)


def test_a_zombie_that_was_stopped_at_its_last_rename_comes_too_late(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = store.begin(MADE)
    (out / "result.txt").write_text("late")

    def takeover() -> None:
        path = max(store.work(KEY).glob("*/sealed.json"))
        path.write_text(json.dumps({**json.loads(path.read_text()), "births": {"1": "an earlier process"}}))
        second = Store(store.root)
        fresh = second.begin(MADE)
        (fresh / "result.txt").write_text("second")
        second.commit(MADE, fresh, {})

    at_its_last_rename(store, monkeypatch, takeover)
    with pytest.raises(ClaimLostError):
        store.commit(MADE, out, {})
    assert (store.path(KEY) / "result.txt").read_text() == "second"
    contents(store)
    assert leftovers(store) == []


def test_who_is_committing_is_let_finish(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    out = store.begin(MADE)
    (out / "result.txt").write_text("mine")
    refused: list[str] = []

    def want() -> None:
        with pytest.raises(NodeBusyError) as busy:
            Store(store.root).begin(MADE)
        refused.append(busy.value.what)

    at_its_last_rename(store, monkeypatch, want)
    store.commit(MADE, out, {})
    assert refused
    assert (store.path(KEY) / "result.txt").read_text() == "mine"
    assert leftovers(store) == []


def test_a_commit_that_the_disk_refuses_at_its_last_rename_gives_the_node_free(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = store.begin(MADE)
    (out.parent / "checkpoints" / "step-1").mkdir(parents=True)

    def refuse() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    at_its_last_rename(store, monkeypatch, refuse)
    with pytest.raises(StoreError, match="ENOSPC"):
        store.commit(MADE, out, {})
    again = Store(store.root).begin(MADE)
    assert [p.name for p in Claim.of(again).checkpoints.iterdir()] == ["step-1"]


@pytest.mark.parametrize("act", ["release", "fail", "clean"])
def test_who_gives_up_late_takes_nothing_from_the_one_who_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """It was stopped after it had looked, and before it removed what was its own."""
    store.begin(MADE)
    discard, stopped = Leases.discard, [True]

    def late(leases: Leases, folder: Path) -> None:
        if stopped:
            stopped.clear()
            if act == "clean":
                die(store, KEY)
            die(store, KEY)
            out = other.begin(MADE)
            (out.parent / "checkpoints" / "step-1000").mkdir(parents=True)
        discard(leases, folder)

    if act == "clean":
        die(store, KEY)
    other = Store(store.root)
    monkeypatch.setattr(Leases, "discard", late)
    match act:
        case "release":
            store.release(KEY)
        case "fail":
            store.fail(MADE, TrainingError("no"))
        case "clean":
            assert store.leases.clear(KEY)
    assert other.leases.has_checkpoints(KEY)
    other.leases.check(KEY)


def test_a_link_to_a_folder_that_is_gone_is_an_error_and_not_tried_for_ever(store: Store, tmp_path: Path) -> None:
    store.root.mkdir()
    (store.root / "work").symlink_to(tmp_path / "purged")
    with pytest.raises(StoreError, match=r"work: no folder can be made\n.*a link may lead to one that is gone"):
        store.begin(MADE)
    (store.root / "work").unlink()
    (store.root / "work").mkdir()
    store.work(KEY).symlink_to(tmp_path / "purged")
    with pytest.raises(StoreError, match="no folder can be made"):
        store.begin(MADE)
    assert [p.name for p in (store.root / "work").iterdir()] == [KEY]


def test_a_holders_file_that_another_machine_replaces_while_it_is_read_is_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.begin(MADE)
    fstat, stale = os.fstat, [True]

    def once(handle: int) -> os.stat_result:
        if stale:
            stale.clear()
            raise OSError(errno.ESTALE, "Stale file handle")
        return fstat(handle)

    monkeypatch.setattr(os, "fstat", once)
    assert Store(store.root).leases.state(KEY) == "live"
    assert not stale


def test_a_network_that_did_what_it_reports_as_failed_is_believed_by_what_lies_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer was lost, and to the question asked again it says that there is nothing to rename."""
    rename = Path.rename

    def again(path: Path, target: Path) -> Path:
        rename(path, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", again)
    out = store.begin(MADE)
    (out / "result.txt").write_text("made")
    with store.leases.sealed(KEY):
        assert Store(store.root).leases.state(KEY) == "live"


def test_a_network_that_calls_it_not_permitted_when_another_one_was_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SFTP does: it has no word for a folder that is not empty."""
    rename = Path.rename

    def outrun(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        Store(store.root).begin(MADE)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", outrun)
    with pytest.raises(NodeBusyError):
        store.begin(MADE)
    assert [p.name for p in store.work(KEY).iterdir()] == ["0001"]


def test_a_process_of_another_user_that_the_system_hides_is_not_taken_for_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``hidepid``: its folder in /proc is not there, and a signal is not permitted."""
    store.begin(MADE)
    rewrite_owner(store, KEY, births={"77": "born"})
    read = Path.read_text

    def hidden(path: Path, *arguments: Any, **named: Any) -> str:
        if str(path) == "/proc/77/stat":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return read(path, *arguments, **named)

    def forbidden(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(os, "kill", forbidden)
    clock = Clock()
    leases = Leases(store.root / "work", clock=clock)
    assert look(leases, clock, LEASE_SECONDS - 1) == "unknown"
    os.utime(owner_file(store, KEY), ns=(1, 1))
    assert look(leases, clock, LEASE_SECONDS - 1) == "live"
    assert look(leases, clock, 2) == "dead"


def test_signs_of_life_begin_with_the_next_node_where_no_thread_could_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats, file = Heartbeat(0.001), tmp_path / "owner.json"
    file.touch()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("can't start")))
        with pytest.raises(RuntimeError):
            beats.start(file)
    before = file.stat().st_mtime_ns
    beats.start(file)
    while file.stat().st_mtime_ns == before:
        time.sleep(0.005)
    beats.stop(file)


@pytest.mark.parametrize("gone", ["0001", "id", "checkpoints", "step-1"])
def test_what_another_driver_removes_while_it_is_looked_at_is_not_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    folder = store.work(KEY) / "0001" / "id" / "checkpoints" / "step-1"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("x")
    whole = shutil.copytree(store.work(KEY), store.root / "whole")
    assert store.claims() == [KEY]
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, goes_when_read(getattr(os, name), gone))
    assert size(whole) == 0
    assert store.claims() == ([KEY] if gone in ("id", "step-1") else [])  # which need not be read to know


def goes_when_read(read: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """``os.listdir`` or ``os.scandir`` of a disk where the folder of this name goes right before it is read."""

    def late(folder: Any = ".") -> Any:
        if not isinstance(folder, int) and Path(folder).name == name:
            shutil.rmtree(folder)  # reads by number
        return read(folder)

    return late
