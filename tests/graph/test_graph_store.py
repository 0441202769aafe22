"""The store: what is in it is whole, and what is damaged is named."""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_graph import contents, leftovers, node, owner_file, rewrite_owner

from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.damage import DamagedNodeError
from xstilts.graph.owner import Owner, birth
from xstilts.graph.store import NodeBusyError, Store

ATTEMPT = {"seconds": 1.5, "host": "here"}


def finish(store: Store, text: str = "a", content: str = "result") -> str:
    made = node("train", text)
    out = store.begin(made)
    (out / "sub").mkdir()
    (out / "sub" / "result.txt").write_text(content)
    store.commit(made, out, ATTEMPT)
    return made.key


def test_a_committed_node_holds_its_record_its_digests_and_its_outputs(store: Store) -> None:
    key = finish(store)
    assert store.has(key)
    assert list(store) == [key]
    assert store.path(key) == store.root / "nodes" / key[:2] / key
    assert store.record(key) == {**node("train", "a").as_json(), "attempt": ATTEMPT}
    expected = hashlib.sha256(b"result").hexdigest()
    assert store.files(key)["sub/result.txt"] == {"sha256": expected, "bytes": 6}
    store.verify(key)
    assert leftovers(store) == []


@pytest.mark.parametrize("name", ["sub/result.txt", "node.json", "files.json"])
def test_a_flipped_byte_is_named_with_both_digests_and_the_cure(store: Store, name: str) -> None:
    key = finish(store)
    path = store.path(key) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        store.verify(key)
    text = str(caught.value)
    assert key[:12] in text
    assert f"xstilts clean --store {store.root} --node {key[:12]} --yes" in text
    if name != "files.json":
        assert name in text
        assert "expected sha-256" in text


def test_a_missing_a_longer_and_a_lost_file_are_damage(store: Store) -> None:
    key = finish(store)
    path = store.path(key) / "sub" / "result.txt"
    path.write_text("result and more")
    with pytest.raises(StoreError, match="expected 6 bytes, found 15"):
        store.verify(key)
    path.unlink()
    with pytest.raises(StoreError, match="expected a readable file, found No such file"):
        store.verify(key)


def test_by_sizes_only_a_truncated_file_is_damage(store: Store) -> None:
    key = finish(store)
    quick = Store(store.root, level="sizes")
    path = store.path(key) / "sub" / "result.txt"
    path.write_text("resulT")
    quick.verify(key)
    with pytest.raises(DamagedNodeError):
        store.verify(key)
    path.write_text("resul")
    with pytest.raises(DamagedNodeError, match="expected 6 bytes, found 5"):
        quick.verify(key)


def test_an_unknown_key_has_no_record(store: Store) -> None:
    with pytest.raises(MissingNameError):
        store.record("0" * 64)


def test_a_second_claim_of_a_live_owner_is_refused(store: Store) -> None:
    made = node("train", "a")
    out = store.begin(made)
    (out / "half.txt").write_text("half")
    with pytest.raises(NodeBusyError, match=f"process {os.getpid()}"):
        Store(store.root).begin(made)
    assert (out / "half.txt").exists()


def test_what_a_dead_owner_left_is_removed(store: Store) -> None:
    made = node("train", "a")
    code = "import sys; from toy_graph import node; from xstilts.graph.store import Store\n"
    code += "out = Store(sys.argv[1]).begin(node('train', 'a')); (out / 'half.txt').write_text('half')"
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=True, env={**os.environ, "PYTHONPATH": here})
    assert len(list(store.work(made.key).glob("*/*/out/half.txt"))) == 1
    assert not store.has(made.key)
    out = store.begin(made)
    assert list(out.iterdir()) == []


def test_half_a_claim_counts_as_none(store: Store) -> None:
    made = node("train", "a")
    store.begin(made)
    owner_file(store, made.key).write_text('{"pid":')
    assert list(store.begin(made).iterdir()) == []


def test_another_machines_claim_is_respected_and_the_hint_tells_how_to_free_it(store: Store) -> None:
    made = node("train", "a")
    store.begin(made)
    rewrite_owner(store, made.key, host="elsewhere", machine="another")
    with pytest.raises(NodeBusyError, match="on elsewhere") as caught:
        store.begin(made)
    assert "clean" in caught.value.hint


def test_a_reused_process_number_is_not_the_owner() -> None:
    owner = Owner.here()
    assert owner.state == "live"
    assert replace(owner, births={str(owner.pid): "another birth"}).state == "dead"


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert birth(child.pid) is None
    child.stdout.close()
    child.wait()


def test_a_claim_holds_while_a_writer_lives(store: Store) -> None:
    owner = Owner.here()
    writer = replace(owner, pid=1, births={"999999999": "gone", **owner.births})
    assert writer.state == "live"


def test_a_finished_node_is_not_claimed_again(store: Store) -> None:
    finish(store)
    with pytest.raises(StoreError, match="finished already"):
        store.begin(node("train", "a"))


@pytest.mark.parametrize("name", ["node.json", "files.json"])
def test_an_output_may_not_take_the_stores_names(store: Store, name: str) -> None:
    made = node("train", "a")
    out = store.begin(made)
    (out / name).write_text("{}")
    with pytest.raises(StoreError, match="belongs to the store"):
        store.commit(made, out, ATTEMPT)
    assert not store.has(made.key)


def test_links_are_not_kept(store: Store) -> None:
    made = node("train", "a")
    out = store.begin(made)
    (out / "link").symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match="not a plain file"):
        store.commit(made, out, ATTEMPT)


def test_a_failure_is_recorded_counted_and_forgotten_on_success(store: Store) -> None:
    made = node("train", "a")
    for attempts in (1, 2):
        store.begin(made)
        store.fail(made, ValueError("bad rows"))
        failure = store.failure(made.key)
        assert failure is not None
        assert (failure["type"], failure["text"], failure["attempts"]) == ("ValueError", "bad rows", attempts)
        assert failure["title"] == made.title
        assert "ValueError: bad rows" in failure["traceback"]
    assert store.claims() == []
    finish(store)
    assert store.failure(made.key) is None


def test_a_study_is_kept_with_its_cells(store: Store) -> None:
    made = node("train", "a")
    payload = {"nodes": [made.as_json()], "cells": [{"any": ["thing", None]}]}
    store.save_study("mine", payload)
    assert Store(store.root).studies() == {"mine": payload}
    for name in ("../out", "", "a/b", ".hidden"):
        with pytest.raises(StoreError, match="study name"):
            store.save_study(name, payload)


def refuse(number: int, after: int = 0) -> Callable[..., Any]:
    """A system call that fails from its ``after``-th use on."""
    calls = iter(range(10**6))
    real = os.fsync

    def call(handle: int) -> None:
        if next(calls) >= after:
            raise OSError(number, os.strerror(number))
        real(handle)

    return call


@pytest.mark.parametrize("code", ["ENOSPC", "EROFS", "EIO"])
@pytest.mark.parametrize("after", range(7))
def test_a_refusing_disk_loses_nothing_that_was_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: str, after: int
) -> None:
    first = finish(store, "first")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse(getattr(errno, code), after))
        with pytest.raises(StoreError) as caught:
            for i in range(4):
                finish(store, f"more{i}")
    assert code in str(caught.value)
    assert str(store.root) in caught.value.where
    assert "every finished node is kept" in caught.value.hint
    contents(store)
    assert store.has(first)


@pytest.mark.parametrize("what", ["fail", "study", "digests"])
def test_a_refusing_disk_leaves_the_old_json(store: Store, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    made = node("train", "a")
    store.fail(made, ValueError("first"))
    store.save_study("mine", {"nodes": [], "cells": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse(errno.ENOSPC))
        with pytest.raises(StoreError, match="ENOSPC"):
            if what == "fail":
                store.fail(made, ValueError("second"))
            elif what == "study":
                store.save_study("mine", {"nodes": [], "cells": 2})
            else:
                source = store.root / "input.txt"
                source.write_text("x")
                os.utime(source, (1, 1))
                store.digests.digest(source)
                store.digests.save()
    failure = store.failure(made.key)
    assert failure is not None
    assert failure["text"] == "first"
    assert store.studies()["mine"]["cells"] == 1
    assert leftovers(store) == []


def test_a_really_full_disk(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], capture_output=True)
    if mount.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted: {mount.stderr.decode().strip()}")
    try:
        store = Store(place / "store")
        first = finish(store, "first")
        made = node("train", "big")
        out = store.begin(made)
        with (out / "big.bin").open("wb") as stream, pytest.raises(OSError, match="No space left"):
            stream.write(b"x" * 2**20)
            stream.flush()
        with pytest.raises(StoreError, match=r"disk is full \(ENOSPC\)"):
            store.commit(made, out, ATTEMPT)
        assert list(contents(store)) == [first]
        store.release(made.key)
        assert store.has(finish(store, "fits"))
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_really_read_only_disk(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], capture_output=True)
    if mount.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted: {mount.stderr.decode().strip()}")
    try:
        store = Store(place / "store")
        key = finish(store)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        with pytest.raises(StoreError, match="read-only"):
            store.begin(node("train", "more"))
        with pytest.raises(StoreError, match="read-only"):
            store.save_study("mine", {"nodes": []})
        store.verify(key)
        assert store.claims() == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_study_is_read_again_when_its_file_is_another_one(store: Store) -> None:
    made = node("train", "a")
    path = store.root / "studies" / "mine.json"
    for cells in (1, 2):
        store.save_study("mine", {"nodes": [made.as_json()], "cells": cells})
        os.utime(path, (cells, cells))  # long ago
        first = store.studies()["mine"]
        assert first["cells"] == cells
        assert store.studies()["mine"] is first
    path.write_bytes(path.read_bytes().replace(b'"cells":2', b'"cells":3'))
    with pytest.raises(StoreError, match="changed after it was written"):
        store.studies()
