"""An arm from step to step: the baseline first, its own model last, and whether the score rose or the best layer moved."""

from __future__ import annotations

from typing import Any

from test_retrieval_layers import MOVED, NONE, STUDY, sweep

from xstilts.report.retrieval_steps import way_grids, ways_json, ways_of

BETWEEN = {6: 48.0, 7: 47.0, 8: 30.0}
STEPS = {1: 90, 2: 100}  # of the arm's own model, by seed: each has its own best checkpoint


def own() -> list[dict[str, Any]]:
    none = [row | {"step": 0} for row in sweep("none", NONE)]
    return [*none, *(row | {"step": STEPS[row["seed"]]} for row in sweep("nli", MOVED))]


def kept(*numbers: int) -> list[dict[str, Any]]:
    return [row | {"step": 30 * n, "checkpoint": n} for n in numbers for row in sweep("nli", BETWEEN)]


def test_moments_stand_in_their_order_and_each_is_compared_with_the_baseline() -> None:
    (way,) = ways_of(own(), kept(2, 1), {"study": STUDY})
    readings, curve = way_grids([way], "mean")
    assert readings.columns[0] == "steps"
    assert readings.rows == (
        ("0 (none)", "6 mean", "41.0", "7 mean", "51.0", "7 mean", "51.0"),
        ("30", "6 mean", "49.0 +8.0", "7 mean", "48.0 -3.0", "6 mean", "49.0 -2.0"),
        ("60", "6 mean", "49.0 +8.0", "7 mean", "48.0 -3.0", "6 mean", "49.0 -2.0"),
        ("90, 100 (nli)", "6 mean", "51.0 +10.0", "7 mean", "46.0 -5.0", "6 mean", "51.0 +0.0"),
    )
    assert curve.columns == ("layer", "0 (none)", "30", "60", "90, 100 (nli)")
    assert curve.rows[0] == ("6", "41.0", "49.0", "49.0", "51.0")


def test_rows_are_of_the_kept_encoders_only() -> None:
    rows = list(ways_json(ways_of(own(), kept(1, 2), {"study": STUDY})))
    assert {(r["arm"], r["checkpoint"], r["step"]) for r in rows} == {("nli", 1, 30), ("nli", 2, 60)}
    assert len([r for r in rows if r["reading"] == "curve"]) == 2 * 6


def test_a_study_without_checkpoints_or_whose_checkpoints_wait_has_none() -> None:
    assert ways_of(own(), [], {"study": STUDY}) == []


def test_without_a_baseline_arm_there_is_no_difference() -> None:
    study = {**STUDY, "arms": {"nli": {"intermediate": "mnli"}}}
    (way,) = ways_of([row for row in own() if row["arm"] == "nli"], kept(1), {"study": study})
    assert list(way.layers.readings) == ["30", "90, 100 (nli)"]
    assert {r.delta for of in way.layers.readings.values() for r in of.values()} == {None}
