"""A world is made whole or not at all, and equal worlds are equal to the byte."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_world import SMALL, small_world
from typer.testing import CliRunner

from xstilts import cli
from xstilts.errors import DataError
from xstilts.pocket import POCKET, World, build, make_world
from xstilts.pocket.grammar import Speaker

TINY = World(
    text_lines=20,
    bitext_lines=20,
    train_rows=36,
    train_questions=12,
    train_choices=12,
    dev_rows=24,
    test_rows=12,
    tatoeba_pairs=12,
    bucc_dev=(8, 3),
    bucc_test=(8, 3),
)


def digests(folder: Path) -> dict[str, str]:
    """Name -> sha-256 of every file."""
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def test_equal_worlds_have_equal_bytes_in_every_process(tmp_path: Path) -> None:
    make_world(tmp_path / "here", TINY)
    code = f"""
from pathlib import Path
from typing import Any
from xstilts.pocket import World, make_world
make_world(Path({str(tmp_path / "there")!r}), World(**{settings(TINY)!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "7"}, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


def settings(world: World) -> dict[str, object]:
    return {name: getattr(world, name) for name in world.__dataclass_fields__ if name != "tongues"}


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    make_world(tmp_path / "one", TINY)
    make_world(tmp_path / "two", replace(TINY, seed=2))
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert one.keys() == two.keys()
    assert not {name for name in one if one[name] == two[name]}


def test_a_build_that_stops_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = build.files

    def stopped(world: World) -> Iterator[tuple[str, str]]:
        for number, file in enumerate(written(world)):
            if number == 7:
                raise KeyboardInterrupt
            yield file

    monkeypatch.setattr(build, "files", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path / "world", TINY)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    with pytest.raises(DataError, match="there already, and was not made"):
        make_world(tmp_path / "world", TINY)
    assert [p.name for p in tmp_path.iterdir()] == ["world"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot make the folder"):
        make_world(tmp_path / "file" / "world", TINY)


def test_the_folder_says_what_it_is() -> None:
    told = json.loads((small_world() / "pocket.json").read_bytes())
    assert told["settings"]["train_rows"] == SMALL.train_rows
    assert [each["distance"] for each in told["languages"]] == [0, 1, 2, 3, 4]
    assert len({each["example"] for each in told["languages"]}) == 5
    assert "constructed" in (small_world() / "README.md").read_text()


def test_text_has_the_declared_lines() -> None:
    for tongue in SMALL.tongues:
        lines = (small_world() / f"text/{tongue.code}.txt").read_text(encoding="utf-8").splitlines()
        assert len(lines) == SMALL.text_lines
        assert all(line[-1] in ".?" for line in lines)
        if tongue.distance:
            pairs = (small_world() / f"text/{tongue.code}-en.tsv").read_text(encoding="utf-8").splitlines()
            assert len(pairs) == round(SMALL.bitext_lines * tongue.bitext)
            assert all(line.count("\t") == 1 for line in pairs)


def test_the_page_shows_what_the_generator_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pocket.md").read_text(encoding="utf-8")
    speakers = [Speaker(tongue, POCKET.seed) for tongue in POCKET.tongues]
    for told in build.described(POCKET, speakers)["languages"]:
        assert f"| `{told['code']}` | {told['name']} | {told['distance']} | {told['example']} |" in page


def test_a_world_may_have_another_language(tmp_path: Path) -> None:
    added = replace(POCKET.tongues[4], code="qae", script="Latn")
    make_world(tmp_path / "world", replace(TINY, tongues=(*POCKET.tongues[:2], added)))
    assert (tmp_path / "world/xnli/test-qae.tsv").read_text(encoding="utf-8").isascii()
    assert not (tmp_path / "world/xnli/test-qad.tsv").exists()


def test_the_command_makes_a_world_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xstilts.pocket.World", lambda seed: replace(TINY, seed=seed))
    done = CliRunner().invoke(cli.app, ["data", "pocket", str(tmp_path / "new" / "world"), "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert "seed 3" in done.output and "Okhuri" in done.output
    assert json.loads((tmp_path / "new/world/pocket.json").read_bytes())["settings"]["seed"] == 3


@pytest.mark.parametrize(
    ("change", "where"),
    [({"dev_rows": 3}, "dev_rows"), ({"bucc_dev": (5, 6)}, "bucc_dev"), ({"tongues": POCKET.tongues[1:]}, "tongues")],
)
def test_a_world_that_cannot_be_is_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(DataError) as refused:
        replace(POCKET, **change)
    assert refused.value.where == where
