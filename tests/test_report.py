"""Tables equal what a person computes by hand; rows come from the store with a status for every empty place."""

from __future__ import annotations

import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.report.languages import language_tables
from xstilts.report.results import FIELDS, result_rows, study_results
from xstilts.report.table import Entry, Table, markdown, print_table, zero_shot_table

STUDY: dict[str, Any] = {
    "name": "s",
    "targets": ["xnli", "xquad", "tatoeba"],
    "arms": {"mnli": {"intermediate": "mnli"}, "none": {"intermediate": None}, "qqp": {"intermediate": "qqp"}},
    "seeds": [1, 2],
    "source": "en",
    "limits": {"train_rows": None, "evaluation_rows": None},
    "data": {"files": {}},
    "models": {"m": {"note": ""}},
    "notes": {},
}


def row(arm: str, target: str, seed: int, language: str, metric: str, value: float, **more: Any) -> dict[str, Any]:
    where = {"model": "m", "arm": arm, "target": target, "seed": seed, "language": language, "split": "test"}
    key = f"{arm} {target} {seed}"
    found = {"metric": metric, "value": value, "status": "ok", "selection": "dev", "count": 100, "key": key}
    return where | found | more


def rows_of(arm: str, seed: int, up: float, retrieval: float) -> list[dict[str, Any]]:
    """XNLI en 80 and de 60; XQuAD en 50/70 and de 30/50; each plus ``up``."""
    return [
        row(arm, "xnli", seed, "en", "accuracy", 80 + up),
        row(arm, "xnli", seed, "de", "accuracy", 60 + up),
        row(arm, "xquad", seed, "en", "exact_match", 50 + up),
        row(arm, "xquad", seed, "en", "f1", 70 + up),
        row(arm, "xquad", seed, "de", "exact_match", 30 + up),
        row(arm, "xquad", seed, "de", "f1", 50 + up),
        row(arm, "tatoeba", seed, "de", "accuracy", retrieval, selection="rule"),
    ]


ROWS = [
    *rows_of("none", 1, 0, 40),
    *rows_of("none", 2, 2, 40),
    *rows_of("mnli", 1, 10, 50),
    *rows_of("mnli", 2, 12, 50),
]


def entries(table: Table, arm: str) -> dict[str, Entry]:
    return dict(zip(table.columns, dict(table.rows)[arm], strict=True))


def test_averages_equal_hand_computation() -> None:
    none = entries(zero_shot_table(ROWS, STUDY, "m", "test"), "none")
    assert none["xnli"].value == 71  # (80+60)/2 and (82+62)/2
    assert none["xquad"].value == 51  # mean of EM and F1, then of languages: 50 and 52
    assert none["tatoeba"].value == 40
    assert none["avg"].value == pytest.approx(((70 + 50 + 40) / 3 + (72 + 52 + 40) / 3) / 2)
    assert none["no retr."].value == 61
    assert none["no en"].value == pytest.approx(((60 + 40 + 40) / 3 + (62 + 42 + 40) / 3) / 2)
    assert none["gap"].value == 20  # retrieval has no English: XNLI 20, XQuAD 20
    assert {e.delta for e in none.values()} == {None}


def test_spread_is_over_seeds_and_delta_over_the_baseline() -> None:
    mnli = entries(zero_shot_table(ROWS, STUDY, "m", "test"), "mnli")
    assert mnli["xnli"].spread == pytest.approx(statistics.stdev([80, 82]))
    assert mnli["tatoeba"].spread == 0
    assert mnli["xnli"].delta == 10
    assert mnli["avg"].delta == pytest.approx(10)
    assert mnli["gap"].delta == 0
    assert mnli["xnli"].text() == "81.0±1.4 +10.0"


def test_one_seed_has_no_spread_and_says_so() -> None:
    table = zero_shot_table(rows_of("none", 1, 0, 40), STUDY | {"seeds": [1]}, "m", "test")
    assert entries(table, "none")["xnli"].text() == "70.0"
    assert any("One seed" in note for note in table.notes)


def test_arms_stand_in_the_studys_order_and_targets_too() -> None:
    table = zero_shot_table(ROWS[::-1], STUDY, "m", "test")
    assert [arm for arm, _ in table.rows] == ["mnli", "none", "qqp"]
    assert table.columns == ("xnli", "xquad", "tatoeba", "avg", "no retr.", "no en", "gap")


def test_what_is_not_there_is_a_dash_and_no_average() -> None:
    partly = [*ROWS, row("qqp", "xnli", 1, "en", "accuracy", 90), row("qqp", "xnli", 1, "de", "accuracy", 90)]
    qqp = entries(zero_shot_table(partly, STUDY, "m", "test"), "qqp")
    assert qqp["xnli"].value == 90
    assert qqp["xquad"].text() == "–"
    assert qqp["avg"].value is None
    assert (
        entries(zero_shot_table([r for r in ROWS if r["arm"] == "mnli"], STUDY, "m", "test"), "mnli")["avg"].delta
        is None
    )


def test_a_seed_that_is_incomplete_does_not_enter_the_average() -> None:
    partly = [r for r in ROWS if not (r["seed"] == 2 and r["target"] == "xquad" and r["arm"] == "none")]
    none = entries(zero_shot_table(partly, STUDY, "m", "test"), "none")
    assert none["xnli"].value == 71
    assert none["avg"].value == pytest.approx((70 + 50 + 40) / 3)


def test_a_delta_is_over_the_seeds_that_both_arms_have() -> None:
    partly = [r for r in ROWS if (r["arm"], r["seed"]) != ("none", 2)]
    table = zero_shot_table(partly, STUDY, "m", "test")
    assert entries(table, "none")["xnli"].text() == "70.0 1/2 seeds"
    mnli = entries(table, "mnli")
    assert (mnli["xnli"].value, mnli["xnli"].delta) == (81, 10)  # seed 1: 80 - 70; unpaired it would be 11
    assert mnli["avg"].delta == pytest.approx(10)
    assert mnli["xnli"].text() == "81.0±1.4 +10.0 (delta 1/2 seeds)"
    assert any(note.startswith("n/m seeds") for note in table.notes)
    assert not any(note.startswith("n/m seeds") for note in zero_shot_table(ROWS, STUDY, "m", "test").notes)


def test_arms_without_a_common_seed_have_no_delta() -> None:
    apart = [r for r in ROWS if (r["arm"], r["seed"]) in (("none", 1), ("mnli", 2))]
    assert {e.delta for e in entries(zero_shot_table(apart, STUDY, "m", "test"), "mnli").values()} == {None}


def test_a_gap_is_over_the_same_targets_for_every_arm() -> None:
    lacking = [r for r in ROWS if not (r["arm"] == "mnli" and r["target"] == "xquad" and r["seed"] == 2)]
    gap = entries(zero_shot_table(lacking, STUDY, "m", "test"), "mnli")["gap"]
    assert (gap.value, gap.delta, gap.marks) == (20, 0, " 1/2 seeds")
    lacking = [r for r in ROWS if not (r["arm"] == "mnli" and r["target"] == "xquad" and r["language"] == "en")]
    found = entries(zero_shot_table(lacking, STUDY, "m", "test"), "mnli")
    assert found["gap"].text() == "–", "XNLI alone is not what the baseline's gap is over"
    assert found["xquad"].text() == "–", "German alone is not what the baseline's score is over"


def test_copies_of_one_run_have_no_spread() -> None:
    copied = [r | ({"key": "same"} if (r["arm"], r["target"]) == ("none", "tatoeba") else {}) for r in ROWS]
    table = zero_shot_table(copied, STUDY, "m", "test")
    none = entries(table, "none")
    assert none["tatoeba"].text() == "40.0"
    assert none["avg"].spread == pytest.approx(statistics.stdev([160 / 3, 164 / 3]))
    assert any(note.startswith("No ±") for note in table.notes)
    assert not any(note.startswith("No ±") for note in zero_shot_table(ROWS, STUDY, "m", "test").notes)


def test_the_standard_error_of_few_rows_is_said() -> None:
    limited = STUDY | {"limits": {"train_rows": None, "evaluation_rows": 80}}
    notes = " ".join(zero_shot_table(ROWS, limited, "m", "test").notes)
    assert "80 evaluation rows a language: one accuracy has a standard error of up to 5.6 points." in notes
    short = [r | {"count": 25} if r["language"] == "en" else r for r in ROWS]
    notes = " ".join(zero_shot_table(short, limited, "m", "test").notes)
    assert "25 evaluation rows a language: one accuracy has a standard error of up to 10.0 points." in notes


@pytest.mark.parametrize("width", [200, 80, 30])
def test_a_terminal_of_any_width_shows_every_number(width: int) -> None:
    table = zero_shot_table(ROWS, STUDY, "m", "test")
    out = io.StringIO()
    print_table(table, Console(file=out, width=width))
    drawn = out.getvalue()
    for _, found in table.rows:
        assert all(e.text() in drawn for e in found)
    grid = drawn[: drawn.index("Languages scored")].splitlines()[:-1]
    assert width == 30 or max(map(len, grid)) <= width
    assert ("target" in grid[1]) == (width < 200), "where arms as rows do not fit, they are columns"


def test_other_models_and_splits_stay_out() -> None:
    noise = [row("none", "xnli", 1, "en", "accuracy", 0.0, **other) for other in ({"split": "dev"}, {"model": "n"})]
    assert zero_shot_table([*noise, *ROWS], STUDY, "m", "test") == zero_shot_table(ROWS, STUDY, "m", "test")


def test_marks_and_notes() -> None:
    marked = [{**r, "status": "chance"} if (r["arm"], r["target"]) == ("none", "xnli") else r for r in ROWS]
    study = STUDY | {
        "limits": {"train_rows": 50, "evaluation_rows": None},
        "data": {"files": {"mnli.train": ["stand-in.tsv"]}},
        "models": {"m": {"note": "a small one"}},
        "notes": {"any": "free text"},
    }
    table = zero_shot_table(marked, study, "m", "test")
    assert entries(table, "none")["xnli"].text().endswith("!")
    assert "!" not in entries(table, "mnli")["xnli"].text()
    notes = " ".join(table.notes)
    for part in (
        "xnli 2/15, xquad 2/11, tatoeba 1/36",
        "not XTREME's overall score",
        "Training rows at most: 50",
        "stand-in.tsv",
        "a small one",
        "free text",
        "at chance",
    ):
        assert part in notes


def test_nine_tasks_without_all_languages_are_not_xtremes_score() -> None:
    nine = ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]
    table = zero_shot_table([row("none", t, 1, "de", "x", 50) for t in nine], STUDY | {"targets": nine}, "m", "test")
    assert any("not XTREME's overall score" in note for note in table.notes)


def test_a_target_from_outside_is_known_by_what_the_store_recorded() -> None:
    declared = {"mine": {"group": "retrieval", "languages": ["de", "fr"]}}
    study = STUDY | {"targets": ["xnli", "mine"]}
    rows = [*rows_of("none", 1, 0, 40)[:2], row("none", "mine", 1, "de", "accuracy", 10)]
    table = zero_shot_table(rows, study, "m", "test", declared)
    assert entries(table, "none")["no retr."].value == 70
    assert "mine 1/2" in table.notes[0]


def test_markdown() -> None:
    text = markdown(zero_shot_table(ROWS, STUDY, "m", "test"))
    lines = text.splitlines()
    assert lines[0] == "### m, test"
    assert lines[2] == "| arm | xnli | xquad | tatoeba | avg | no retr. | no en | gap |"
    assert lines[3] == "|---|" + "---:|" * 7
    assert lines[4].startswith("| mnli | 81.0±1.4 +10.0 | 61.0±1.4 +10.0 | 50.0±0.0 +10.0 | 64.0±0.9 +10.0 |")
    assert lines[6] == "| qqp |" + " – |" * 7


TUNED = Node("train", {"training": {"selection": "last"}}, {}, {"arm": "none", "task": "xnli"})
PREDICTED = Node("predict", {"task": "xnli"}, {"model": TUNED.key})
SCORED = Node("score", {"task": "xnli"}, {"predictions": PREDICTED.key}, {"task": "xnli"})
COMMON = {"language": "de", "count": 9, "layer": None, "pooling": None, "selection": None, "status": "ok"}
SCORES = [
    COMMON | {"metric": "accuracy", "value": 50.0, "main": True},
    COMMON | {"metric": "other", "value": 1.0, "main": False},
    COMMON | {"metric": "accuracy", "value": 70.0, "main": True, "layer": 1, "pooling": "mean", "selection": "curve"},
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    cell = {"model": "m", "arm": "none", "target": "xnli", "split": "test", "seed": 1, "key": SCORED.key}
    nodes = [n.as_json() for n in (TUNED, PREDICTED, SCORED)]
    made.save_study("s", {"study": STUDY, "nodes": nodes, "cells": [cell]})
    return made


def test_a_place_that_has_no_score_says_why(store: Store) -> None:
    (waiting,) = result_rows(store)
    assert tuple(waiting) == FIELDS
    assert (waiting["status"], waiting["metric"], waiting["value"], waiting["key"]) == (
        "waiting",
        None,
        None,
        SCORED.key,
    )
    store.fail(TUNED, ValueError("no"))
    assert [r["status"] for r in result_rows(store, "s")] == ["blocked"]
    store.fail(SCORED, ValueError("no"))
    assert [r["status"] for r in result_rows(store, "s")] == ["failed"]
    assert study_results(store, "s").main == []


def test_scores_become_rows_with_the_checkpoints_selection(store: Store) -> None:
    out = store.begin(SCORED)
    (out / "scores.json").write_text(json.dumps(SCORES))
    store.commit(SCORED, out, {})
    rows = result_rows(store, "s")
    assert [tuple(r) for r in rows] == [FIELDS] * 3
    assert [r["selection"] for r in rows] == ["last", "last", "curve"]
    assert {(r["unit"], r["source"], r["variant"], r["key"]) for r in rows} == {("points", "en", None, SCORED.key)}
    assert [r["value"] for r in study_results(store, "s").main] == [50.0]


def test_a_study_that_is_not_there(store: Store) -> None:
    with pytest.raises(MissingNameError, match="unknown study 't'"):
        result_rows(store, "t")
    with pytest.raises(MissingNameError, match="unknown study 't'"):
        study_results(store, "t")


def test_damaged_scores_name_their_node(store: Store) -> None:
    out = store.begin(SCORED)
    (out / "scores.json").write_text(json.dumps(SCORES))
    store.commit(SCORED, out, {})
    (store.path(SCORED.key) / "scores.json").write_text("[{")
    with pytest.raises(StoreError, match=rf"node {SCORED.key[:12]} is damaged: scores\.json"):
        result_rows(Store(store.root), "s")


def test_tables_by_language_pair_seeds_and_leave_retrieval_out() -> None:
    languages = ("qab", "en", "qaa")
    study = {
        "arms": {"none": {"intermediate": None}, "nli": {"intermediate": "mnli"}},
        "targets": ["xnli", "tatoeba"],
        "seeds": [1, 2],
        "source": "en",
        "own_languages": {"qab": {"name": "Far", "distance": 2}, "qaa": {"name": "Near", "distance": 1}},
    }

    def row(arm: str, target: str, language: str, seed: int, value: float, key: str) -> dict[str, Any]:
        names = {"model": "m", "split": "test", "metric": "accuracy", "arm": arm, "target": target}
        return {**names, "language": language, "seed": seed, "value": value, "key": key, "status": "ok"}

    rows = [
        row("none", "xnli", language, seed, 40 + 30 * (seed - 1), f"n{seed}")
        for language in languages
        for seed in (1, 2)
    ]
    rows += [row("nli", "xnli", language, 1, 42, "a1") for language in languages]
    rows += [row("none", "tatoeba", "qaa", seed, 90, "shared") for seed in (1, 2)]
    guesses = {("xnli", "test"): dict.fromkeys(languages, 33.0)}
    declared = {"xnli": {"group": "classification"}, "tatoeba": {"group": "retrieval"}}
    baseline, arms = language_tables(rows, study, "m", "test", declared, guesses)
    assert [name for name, _ in baseline.rows] == ["en English", "qaa Near (1)", "qab Far (2)", "chance"]
    near = baseline.rows[1][1]
    assert (near[0].value, near[1].value, near[1].spread) == (55, 90, None)  # one run copied has no spread
    assert [e.text() for e in arms.rows[1][1]] == ["55.0±21.2", "42.0 +2.0 1/2 seeds"]  # over the seed both have
    assert "xnli." in arms.notes[0] and "tatoeba" not in arms.notes[0]
