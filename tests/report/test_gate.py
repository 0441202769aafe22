"""A speed stands beside the score of the same configuration, or it is withheld and the reason is said."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from test_impact import measured

import timed_world
from timed_world import ENCODING, World, _row, world, xnli_systems
from xstilts.graph.node import Node
from xstilts.report.impact.answers import Answers, impact


def test_scores_have_the_error_of_their_rows(tmp_path: Path) -> None:
    score = measured(tmp_path).shown[0].score
    assert score is not None
    assert (score.value, score.count) == (70, 800)
    assert score.error == pytest.approx(100 * (math.sqrt(0.8 * 0.2 / 400) + math.sqrt(0.6 * 0.4 / 400)) / 2)


def withheld(of: Answers, system: str = "big/nli") -> str:
    (found,) = [s for s in of.standings if s.system.name == system]
    assert found.speed is None
    (ratio, *_) = [r for r in of.ratios if r.system.name == system]
    assert (ratio.comparison, ratio.verdict) == (None, f"withheld: {found.withheld}")
    assert system not in {s.system.name for s in of.shown}
    return str(found.withheld)


def test_speed_is_withheld_where_answers_differ_from_the_scored_ones(tmp_path: Path) -> None:
    systems = xnli_systems()
    systems["big/nli"]["agreement"] = {"en": 1.0, "de": 0.98}
    assert withheld(measured(tmp_path, systems=systems)) == "too few answers equal the scored ones: de 98.0 %"


def test_speed_is_withheld_where_answers_were_not_checked(tmp_path: Path) -> None:
    systems = xnli_systems()
    systems["big/nli"]["agreement"] = None
    assert "unknown" in withheld(measured(tmp_path, systems=systems))


def test_an_arm_is_withheld_with_its_baseline(tmp_path: Path) -> None:
    systems = xnli_systems()
    systems["big/none"]["agreement"] = {"en": 0.5, "de": 1.0}
    verdicts = {r.verdict for r in measured(tmp_path, systems=systems).ratios if r.system.model == "big"}
    assert verdicts == {"withheld: of the baseline arm: too few answers equal the scored ones: en 50.0 %"}


def test_speed_is_withheld_without_a_score(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.measure("xnli", xnli_systems())
    made.cells = [c for c in made.cells if (c["model"], c["arm"]) != ("big", "nli")]
    (found,) = impact(made.save()).answers
    assert withheld(found) == "no score of this model, arm, target, split and seed is in the store"


def test_speed_is_withheld_where_one_language_has_no_score(tmp_path: Path) -> None:
    made = world(tmp_path)
    systems = xnli_systems()
    systems["big/nli"]["loads"]["th"] = systems["big/nli"]["loads"]["de"]
    for of in systems.values():
        of["loads"] = {"en": of["loads"]["en"], "de": of["loads"]["de"], "th": of["loads"]["de"]}
        of["agreement"] = dict.fromkeys(of["loads"], 1.0)

    def third(_: str, run: dict[str, Any]) -> None:
        for scenario in ("offline", "single_stream"):
            run[scenario]["th"] = run[scenario]["de"]

    _third_language(made, systems, third)
    (found,) = impact(made.save()).answers
    assert withheld(found) == "no score in th"


def _third_language(made: World, systems: Any, change: Any) -> None:
    shares = dict(timed_world.SHARE)
    try:
        timed_world.SHARE["th"] = 0.6
        made.measure("xnli", systems, each_run=change)
    finally:
        timed_world.SHARE.clear()
        timed_world.SHARE.update(shares)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("precision", "bf16", "scored in bf16, measured in fp32"), ("encoding", {"max_length": 64}, "another encoding")],
)
def test_speed_is_withheld_where_the_score_is_of_another_configuration(
    tmp_path: Path, field: str, value: Any, reason: str
) -> None:
    made = world(tmp_path)
    made.measure("xnli", xnli_systems())
    tuned, _ = made.models["big", "nli", "xnli"]
    spec = {"task": "xnli", "precision": "fp32", "encoding": ENCODING} | {field: value}
    predict = made.finish(Node("predict", spec, {"model": tuned.key}, {}, 1), {"counts.json": {}})
    score = Node("score", {"task": "xnli"}, {"predictions": predict.key}, {}, 1)
    made.finish(score, {"scores.json": [_row("en", 99.0), _row("de", 99.0)]})
    (cell,) = [c for c in made.cells if (c["model"], c["arm"], c["target"]) == ("big", "nli", "xnli")]
    cell["key"] = score.key
    (found,) = impact(made.save()).answers
    assert reason in withheld(found)


def test_speed_is_withheld_where_the_score_is_of_another_model(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.measure("xnli", xnli_systems())
    keys = {c["arm"]: c["key"] for c in made.cells if (c["model"], c["target"]) == ("big", "xnli")}
    for cell in made.cells:
        if (cell["model"], cell["arm"], cell["target"]) == ("big", "nli", "xnli"):
            cell["key"] = keys["none"]
    (found,) = impact(made.save()).answers
    assert withheld(found) == "the score is another model's than the one that was measured"
