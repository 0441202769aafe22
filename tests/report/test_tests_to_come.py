"""An unfinished study: the tests that lack scores yet are in the family from the start."""

from __future__ import annotations

from typing import Any

import pytest
from compared import ROWS, STUDY

from xstilts.report.comparison.compare import compare
from xstilts.report.comparison.tables import comparison_grids
from xstilts.report.comparison.to_come import tests_to_come as to_come
from xstilts.statistics.corrections import Declared, Family

AGAINST = {"mnli": "none", "qqp": "none"}
LANGUAGES = {"xnli": ("en", "de", "tr"), "xquad": ("en", "de", "zh"), "tatoeba": ("de", "tr")}


def key(arm: str, target: str, seed: int) -> str:
    return f"{arm} {target} {seed}"


def payload() -> dict[str, Any]:
    places = [(a, t, s) for a in STUDY["arms"] for t in STUDY["targets"] for s in STUDY["seeds"]]
    cells = [
        {"model": "m", "arm": a, "target": t, "split": split, "seed": s, "key": key(a, t, s) + split[4:]}
        for a, t, s in places
        for split in ("test", "dev")
    ]
    nodes = [{"key": c["key"], "spec": {"languages": dict.fromkeys(LANGUAGES[c["target"]])}} for c in cells]
    return {"study": STUDY, "cells": cells, "nodes": nodes}


@pytest.mark.parametrize(("family", "tests"), [("targets", {""}), ("languages", {"de", "tr"})])
def test_a_test_is_to_come_as_long_as_a_score_of_either_arm_is_missing(family: Family, tests: set[str]) -> None:
    own, base = key("mnli", "tatoeba", 2), key("none", "tatoeba", 3)
    found = to_come(payload(), "test", AGAINST, family, lambda k: k != own)
    assert found == {("m", "mnli", "tatoeba", language) for language in tests}
    found = to_come(payload(), "test", AGAINST, family, lambda k: k != base)
    assert found == {("m", arm, "tatoeba", language) for arm in AGAINST for language in tests}


def test_nothing_is_to_come_in_a_finished_study_or_over_one_seed() -> None:
    assert to_come(payload(), "test", AGAINST, "targets", lambda _: True) == frozenset()
    alone = payload() | {"study": STUDY | {"seeds": [1]}}
    assert to_come(alone, "test", AGAINST, "targets", lambda _: False) == frozenset()


def test_verdicts_are_corrected_for_the_whole_family_before_the_study_is_finished() -> None:
    """With qqp's rows missing, mnli's p-values are adjusted for six tests, not for three."""
    rows = [row for row in ROWS if row["arm"] != "qqp"]
    missing = to_come(payload(), "test", AGAINST, "targets", lambda k: not k.startswith("qqp"))
    (short,) = compare(rows, STUDY, "test", Declared(), {})
    (whole,) = compare(rows, STUDY, "test", Declared(), {}, to_come=missing)
    assert (short.tests, whole.tests, whole.to_come) == (3, 6, 3)
    smallest = [min(cell.p for cell in of.cells.values() if cell.p is not None) for of in (short, whole)]
    assert smallest[1] == pytest.approx(2 * smallest[0])  # times six, not times three
    assert "3 tests of these lack scores yet and count as p = 1" in " ".join(comparison_grids([whole])[0].notes)


def test_a_test_that_has_some_of_its_seeds_counts_once() -> None:
    rows = [row for row in ROWS if (row["arm"], row["seed"]) != ("mnli", 3)]
    missing = to_come(payload(), "test", AGAINST, "targets", lambda k: not k.startswith("mnli") or not k.endswith("3"))
    (found,) = compare(rows, STUDY, "test", Declared(), {}, to_come=missing)
    assert len(missing) == 3
    assert (found.tests, found.to_come) == (6, 0)
