"""Tasks are ranked by the surest thing known of each, and orders are held against full arms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from made_results import Change, made_study
from tiny_world import tiny_data
from xstilts.errors import DataError, MissingNameError
from xstilts.published.own import OwnModel, OwnStudy
from xstilts.recommend.probe import probe_study
from xstilts.recommend.ranking import as_json, rank, ranking_grids
from xstilts.study import parse_study
from xstilts.tasks import intermediate
from xstilts.tasks.folder import DataFolder

GAINS = {"mnli": 3.0, "squad_v2": 1.0, "qqp": -2.0, "ccg": 0.5}
ARMS = {name: [name] for name in GAINS}


def gains(sign: float = 1.0) -> Change:
    return lambda arm, target, seed: sign * GAINS[arm] + 0.01 * seed


def test_the_best_change_is_first_and_what_nobody_tried_is_named() -> None:
    found = rank([made_study(ARMS, gains())], "panx")
    assert [s.tasks for s in found.best] == [("mnli",), ("squad_v2",), ("ccg",), ("qqp",)]
    assert found.best[0].difference.mean == pytest.approx(3.02)
    assert found.best[0].difference.pairs == 3
    assert found.best[0].split == "dev"
    assert set(found.untried) == {t.name for t in intermediate()} - set(GAINS)


def test_a_surer_basis_speaks_before_a_lesser_one() -> None:
    mine = made_study({"mnli": ["mnli"]}, gains(), name="mine", only=["panx"])
    other = made_study(ARMS, gains(-1), name="other", only=["udpos"])  # of panx's group
    found = {s.tasks: s for s in rank([other, mine], "panx").best}
    assert (found["mnli",].basis, found["mnli",].study) == ("this target", "mine")
    assert (found["qqp",].basis, found["qqp",].target) == ("related target", "udpos")
    assert found["qqp",].difference.mean > 0


def test_a_related_targets_large_change_stands_below_a_small_one_of_this_target() -> None:
    mine = made_study({"mnli": ["mnli"], "qqp": ["qqp"]}, gains(), name="mine", only=["tatoeba"])
    other = made_study(
        {"ccg": ["ccg"], "squad_v2": ["squad_v2"]}, lambda arm, t, s: 40.0, name="other", only=["bucc2018"]
    )
    best = rank([other, mine], "tatoeba").best
    assert [s.basis for s in best] == ["this target"] * 2 + ["related target"] * 2
    assert [s.tasks[0] for s in best][:2] == ["mnli", "qqp"]
    assert best[-1].difference.mean == pytest.approx(40.0)


def test_all_arms_of_a_study_are_looked_at_on_one_split() -> None:
    study = made_study(ARMS, gains(), only=["panx"])
    rows = tuple(r for r in study.rows if (r["arm"], r["split"]) != ("ccg", "dev"))
    found = rank([replace(study, rows=rows)], "panx")
    assert {(s.tasks[0], s.split) for s in found.seen} == {(arm, "dev") for arm in ("mnli", "squad_v2", "qqp")}
    assert found.without_dev == ("made: ccg",)
    assert "ccg" not in found.untried
    assert any("Left out" in note and "ccg" in note for note in ranking_grids(found)[0].notes)


def test_dev_stands_before_test_and_is_another_source() -> None:
    study = made_study(ARMS, gains(), name="full", only=["panx"])
    on_dev = replace(study, rows=tuple(r for r in study.rows if r["arm"] in ("none", "qqp", "ccg")))
    on_test = replace(study, name="test only", rows=tuple(r for r in study.rows if r["split"] == "test"))
    found = rank([on_test, on_dev], "panx")
    assert [(s.tasks[0], s.split) for s in found.best] == [
        ("ccg", "dev"),
        ("qqp", "dev"),
        ("mnli", "test"),
        ("squad_v2", "test"),
    ]
    (agreement,) = rank([on_test, study], "panx").agreements
    assert {agreement.of.rsplit(" ", 1)[1], agreement.truth.rsplit(" ", 1)[1]} == {"dev", "test"}


def test_models_are_the_same_by_what_they_are_not_by_name() -> None:
    def called(name: str, published: str | None, study: str) -> OwnStudy:
        made = made_study({"mnli": ["mnli"]}, gains(), name=study, only=["xnli"])
        rows = tuple({**r, "model": name} for r in made.rows)
        return replace(made, rows=rows, models={name: OwnModel(name, published)})

    one, other = called("m", "xlm-r-large", "one"), called("large", "xlm-r-large", "other")
    assert {s.basis for s in rank([one, other], "xnli", "m").seen} == {"this target"}
    assert not rank([one, other], "xnli", "m").by_name
    stranger = called("m", "mbert", "stranger")
    with pytest.raises(DataError, match="different models are called 'm'"):
        rank([one, stranger], "xnli", "m")
    found = rank([one, stranger], "xnli", "xlm-r-large")
    assert {(s.study, s.basis) for s in found.seen} == {
        ("one", "this target"),
        ("stranger", "this target, other model"),
    }
    unknown = rank([called("m", None, "one")], "xnli", "m")
    assert unknown.by_name
    assert any("by its name alone" in note for note in ranking_grids(unknown)[0].notes)


def test_another_model_is_a_lesser_basis_than_a_probe() -> None:
    full = made_study(ARMS, gains(), name="full", only=["xnli"])
    probe = made_study(ARMS, gains(-1), name="probe", only=["xnli"], probe=True)
    assert {s.basis for s in rank([full, probe], "xnli").best} == {"this target"}
    found = rank([full, probe], "xnli", "another")
    assert {s.basis for s in found.best} == {"this target, other model"}  # the probe is of another model, too
    assert {s.basis for s in found.seen if s.study == "probe"} == set()


def test_a_probe_is_held_against_the_truth() -> None:
    full = made_study(ARMS, gains(), name="full", only=["xnli"])
    for sign in (1.0, -1.0):
        probe = made_study(ARMS, gains(sign), name="short", only=["xnli"], probe=True, seeds=(1,))
        (agreement,) = rank([full, probe], "xnli").agreements
        assert agreement.of.startswith("probe")
        assert agreement.truth.startswith("this target")
        assert agreement.ranks.kendall == pytest.approx(sign)
        assert agreement.ranks.spearman == pytest.approx(sign)
        assert agreement.ranks.count == 4


def test_two_arms_are_too_few_to_hold_anything_against() -> None:
    two = {name: [name] for name in ("mnli", "qqp")}
    full, probe = (made_study(two, gains(), name=n, only=["xnli"], probe=n == "p") for n in ("f", "p"))
    assert rank([full, probe], "xnli").agreements == ()


def test_a_target_without_dev_rows_is_ranked_on_test_and_says_so() -> None:
    found = rank([made_study(ARMS, gains(), only=["tydiqa"])], "tydiqa")
    assert {s.split for s in found.best} == {"test"}
    assert any("ranks on test" in note for note in ranking_grids(found)[0].notes)


def test_the_ranking_is_plain_data() -> None:
    found = rank([made_study(ARMS, gains(), only=["xnli"])], "xnli")
    plain = as_json(found)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["ranking"][0]["tasks"] == ["mnli"]


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(MissingNameError, match="mnly"):
        rank([], "mnly")


def test_a_probe_is_a_short_study_of_every_task_with_rows() -> None:
    study = probe_study("panx", "m", {"path": "model"}, DataFolder(tiny_data()), 7, 1e-4)
    assert set(study.arms) == {"none"} | {t.name for t in intermediate()}
    assert study.splits == ("dev",)
    assert study.training["target"]["max_steps"] == study.training["intermediate"]["max_steps"] == 7
    assert study.training["target"]["selection"] == "last"
    assert study.train_rows_of("panx", "target") == 7 * 16
    assert parse_study(study.model_dump(mode="json", exclude_defaults=True)) == study
    assert probe_study("xquad", "m", {"path": "model"}, DataFolder(tiny_data()), 7, 1e-4).splits == ("test",)


def test_a_probe_needs_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no intermediate task"):
        probe_study("panx", "m", {"path": "model"}, DataFolder(tmp_path), 7, 1e-4)
    with pytest.raises(MissingNameError):
        probe_study("pan", "m", {"path": "model"}, DataFolder(tiny_data()), 7, 1e-4)
