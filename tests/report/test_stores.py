"""Two stores side by side: what is equal, what differs, under the same key or another, and what one of them lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timed_world
from tiny_world import command
from xstilts.report.comparison.stores import pairs, plain, stores_grid


def row(language: str, value: float | None, key: str = "k") -> dict[str, Any]:
    place = {"study": "s", "model": "m", "arm": "none", "target": "xnli", "split": "test", "language": language}
    more = {"seed": 1, "metric": "accuracy", "layer": None, "pooling": None, "selection": "dev"}
    return {**place, **more, "value": value, "key": key}


def test_numbers_are_paired_by_their_place() -> None:
    first = [row("en", 80.0), row("de", 60.0), row("tr", 50.0, "a"), row("sw", 40.0), row("ur", None)]
    second = [row("en", 80.0), row("de", 61.5), row("tr", 48.0, "b"), row("ur", 30.0), row("sw", None)]
    found = pairs(first, second)
    by_language = {pair.at[5]: pair for pair in found}
    assert {code: pair.difference for code, pair in by_language.items()} == {
        "en": 0.0,
        "de": 1.5,
        "tr": -2.0,
        "sw": None,
        "ur": None,
    }
    assert [code for code, pair in by_language.items() if pair.same_key] == ["en", "de"]
    grid = stores_grid(found, ("A", "B"))
    assert grid.rows == (("s: m/none", "xnli test", "3", "2", "1", "-2.00", "-0.17", "1", "1"),)
    assert any(note.startswith("Different under one key: 1 number (") for note in grid.notes)
    assert [each["difference"] for each in plain(found)][:3] == [0.0, 1.5, -2.0]


def test_a_zero_is_a_number() -> None:
    (pair,) = pairs([row("en", 0.0)], [row("en", 0.0)])
    assert pair.difference == 0.0 and pair.first == 0.0


def test_a_store_is_equal_to_itself(tmp_path: Path) -> None:
    timed_world.world(tmp_path / "store").save()
    found = json.loads(command("compare", "stores", tmp_path / "store", tmp_path / "store", "--json", "-"))
    assert len(found) > 10
    assert all(each["difference"] == 0.0 and each["same_key"] for each in found)
