"""Encoders kept on the way through an intermediate training: planned, kept through kills, scored, shown, in no table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from test_execute import planned
from tiny_world import command, run_command, tiny_study, write_study
from xstilts import journey
from xstilts.errors import StudyError, TrainingError
from xstilts.execute import execute
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Resources
from xstilts.graph.store import Store
from xstilts.plan import Plan
from xstilts.training.kept import kept_folder, kept_steps

FEW = {"max_steps": 7, "batch_size": 6, "selection": "last"}
RETRIEVED: dict[str, Any] = {
    "targets": ["bucc2018", "tatoeba"],
    "languages": ["de"],
    "training": {"intermediate": {**FEW, "selection": "dev", "selection_rows": 8}, "mixture": FEW},
}
TWO = {"checkpoints": 2}
MIXED = {"intermediate": ["mnli", "ccg"]}
TEXT = {"intermediate": ["mnli", "masked_lm"], "masked_lm": {"text": "xnli.dev", "languages": ["de"]}}


def keys(plan: Plan) -> list[str]:
    return [node.key for node in plan.graph]


@pytest.mark.parametrize(
    ("total", "count", "steps"), [(7, 2, (2, 5)), (100, 3, (25, 50, 75)), (4, 3, (1, 2, 3)), (5, 3, (1, 2, 4))]
)
def test_the_steps_are_even_and_different(total: int, count: int, steps: tuple[int, ...]) -> None:
    assert kept_steps(total, count) == steps


def test_however_many_there_are_they_lie_within() -> None:
    for total in range(2, 60):
        for count in range(1, total):
            found = kept_steps(total, count)
            assert len(set(found)) == count and list(found) == sorted(found) and 1 <= found[0] <= found[-1] < total
        with pytest.raises(TrainingError, match="at most one less"):
            kept_steps(total, total)


def test_without_checkpoints_nothing_is_in_a_spec_and_no_key_moves() -> None:
    plain = planned(**RETRIEVED)
    assert keys(planned(**RETRIEVED, retrieval={"checkpoints": 0})) == keys(plain)
    assert not [node for node in plain.graph if {"checkpoint", "checkpoints"} & {*node.spec, *node.labels}]
    assert plain.checkpoints == ()
    trained = {**RETRIEVED, "targets": ["xnli"]}
    assert keys(planned(**trained, retrieval=TWO)) == keys(planned(**trained)), "nothing is retrieved"


def test_each_checkpoint_is_swept_with_a_calibration_of_its_own_and_the_baseline_stays() -> None:
    arms = {"none": {}, "mnli": {"intermediate": "mnli"}, "both": MIXED}
    plain, plan = planned(**RETRIEVED, arms=arms), planned(**RETRIEVED, arms=arms, retrieval=TWO)
    of = plan.graph.by_key
    assert [(c.arm, c.target, c.split, c.number) for c in plan.checkpoints] == [
        (arm, *place, number)
        for arm in ("mnli", "both")
        for number in (1, 2)
        for place in (("bucc2018", "dev"), ("tatoeba", "test"))
    ], "BUCC test is not mined at checkpoints"
    assert [(c.arm, c.target, c.split) for c in plan.cells] == [(c.arm, c.target, c.split) for c in plain.cells]
    assert {c.key for c in plain.cells if c.arm == "none"} == {c.key for c in plan.cells if c.arm == "none"}
    for cell in plan.checkpoints:
        assert cell.key in plan.wanted
        swept, chosen = (of[of[cell.key].parents[role]] for role in ("predictions", "calibration"))
        assert swept.spec["checkpoint"] == cell.number and swept.spec["layers"] == [0, 1, 2]
        assert of[swept.parents["model"]].spec["checkpoints"] == 2
        assert of[chosen.parents["bucc_dev"]].spec["checkpoint"] == cell.number
        assert f"checkpoint {cell.number}" in swept.title


@pytest.mark.parametrize(
    ("training", "says"),
    [({"max_steps": 2}, "2 checkpoints on the way through 2 steps"), ({"patience": 1}, "patience 1")],
)
def test_a_training_that_may_not_reach_them_is_refused(training: dict[str, Any], says: str) -> None:
    raw = {**RETRIEVED, "training": {"intermediate": {**FEW, "selection": "dev", **training}}}
    with pytest.raises(StudyError, match=says):
        planned(**raw, retrieval=TWO)


class StoppedError(Exception):
    """Stands for the end of the process."""


def attempt(plan: Plan, out: Path, *, stop: int | None = None, damage: str | None = None) -> dict[str, str]:
    """One attempt at the intermediate training; the digests of its models, or nothing if it was stopped after a step."""
    (node,) = (n for n in plan.graph if n.labels.get("role") == "intermediate")

    def progress(done: int, total: int, unit: str, **shown: Any) -> None:
        if done == stop and "loss" in shown:
            raise StoppedError

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if damage is not None:
        (out.parent / "checkpoints" / "at" / damage).write_bytes(b"{}")
    resources = Resources(plan.files, plan.models, threads=1, checkpoint_seconds=0)
    try:
        execute(node, {}, out, resources, progress)  # type: ignore[arg-type]
    except StoppedError:
        assert stop is not None
        return {}
    return {p.relative_to(out).as_posix(): digest_file(p) for p in out.rglob("*/*") if p.is_file()}


@pytest.mark.parametrize("arm", [{"intermediate": "mnli"}, MIXED, TEXT], ids=["train", "mix", "masked_lm"])
def test_killed_and_taken_up_again_it_keeps_the_same_bytes(tmp_path: Path, arm: dict[str, Any]) -> None:
    plan = planned(**RETRIEVED, arms={"arm": arm}, retrieval=TWO)
    calm = attempt(plan, tmp_path / "calm" / "out")
    assert {name.rpartition("/")[0] for name in calm} == {"model", "at/2", "at/5"}
    assert len({digest for name, digest in calm.items() if name.endswith("safetensors")}) == 3
    assert "kept.json" not in {Path(name).name for name in calm}
    without = attempt(planned(**RETRIEVED, arms={"arm": arm}), tmp_path / "without" / "out")
    assert without == {name: digest for name, digest in calm.items() if name.startswith("model/")}
    for stop, damage in ((3, None), (4, "2/model.safetensors"), (6, None), (7, "5/kept.json")):
        assert attempt(plan, tmp_path / "stopped" / "out", stop=stop, damage=damage) == {}
    assert attempt(plan, tmp_path / "stopped" / "out") == calm


def test_a_kept_encoder_is_the_trained_one_after_that_step(tmp_path: Path) -> None:
    """The checkpoint of the same step holds the same weights."""
    plan = planned(**RETRIEVED, arms={"arm": TEXT}, retrieval=TWO)
    attempt(plan, tmp_path / "out", stop=6)
    kept = load_file(tmp_path / "checkpoints" / "at" / "5" / "model.safetensors")
    saved = load_file(tmp_path / "checkpoints" / "step-00000005" / "weights.safetensors")
    assert all(torch.equal(weight, saved[f"encoder.transformer.{name}"]) for name, weight in kept.items())
    assert not any("head" in name for name in kept)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Store]:
    """The same study without checkpoints and with two: their stores."""
    stores = {}
    for count in (0, 2):
        home = tmp_path_factory.mktemp(f"kept{count}")
        study = write_study(home, tiny_study(**RETRIEVED, retrieval={"checkpoints": count}))
        command(*run_command(study, home / "store"))
        stores[count] = Store(home / "store")
    return stores


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("key", "study")} for row in rows]


def test_rows_and_tables_are_what_they_were(two_runs: dict[int, Store]) -> None:
    assert told(journey.rows(two_runs[2])) == told(journey.rows(two_runs[0]))
    assert journey.tables(two_runs[2]) == journey.tables(two_runs[0])


def test_every_checkpoint_has_its_readings_and_its_whole_curve(two_runs: dict[int, Store]) -> None:
    rows = json.loads(command("results", "tiny", "--store", two_runs[2].root, "--layers", "--json", "-"))
    own = [row for row in rows if row["checkpoint"] is None]
    kept = [row for row in rows if row["checkpoint"] is not None]
    assert own == [row | {"study": "tiny"} for row in journey.layer_rows(two_runs[0])]
    assert {row["step"] for row in own if row["arm"] == "none"} == {0}
    assert {(row["arm"], row["checkpoint"], row["step"]) for row in kept} == {("mnli", 1, 2), ("mnli", 2, 5)}
    for target, split in (("bucc2018", "dev"), ("tatoeba", "test")):
        for number in (1, 2):
            here = [r for r in kept if (r["target"], r["split"], r["checkpoint"]) == (target, split, number)]
            curve = {r["places"][0]: r["value"] for r in here if r["reading"] == "curve"}
            assert set(curve) == {f"{layer} {pooling}" for layer in range(3) for pooling in ("mean", "first")}
            best = next(r for r in here if r["reading"] == "best")
            assert best["value"] == max(curve.values())
            before = next(r for r in own if (r["arm"], r["target"], r["reading"]) == ("none", target, "best"))
            assert best["delta"] == pytest.approx(best["value"] - before["value"])
            assert {r["reading"] for r in here} == {"rule", "fixed", "best", "curve"}


def test_each_encoder_was_read_itself(two_runs: dict[int, Store]) -> None:
    """Scores of this world are all alike; the similarities behind them are not."""
    nodes = two_runs[2].studies()["tiny"]["nodes"]
    swept = [n for n in nodes if n["kind"] == "retrieve" and n["labels"]["task"] == "tatoeba"]
    assert len(swept) == 4, "the baseline, two kept ones, the arm's own"
    outputs = {n["key"]: (two_runs[2].path(n["key"]) / "outputs" / "de.jsonl").read_text() for n in swept}
    assert len(set(outputs.values())) == 4


def test_kept_encoders_are_numbered_by_their_steps(tmp_path: Path) -> None:
    for step in (100, 5, 20):
        (tmp_path / "at" / str(step)).mkdir(parents=True)
    assert [kept_folder(tmp_path, number).name for number in (1, 2, 3)] == ["5", "20", "100"]


def test_the_tables_go_from_the_baseline_to_the_arms_own_model(two_runs: dict[int, Store]) -> None:
    grids = {grid.title: grid for grid in journey.layer_tables(two_runs[2])}
    readings = grids["tiny, tatoeba test, arm mnli by steps: which layer"]
    (step,) = {r["step"] for r in journey.layer_rows(two_runs[2]) if (r["arm"], r["checkpoint"]) == ("mnli", None)}
    assert [row[0] for row in readings.rows] == ["0 (none)", "2", "5", f"{step} (mnli)"]
    own = grids["tiny, tatoeba test: which layer"].rows
    assert [readings.rows[0][1:], readings.rows[-1][1:]] == [row[1:] for row in own]
    curve = grids["tiny, tatoeba test, arm mnli by steps: score by layer, pooling mean"]
    assert curve.columns == ("layer", "0 (none)", "2", "5", f"{step} (mnli)")
    assert [row[0] for row in curve.rows] == ["0", "1", "2"]
    assert len(grids) == 8 and len(journey.layer_tables(two_runs[0])) == 4
