"""A submission is put together whole, what it lacks is said with the reason, and our own scorer reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from made_store import made_store
from tiny_world import nine_targets, tiny_data
from xstilts import tasks
from xstilts.errors import MissingNameError, PredictionError, StoreError, StudyError
from xstilts.exporting.xtreme_folder import export_xtreme
from xstilts.graph.store import Store
from xstilts.submission import score_submission
from xstilts.submission_files import check_alone, file_of

ALL = sum(len(task.languages) for task in tasks.targets())


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Nine targets in all languages, two arms, two seeds."""
    home = tmp_path_factory.mktemp("nine")
    yield made_store(home, name="nine", targets=nine_targets(), seeds=[1, 2])
    shutil.rmtree(home)


def test_a_complete_study_gives_a_submission_that_can_be_scored(nine: Store, tmp_path: Path) -> None:
    found = export_xtreme(nine, "nine", tmp_path / "sub", arm="mnli", seed=2)
    assert found.lacking == () and (found.model, found.arm, found.seed) == ("tiny", "mnli", 2)
    assert sum(found.files.values()) == ALL == sum(p.is_file() for p in (tmp_path / "sub").rglob("*"))
    assert [p.name for p in sorted((tmp_path / "sub").iterdir())] == sorted(nine_targets())
    assert any(note.startswith("xnli de: 24 rows answered; published are 5,010") for note in found.notes)
    assert not any(note.startswith("bucc2018") for note in found.notes)
    gold = tmp_path / "gold"
    shutil.copytree(tiny_data() / "labels", gold)
    for task in ("udpos", "panx"):  # its sentences are of other lengths than the made-up ones
        for path in (tmp_path / "sub" / task).iterdir():
            shutil.copy(gold / task / path.name, path)
    assert score_submission(tmp_path / "sub", gold).overall is not None


def test_every_reason_is_said(tmp_path: Path) -> None:
    made_store(
        tmp_path, name="some", targets=["xnli", "xquad", "tatoeba"], languages=["de", "en"], without=("tatoeba",)
    )
    store = Store(tmp_path / "store")
    key = next(c["key"] for c in store.studies()["some"]["cells"] if (c["arm"], c["target"]) == ("mnli", "xquad"))
    removed = store.path(key) / "submission" / "test-de.json"
    files = json.loads((store.path(key) / "files.json").read_text())
    del files["submission/test-de.json"]
    (store.path(key) / "files.json").write_text(json.dumps(files))
    removed.unlink()
    with pytest.raises(PredictionError, match=rf"{ALL - 3} of {ALL} files are missing") as refused:
        export_xtreme(store, "some", tmp_path / "sub", arm="mnli")
    text = str(refused.value)
    assert "pawsx (all 7): not a target of this study" in text
    assert "xnli (ar, bg, el, es, fr, hi, ru, sw, th, tr, ur, vi, zh): not one of the study's languages" in text
    assert "tatoeba (all 36): not run yet (waiting)" in text
    assert "xquad (de): its node has no submission file" in text and "--partial" in text
    assert not (tmp_path / "sub").exists()
    found = export_xtreme(store, "some", tmp_path / "sub", arm="mnli", partial=True)
    assert found.files == {"xnli": 2, "xquad": 1} and len(found.lacking) == ALL - 3
    assert [p.relative_to(tmp_path / "sub").as_posix() for p in sorted((tmp_path / "sub").rglob("*.*"))] == [
        "xnli/test-de.tsv",
        "xnli/test-en.tsv",
        "xquad/test-en.json",
    ]


def test_limited_rows_and_own_languages_are_no_submission(tmp_path: Path) -> None:
    store = made_store(tmp_path / "limited", name="limited", limits={"evaluation_rows": 8})
    with pytest.raises(PredictionError, match="limited to 8 rows a language") as refused:
        export_xtreme(store, "limited", tmp_path / "sub", arm="none", partial=True)
    assert "not one file" in str(refused.value)
    own = {"en": {"name": "Another English"}}
    store = made_store(tmp_path / "own", name="own", languages=["en", "de"], own_languages=own)
    found = export_xtreme(store, "own", tmp_path / "sub", arm="none", partial=True)
    assert found.files == {"xnli": 1} and not (tmp_path / "sub/xnli/test-en.tsv").exists()
    assert ("en", "this code is a language of the study's own, not XTREME's") in {
        (each.language, each.reason) for each in found.lacking
    }


def test_bad_names_and_places_are_refused(nine: Store, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="2 arms, and a submission is of one"):
        export_xtreme(nine, "nine", tmp_path / "sub", seed=1)
    with pytest.raises(MissingNameError, match="'mnl'"):
        export_xtreme(nine, "nine", tmp_path / "sub", arm="mnl", seed=1)
    with pytest.raises(MissingNameError, match="unknown seed '7'"):
        export_xtreme(nine, "nine", tmp_path / "sub", arm="mnli", seed=7)
    with pytest.raises(MissingNameError, match="unknown study"):
        export_xtreme(nine, "nein", tmp_path / "sub")
    (tmp_path / "sub").mkdir()
    with pytest.raises(StoreError, match="there already"):
        export_xtreme(nine, "nine", tmp_path / "sub", arm="mnli", seed=1)


def test_a_damaged_file_is_not_handed_on(tmp_path: Path) -> None:
    store = made_store(tmp_path, name="bad", languages=["de", "en"])
    key = next(c["key"] for c in store.studies()["bad"]["cells"] if c["arm"] == "mnli" and c["split"] == "test")
    (store.path(key) / "submission" / "test-de.tsv").write_text("neutral\n")
    with pytest.raises(StoreError, match="damaged"):  # the store that made the node would not read it again
        export_xtreme(Store(store.root), "bad", tmp_path / "sub", arm="mnli", partial=True)
    assert not (tmp_path / "sub").exists() and not list(tmp_path.glob(".*aside*"))


@pytest.mark.parametrize(
    ("task", "text", "problem"),
    [
        ("xnli", "neutral\nmaybe\n", "'maybe' is no label of xnli"),
        ("xnli", "", "answers no row"),
        ("udpos", "NOUN\tdog\n\n", "not one tag"),
        ("xquad", '{"q1": null}', "not a text"),
        ("tatoeba", "3\nx\n", "no whole number"),
        ("bucc2018", "de-1 en-2\n", "no pair"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, task: str, text: str, problem: str) -> None:
    path = file_of(tmp_path, tasks.load(task), "de")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(PredictionError, match=problem):
        check_alone(path, tasks.load(task))


def test_bucc_without_a_pair_has_a_form(tmp_path: Path) -> None:
    (tmp_path / "test-de.tsv").write_text("")
    assert check_alone(tmp_path / "test-de.tsv", tasks.load("bucc2018")) == 0
