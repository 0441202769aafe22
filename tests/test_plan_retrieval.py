"""The retrieval layer: one rule for a model, whatever a study reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiny_world import fake_model, tiny_data
from xstilts.graph.disk import digest_file
from xstilts.model_source import find_model
from xstilts.plan import FIXED_LAYER_SHARE, make_plan
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder


def calibrations(folder: Path, **changes: Any) -> set[str]:
    """Keys of the nodes that choose the layer."""
    fields = {"name": "s", "models": {"m": {"path": str(fake_model(folder))}}, "arms": {"none": {}}, "seeds": [1]}
    study = parse_study({**fields, **changes})
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    planned = make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)
    return {node.key for node in planned.graph if node.kind == "calibrate"}


def test_the_retrieval_layer_depends_on_nothing_that_a_study_reports(tmp_path: Path) -> None:
    both = calibrations(tmp_path / "m", targets=["bucc2018", "tatoeba"])
    assert len(both) == 1
    assert calibrations(tmp_path / "m", targets=["tatoeba"]) == both
    assert calibrations(tmp_path / "m", targets=["bucc2018", "tatoeba"], splits=["test"]) == both
    assert calibrations(tmp_path / "m", targets=["tatoeba"], languages=["sw"]) == both
    assert calibrations(tmp_path / "m", targets=["tatoeba"], retrieval={"layer_from": "fixed"}) != both


def test_with_a_fixed_layer_bucc_still_has_its_dev_gold_for_thresholds(tmp_path: Path) -> None:
    fields = {
        "name": "s",
        "models": {"m": {"path": str(fake_model(tmp_path / "m"))}},
        "arms": {"none": {}},
        "seeds": [1],
    }
    for targets, sweeps in ((["bucc2018", "tatoeba"], True), (["tatoeba"], False)):
        study = parse_study({**fields, "targets": targets, "retrieval": {"layer_from": "fixed"}})
        models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
        planned = make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)
        (chooses,) = (node for node in planned.graph if node.kind == "calibrate")
        assert bool(chooses.spec["gold"]) == ("bucc_dev" in chooses.parents) == sweeps
        assert chooses.spec["layer_from"] == "fixed"


@pytest.mark.parametrize(("layers", "fixed"), [(24, 14), (12, 7), (2, 1)])
def test_the_fixed_layer_is_fourteen_of_twenty_four(layers: int, fixed: int) -> None:
    assert round(FIXED_LAYER_SHARE * layers) == fixed
