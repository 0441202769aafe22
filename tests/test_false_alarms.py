"""The baseline with other seeds is not called better more often than declared."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

from xstilts.statistics.corrections import Declared

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip(
        "benchmarks/ is not here: tests run in an unpacked sdist, or not as python -m pytest", allow_module_level=True
    )

from benchmarks.false_alarms import as_study, relabelings, shares, simulated

LEVEL = 0.05


@pytest.mark.parametrize("family", ["targets", "languages"])
def test_studies_without_a_difference(family: str) -> None:
    studies = list(simulated(100, pairs=3, rows=200, seed=2))
    found = shares(studies, "test", Declared(level=LEVEL, family=family, against="A"), {})  # type: ignore[arg-type]
    assert found["tests"] == {"targets": 3, "languages": 15}[family]
    bound = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 100)
    assert found["better"] <= bound and found["worse"] <= bound


def test_a_difference_would_be_found() -> None:
    studies = list(simulated(20, pairs=3, rows=2000, seed=2))
    for rows, _ in studies:
        for row in rows:
            row["value"] += 40 * (row["arm"] == "B")
    found = shares(studies, "test", Declared(level=LEVEL, against="A"), {})
    assert (found["better"], found["worse"]) == (1, 0)


def test_relabelings_split_the_seeds_of_one_arm() -> None:
    (rows, study) = next(simulated(1, pairs=7, rows=200, seed=3))
    found = list(relabelings(rows, study, "A", 5, seed=1))
    for again, halves in found:
        assert halves["seeds"] == [0, 1, 2]
        values = {arm: {r["value"] for r in again if r["arm"] == arm} for arm in "AB"}
        assert values["A"] and values["B"] and len(again) == 2 * 3 * 15
    assert len({np.mean([r["value"] for r in again if r["arm"] == "A"]) for again, _ in found}) > 1
    with pytest.raises(SystemExit, match="has 5 seeds"):
        next(relabelings([r for r in rows if r["seed"] < 5], as_study(study, 5), "A", 1, seed=1))
