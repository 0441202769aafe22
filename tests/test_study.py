"""Study files: every mistake is named with its place, defaults are the documented ones, overrides land where they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from xstilts.errors import StudyError, XstiltsError
from xstilts.journey import RECIPES
from xstilts.naming import check_names
from xstilts.study import Study, load_study, parse_study
from xstilts.tasks import load

LEAST: dict[str, Any] = {
    "name": "s",
    "models": {"m": {"path": "folder"}},
    "arms": {"none": {}, "mnli": {"intermediate": "mnli"}},
    "targets": ["xnli"],
}


def study(**changes: Any) -> Study:
    return parse_study({**LEAST, **changes})


@pytest.mark.parametrize(
    ("changes", "place", "says"),
    [
        ({"target": ["xnli"]}, "target: unknown field", "'targets'"),
        ({"models": {"m": {"pth": "x"}}}, "models.m.pth: unknown field", "'path'"),
        ({"arms": {"a": {"intermediat": "mnli"}}}, "arms.a.intermediat: unknown field", "'intermediate'"),
        ({"data": {"file": {}}}, "data.file: unknown field", "'files'"),
        ({"limits": {"evaluation_row": 3}}, "limits.evaluation_row: unknown field", "'evaluation_rows'"),
        ({"retrieval": {"pooling_": "mean"}}, "retrieval.pooling_: unknown field", "'pooling'"),
        ({"training": {"xnli": {"learning_rat": 1}}}, "training.xnli.learning_rat", "'learning_rate'"),
        ({"encoding": {"xquad": {"strid": 1}}}, "encoding.xquad.strid", "'stride'"),
        ({"models": {"m": {}}}, "models.m", "give one of 'path'"),
        ({"models": {"m": {"path": "a", "id": "b"}}}, "models.m", "not several"),
        ({"models": {}}, "models", "at least 1"),
        ({"models": {"m": {"pretrain": {"languagse": ["en"]}}}}, "models.m.pretrain.languagse", "'languages'"),
        ({"models": {"m": {"pretrain": {"training": {"epoch": 1}}}}}, "models.m.pretrain.training.epoch", "'epochs'"),
        ({"own_languages": {"xx1": {"name": "X"}}}, "own_languages.xx1", "pattern"),
        ({"own_languages": {"qaa": {"name": "X", "distanc": 1}}}, "own_languages.qaa.distanc", "'distance'"),
        ({"seeds": [1, 1]}, "seeds", "twice"),
        ({"seeds": []}, "seeds", "at least 1"),
        ({"precision": "fp16"}, "precision", "'fp32' or 'bf16'"),
        ({"splits": ["train"]}, "splits.0", "'dev' or 'test'"),
        ({"limits": {"evaluation_rows": 0}}, "limits.evaluation_rows", "greater than or equal to 1"),
        ({"retrieval": {"poolings": ["first"]}}, "retrieval", "'mean' is not among"),
        ({"name": "a/b"}, "name", "pattern"),
        ({"languages": "al"}, "languages: Input should be 'all'", "(got 'al')"),
        ({"limits": {"train_rows": 0}}, "limits.train_rows: Input", "greater than or equal to 1"),
    ],
)
def test_mistakes_are_named_with_their_place(changes: dict[str, Any], place: str, says: str) -> None:
    with pytest.raises(StudyError) as caught:
        study(**changes)
    assert place in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(StudyError, match="arms: missing"):
        parse_study({k: v for k, v in LEAST.items() if k != "arms"})


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(StudyError) as caught:
        study(seed=[1], target=["xnli"])
    assert "seed: unknown field" in str(caught.value)
    assert "target: unknown field" in str(caught.value)


def test_defaults() -> None:
    plain = study()
    assert (plain.languages, plain.splits, plain.seeds, plain.source) == ("all", ("dev", "test"), (1, 2, 3), "en")
    assert (plain.precision, plain.data.drop_overlap) == ("auto", True)
    assert (plain.limits.train_rows, plain.limits.evaluation_rows) == (None, None)
    assert plain.retrieval.poolings == ("mean", "first")
    xnli = load("xnli")
    assert plain.training_of("xnli", "target", xnli.training) == xnli.training
    assert plain.encoding_of("xnli", "target", xnli.encoding) == xnli.encoding


def test_a_tasks_own_override_wins_over_its_role() -> None:
    changed = study(
        training={"target": {"epochs": 1, "batch_size": 7}, "xnli": {"epochs": 2}, "intermediate": {"epochs": 9}},
        encoding={"target": {"max_length": 99}, "panx": {"max_length": 50}},
    )
    xnli, panx, mnli = load("xnli"), load("panx"), load("mnli")
    found = changed.training_of("xnli", "target", xnli.training)
    assert (found.epochs, found.batch_size, found.learning_rate) == (2, 7, xnli.training.learning_rate)
    assert changed.training_of("mnli", "intermediate", mnli.training).epochs == 9
    assert changed.encoding_of("xnli", "target", xnli.encoding).max_length == 99
    assert changed.encoding_of("panx", "target", panx.encoding).max_length == 50


def test_an_override_out_of_range_is_named() -> None:
    wrong = study(training={"xnli": {"epochs": -1}})
    with pytest.raises(StudyError, match=r"training\.xnli\.epochs.*greater than 0.*-1"):
        wrong.training_of("xnli", "target", load("xnli").training)


def test_the_baseline_is_the_arm_without_intermediate_training() -> None:
    assert study().baseline == "none"
    assert study(arms={"mnli": {"intermediate": "mnli"}}).baseline is None
    assert study(arms={"plain": {"intermediate": None}}).baseline == "plain"


def test_one_file_may_stand_without_a_list() -> None:
    assert study(data={"files": {"mnli.train": "a.tsv"}}).data.files == {"mnli.train": ("a.tsv",)}


def test_a_study_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        study().name = "other"  # type: ignore[misc]


def test_a_file_reads_as_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(LEAST))
    assert load_study(path) == study()


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        (b"name: s\nmodels: {m: {path: x}\narms: [\n", "s.yaml:3", "not YAML"),
        (b"- a\n- b\n", "s.yaml", "this is list"),
        (b"", "s.yaml", "this is NoneType"),
        (b"name: \xff\xfe\n", "s.yaml", "UTF-8"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, place: str, says: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert place in str(caught.value)
    assert says in str(caught.value)


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "pocket.yaml").write_text("")
    with pytest.raises(StudyError, match=r"(?s)no such study file.*'pocket\.yaml'"):
        load_study(tmp_path / "poket.yaml")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"targets": ["xnly"]}, "targets: unknown target task 'xnly'\n  did you mean 'xnli'"),
        ({"targets": ["mnli"]}, "unknown target task 'mnli'"),
        ({"arms": {"a": {"intermediate": "mnly"}}}, "arms.a.intermediate: unknown intermediate task 'mnly'"),
        ({"arms": {"a": {"intermediate": "tatoeba"}}}, "tatoeba has no training rows"),
        ({"training": {"targets": {}}}, "training: unknown task 'targets'\n  did you mean 'target'"),
        ({"encoding": {"xnly": {}}}, "encoding: unknown task 'xnly'"),
        ({"data": {"files": {"mnly.train": "x"}}}, "data.files.mnly.train: unknown task 'mnly'"),
        ({"data": {"files": {"mnli.tran": "x"}}}, "mnli has no split 'tran'"),
        ({"languages": ["de", "xx"]}, "languages: unknown language 'xx'"),
    ],
)
def test_names_are_checked_before_anything_else(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(XstiltsError) as caught:
        check_names(study(**changes))
    assert says in str(caught.value)


def test_right_names_pass() -> None:
    check_names(
        study(languages=["de", "sw"], training={"target": {}, "xnli": {}}, data={"files": {"xnli.test.de": "x"}})
    )


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_in_order_and_is_called_as_its_file(recipe: Path) -> None:
    study = load_study(recipe)
    check_names(study)
    assert study.name == recipe.stem
    assert study.title
