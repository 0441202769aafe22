"""An arm of several intermediate tasks: what may stand in a study, what is planned, and that it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from test_execute import planned
from tiny_world import command, run_command, tiny_study, write_study
from xstilts.errors import MissingNameError, StudyError
from xstilts.graph.store import Store
from xstilts.study import parse_study

MIXED: dict[str, Any] = {"intermediate": ["mnli", "squad_v2", "ccg"]}
WEIGHTS = {"mnli": 2.0, "squad_v2": 1.0, "ccg": 1.0}


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ({"intermediate": ["mnli"]}, "two or more"),
        ({"intermediate": ["mnli", "mnli"]}, "two or more different"),
        ({"intermediate": "mnli", "mixture": {"cap": 5}}, "no list"),
        ({**MIXED, "mixture": {"sampling": "fixed"}}, "weights"),
        ({**MIXED, "mixture": {"weights": WEIGHTS}}, "weights"),
        ({**MIXED, "mixture": {"sampling": "fixed", "weights": {"mnli": 1}}}, "ccg"),
        ({**MIXED, "mixture": {"sampling": "fixed", "weights": {**WEIGHTS, "ccg": 0}}}, "greater than 0"),
        ({**MIXED, "mixture": {"temperature": 2}}, "temperature"),
        ({**MIXED, "mixture": {"cpa": 2}}, "cap"),
    ],
)
def test_mistakes_are_named(arm: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        parse_study(tiny_study(arms={"none": {}, "all": arm}))


def test_an_unknown_task_in_the_list_is_named() -> None:
    with pytest.raises(MissingNameError, match="squad_v2"):
        planned(arms={"all": {"intermediate": ["mnli", "sqaud_v2"]}})


def test_rows_that_are_in_two_of_the_tasks_are_refused_unless_meant() -> None:
    both: dict[str, Any] = {"intermediate": ["mnli", "anli_plus"]}
    files = {"anli_plus.train": ["mnli/train.jsonl"], "mnli.train": ["mnli/train.jsonl"]}
    with pytest.raises(StudyError, match="repeat: true"):
        planned(arms={"all": both}, data={"files": files})
    assert planned(arms={"all": {**both, "mixture": {"repeat": True}}}, data={"files": files}).graph.nodes


def test_the_plan_has_one_training_for_all_and_its_key_holds_the_mixture() -> None:
    def mixed(**changes: Any) -> str:
        plan = planned(arms={"all": {**MIXED, **changes}})
        (node,) = (n for n in plan.graph if n.kind == "mix")
        assert (node.labels["task"], node.labels["role"]) == ("mnli+squad_v2+ccg", "intermediate")
        assert set(node.spec["parts"]) == set(MIXED["intermediate"])
        (tuned,) = (n for n in plan.graph if n.kind == "train")
        assert tuned.parents == {"model": node.key}
        return node.key

    keys = {mixed(), mixed(mixture={"cap": 7}), mixed(mixture={"sampling": "uniform"})}
    assert len(keys) == 3
    assert mixed(mixture={"sampling": "proportional"}) == mixed()


def test_it_runs_and_says_how_often_each_task_came(tmp_path: Path) -> None:
    training = {
        "intermediate": {"batch_size": 6, "selection": "dev", "selection_rows": 8},
        "mixture": {"max_steps": 12, "selection": "dev"},
        "target": {"max_steps": 2, "batch_size": 6, "selection": "last"},
    }
    raw = tiny_study(arms={"none": {}, "all": MIXED}, training=training, languages=["en", "de"], splits=["test"])
    study, store = write_study(tmp_path, raw), tmp_path / "store"
    command(*run_command(study, store))
    rows = json.loads(command("results", "--store", store, "--json", "-"))
    assert {(r["arm"], r["language"]) for r in rows} == {(a, c) for a in ("none", "all") for c in ("en", "de")}
    (node,) = (n for n in Store(store).studies()["tiny"]["nodes"] if n["kind"] == "mix")
    said = json.loads((Store(store).path(node["key"]) / "training.json").read_text())
    assert sum(of["steps"] for of in said["tasks"].values()) == said["training"]["steps"] == 12
    assert [of["share"] for of in said["tasks"].values()] == pytest.approx([1 / 3] * 3)
    assert len(said["training"]["dev"]) >= 1
