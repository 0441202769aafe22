"""The retrieval layer: one rule for a model, whatever a study reports."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tiny_world import fake_model, tiny_data
from xstilts import journey
from xstilts.graph.disk import digest_file
from xstilts.model_source import find_model
from xstilts.plan import FIXED_LAYER_SHARE, Plan, make_plan
from xstilts.report.show import show_plan
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder


def planned(folder: Path, **changes: Any) -> Plan:
    fields = {"name": "s", "models": {"m": {"path": str(fake_model(folder))}}, "arms": {"none": {}}, "seeds": [1]}
    study = parse_study({**fields, **changes})
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    return make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)


def calibrations(folder: Path, **changes: Any) -> set[str]:
    """Keys of the nodes that choose the layer."""
    return {node.key for node in planned(folder, **changes).graph if node.kind == "calibrate"}


def test_the_retrieval_layer_depends_on_nothing_that_a_study_reports(tmp_path: Path) -> None:
    both = calibrations(tmp_path / "m", targets=["bucc2018", "tatoeba"])
    assert len(both) == 1
    assert calibrations(tmp_path / "m", targets=["tatoeba"]) == both
    assert calibrations(tmp_path / "m", targets=["bucc2018", "tatoeba"], splits=["test"]) == both
    assert calibrations(tmp_path / "m", targets=["tatoeba"], languages=["sw"]) == both
    assert calibrations(tmp_path / "m", targets=["tatoeba"], retrieval={"layer_from": "fixed"}) != both


def test_with_a_fixed_layer_bucc_still_has_its_dev_gold_for_thresholds(tmp_path: Path) -> None:
    for targets, sweeps in ((["bucc2018", "tatoeba"], True), (["tatoeba"], False)):
        plan = planned(tmp_path / "m", targets=targets, retrieval={"layer_from": "fixed"})
        (chooses,) = (node for node in plan.graph if node.kind == "calibrate")
        assert bool(chooses.spec["gold"]) == ("bucc_dev" in chooses.parents) == sweeps
        assert chooses.spec["layer_from"] == "fixed"


def test_a_plan_says_when_retrieval_needs_the_pairs_of_another_target(tmp_path: Path) -> None:
    def said(**changes: Any) -> str:
        shown = Console(file=io.StringIO(), width=200)
        plan = planned(tmp_path / "m", languages="with_gold", **changes)
        with journey.open_store(tmp_path / "store") as store:
            show_plan(journey.plan_summary(plan, store), shown)
        return shown.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    note = "the layer is chosen on the dev pairs of bucc2018 (de fr ru zh), which are embedded, too"
    assert note in said(targets=["tatoeba"])
    assert "chosen on" not in said(targets=["tatoeba", "bucc2018"])
    assert "chosen on" not in said(targets=["tatoeba"], retrieval={"layer_from": "fixed"})
    assert "chosen on" not in said(targets=["pawsx"])


@pytest.mark.parametrize(("layers", "fixed"), [(24, 14), (12, 7), (2, 1)])
def test_the_fixed_layer_is_fourteen_of_twenty_four(layers: int, fixed: int) -> None:
    assert round(FIXED_LAYER_SHARE * layers) == fixed
