"""A folder says which generator made it; other bytes have another version; the same world made twice at once is one world."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_world import SMALL, small_world
from test_pocket_build import TINY, digests

from xstilts.errors import DataError
from xstilts.pocket import POCKET, VERSION, World, build, identity, is_current, make_world, read_made

GOLDEN = {
    2: ("5950e1f0908f69c5792ce5fde9341f323d75af25349735d943cc0070ca36213d", "36df9be8b901bbf7"),
    3: ("09e24b96c818b5fbc4d0641d9e137e33b5864597e9c98f9aa0ee03d29fcca268", "f58809c8ac2a4200"),
}
"""Version -> the bytes of ``SMALL``, the digest of ``POCKET``. Add a line for a new version, change no published one."""


def test_other_bytes_need_another_version() -> None:
    told = json.dumps(digests(small_world()), sort_keys=True)
    found = hashlib.sha256(told.encode()).hexdigest(), identity.digest(POCKET)
    assert GOLDEN.get(VERSION) == found, "other bytes or other default settings: count pocket/identity.py's VERSION up"
    assert max(GOLDEN) == VERSION


def test_every_setting_is_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    farther = replace(SMALL.tongues[1], cognates=0.5)
    worlds = [
        SMALL,
        replace(SMALL, seed=2),
        replace(SMALL, bucc_dev=(40, 16)),
        replace(SMALL, tongues=(SMALL.tongues[0], farther, *SMALL.tongues[2:])),
    ]
    found = {identity.digest(world) for world in worlds}
    monkeypatch.setattr(identity, "VERSION", VERSION + 1)
    found.add(identity.digest(SMALL))
    assert len(found) == len(worlds) + 1


def test_a_folder_is_current_for_its_own_settings_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = small_world()
    assert is_current(folder, SMALL) and is_current(folder, None)
    assert not is_current(folder) and not is_current(folder, POCKET)
    assert not is_current(tmp_path) and not is_current(tmp_path / "nowhere", None)
    made = read_made(folder)
    assert made is not None and (made.seed, made.codes) == (1, ("en", "qaa", "qab", "qac", "qad"))
    monkeypatch.setattr(identity, "VERSION", VERSION + 1)
    assert not is_current(folder, SMALL) and not is_current(folder, None)


def test_a_folder_of_before_versions_is_not_current(tmp_path: Path) -> None:
    told = json.loads((small_world() / "pocket.json").read_bytes())
    del told["version"], told["digest"]
    (tmp_path / "pocket.json").write_text(json.dumps(told))
    made = read_made(tmp_path)
    assert made is not None and made.version == 1
    assert not is_current(tmp_path, SMALL) and not is_current(tmp_path, None)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": {"seed": 1}, "languages": 3}', "\xff"])
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pocket.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="does not describe a pocket world") as refused:
        is_current(tmp_path)
    assert refused.value.where == str(tmp_path / "pocket.json")


def meanwhile(monkeypatch: pytest.MonkeyPatch, folder: Path, other: World) -> None:
    """While a world is being written, somebody else makes ``other`` under the same name."""
    written = build.files

    def files(world: World) -> Iterator[tuple[str, str]]:
        yield from written(world)
        monkeypatch.setattr(build, "files", written)
        make_world(folder, other)

    monkeypatch.setattr(build, "files", files)


def test_the_same_world_made_meanwhile_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, tmp_path / "world", TINY)
    make_world(tmp_path / "world", TINY)
    assert is_current(tmp_path / "world", TINY)
    assert [p.name for p in tmp_path.iterdir()] == ["world"]


def test_another_world_made_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, tmp_path / "world", replace(TINY, seed=2))
    with pytest.raises(DataError, match="there already, and was not made from these settings"):
        make_world(tmp_path / "world", TINY)
    assert is_current(tmp_path / "world", replace(TINY, seed=2))
    assert [p.name for p in tmp_path.iterdir()] == ["world"]


def test_a_world_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    make_world(tmp_path / "world", TINY)
    (tmp_path / "world" / "note.txt").write_text("mine")
    make_world(tmp_path / "world", TINY)
    assert (tmp_path / "world" / "note.txt").read_text() == "mine"
    with pytest.raises(DataError, match="there already"):
        make_world(tmp_path / "world", replace(TINY, seed=2))
