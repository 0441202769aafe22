"""The averages of XTREME and those that stand beside them."""

from __future__ import annotations

import pytest

from xstilts.metrics import xtreme

TASKS = ["xnli", "udpos", "xquad", "tatoeba"]
SCORES = {"xnli": 80.0, "udpos": 70.0, "xquad": 60.0, "tatoeba": 10.0}


def test_the_overall_score_is_the_mean_of_the_tasks_not_of_the_groups() -> None:
    groups = {"classification": ["xnli"], "other": ["udpos", "xquad", "tatoeba"]}
    assert xtreme.overall(SCORES, TASKS) == 55.0
    assert xtreme.group_scores(SCORES, groups) == {"classification": 80.0, "other": pytest.approx(140 / 3)}


def test_a_missing_task_leaves_no_overall_score_and_no_score_of_its_group() -> None:
    scores = {**SCORES, "xquad": None}
    assert xtreme.overall(scores, TASKS) is None
    assert xtreme.overall({"xnli": 80.0}, TASKS) is None
    assert xtreme.group_scores(scores, {"a": ["xnli", "udpos"], "b": ["xquad"]}) == {"a": 75.0, "b": None}
    assert xtreme.overall({}, []) is None


def test_question_answering_is_the_mean_of_two_metrics() -> None:
    assert xtreme.task_score({"exact_match": 60.0, "f1": 80.0}, ("exact_match", "f1")) == 70.0
    assert xtreme.task_score({"accuracy": 60.0}, ("accuracy",)) == 60.0


def test_zero_shot_languages_and_the_transfer_gap() -> None:
    languages = {"en": 90.0, "de": 80.0, "sw": 60.0}
    names = ["en", "de", "sw"]
    assert xtreme.without_source(languages, names) == 70.0
    assert xtreme.transfer_gap(languages, names) == 20.0
    assert xtreme.transfer_gap(languages, names, source="sw") == -25.0
    assert xtreme.transfer_gap({"en": 90.0, "de": 80.0}, names) is None
    assert xtreme.transfer_gap({"de": 80.0, "sw": 60.0}, ["de", "sw"]) is None
    assert xtreme.transfer_gap({"en": 90.0}, ["en"]) is None


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not defined"):
        xtreme.mean([])
