"""``xstilts data check`` knows a pocket world: its own languages, no published counts, and nothing in two places."""

from __future__ import annotations

import io
import json
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from rich.console import Console
from small_world import CODES, FOREIGN, SOURCE, small_world

from xstilts import tasks
from xstilts.checking import Report, check_folder, render
from xstilts.errors import DataError
from xstilts.pocket import VERSION


def check(folder: Path) -> Report:
    return check_folder(folder, [tasks.load(name) for name in tasks.names()])


def shown(report: Report) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=200))
    return out.getvalue()


def test_every_part_is_found_and_nothing_else_is_looked_for() -> None:
    report = check(small_world())
    assert report.ok and not report.missing
    assert all(part.found and part.with_gold == part.rows for part in report.parts)
    assert {part.published for part in report.parts} == {None}
    languages: dict[tuple[str, str], list[str]] = defaultdict(list)
    for part in report.parts:
        languages[part.task, part.split].append(part.language)
    assert languages["xnli", "test"] == list(CODES)
    assert languages["bucc2018", "dev"] == languages["tatoeba", "test"] == list(FOREIGN)
    assert languages["xnli", "train"] == [SOURCE, "qab"] and languages["mnli", "dev"] == [SOURCE]


def test_nothing_learned_from_is_scored_in_any_task() -> None:
    assert not check(small_world()).overlaps


def test_the_report_says_so_in_one_line() -> None:
    first, *rest = shown(check(small_world())).splitlines()
    assert first == (
        "A pocket world (seed 1, languages en qaa qab qac qad): constructed, so no published count is about it. "
        f"Made by version {VERSION} of the generator."
    )
    assert not any(word in line for line in rest for word in ("short", "?", "Missing", "392,702"))


def test_a_missing_file_and_another_version_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "world"
    shutil.copytree(small_world(), folder)
    (folder / "xnli/test-qac.tsv").unlink()
    told = json.loads((folder / "pocket.json").read_bytes())
    (folder / "pocket.json").write_text(json.dumps({**told, "version": VERSION + 1}))
    report = check(folder)
    (missing,) = report.missing
    assert (missing.task, missing.split, missing.languages) == ("xnli", "test", ("qac",))
    assert missing.command == "xstilts data pocket DIR"
    assert f"version {VERSION + 1} of the generator, not this one's ({VERSION})" in shown(report)


def test_a_damaged_description_is_said_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pocket.json").write_text("{")
    with pytest.raises(DataError, match="does not describe a pocket world"):
        check(tmp_path)
