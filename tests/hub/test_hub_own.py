"""A study's own languages and the texts its models are made from: the hub has none, and no other rows stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_hub import SmallHub
from test_hub_declared import QUESTION

from xstilts.errors import DataError
from xstilts.graph.disk import digest_file
from xstilts.hub import fetch
from xstilts.hub.needs import needs, texts
from xstilts.journey import read_study
from xstilts.study import Study, parse_study
from xstilts.study_files import StudyFiles
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> SmallHub:
    made = SmallHub()
    monkeypatch.setattr(fetch, "Hub", lambda say: made)
    return made


def study(**changes: Any) -> Study:
    raw = {"name": "own", "models": {"m": {"path": "x"}}, "arms": {"none": {}}, "targets": ["xnli"], "splits": ["test"]}
    return parse_study(
        {**raw, "data": {"drop_overlap": False}, "training": {"target": {"selection": "last"}}, **changes}
    )


def touch(data: Path, task: str, split: str, language: str) -> None:
    """The files of one need, empty."""
    for name in DataFolder(data).missing(load(task), split, language)[0].split(" + "):
        path = data / name.replace("[2-9]", "2").replace("[01]", "0").replace("*", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(QUESTION if path.suffix == ".json" else "a\tb\t1\n")


def make_texts(data: Path, wanted: Study) -> None:
    for text in texts(wanted):
        for language in text.languages:
            path = data / text.pattern.replace("{language}", language)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def refused(done: fetch.Fetched) -> dict[tuple[str, str], list[str]]:
    return {(r["task"], r["split"]): r["languages"] for r in done.refused}


def test_nothing_of_the_pocket_study_is_fetched(tmp_path: Path, hub: SmallHub) -> None:
    data = tmp_path / "pocket"
    pocket = read_study(Path("pocket"))
    done = fetch.fetch(pocket, data, print)
    told = refused(done)
    assert not done.complete
    assert told["xnli", "train"] == ["en"]
    assert told["xnli", "test"] == list(pocket.own_languages)
    assert told["models.pocket.pretrain", "text"] == list(pocket.own_languages)
    assert told["models.pocket.pretrain", "bitext"] == list(pocket.own_languages)
    assert all(r["get"].endswith(f"xstilts data pocket {data}") for r in done.refused)
    assert hub.asked == []
    assert not data.exists(), "the first run makes the world where there is no folder"


def test_a_world_of_its_own_is_complete_as_it_is(tmp_path: Path, hub: SmallHub) -> None:
    pocket = read_study(Path("pocket"))
    for need in needs(pocket):
        if need.own and (need.language in load(need.task).languages or need.task == "xnli"):
            touch(tmp_path, need.task, need.split, need.language)
    make_texts(tmp_path, pocket)
    (tmp_path / "text/en-en.tsv").unlink()  # translations are used for the languages that have some
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    done = fetch.fetch(pocket, tmp_path, print)
    assert (done.refused, done.passed_over, done.files, hub.asked) == ([], [], [], [])
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    (tmp_path / "text/qab.txt").unlink()
    assert refused(fetch.fetch(pocket, tmp_path, print)) == {("models.pocket.pretrain", "text"): ["qab"]}


def test_an_own_language_counts_for_the_targets_that_have_rows_of_it(tmp_path: Path, hub: SmallHub) -> None:
    for language in ("en", "qaa"):
        touch(tmp_path, "xnli", "test", language)
    touch(tmp_path, "xnli", "train", "en")
    touch(tmp_path, "pawsx", "train", "en")
    touch(tmp_path, "pawsx", "test", "en")
    own = study(targets=["xnli", "pawsx"], languages=["en", "qaa"], own_languages={"qaa": {"name": "near"}})
    done = fetch.fetch(own, tmp_path, print)
    assert (done.refused, done.passed_over, done.there) == ([], [], 5)
    (tmp_path / "xnli/test-qaa.tsv").unlink()
    assert refused(fetch.fetch(own, tmp_path, print)) == {("pawsx", "test"): ["qaa"], ("xnli", "test"): ["qaa"]}


def test_a_redeclared_language_is_never_the_hubs(tmp_path: Path, hub: SmallHub) -> None:
    own = study(languages=["en", "de"], own_languages={"de": {"name": "constructed"}})
    done = fetch.fetch(own, tmp_path, print)
    assert refused(done) == {("xnli", "test"): ["de"]}
    assert {f["path"] for f in done.files} == {"multinli_1.0/multinli_1.0_train.jsonl", "xnli/test-en.tsv"}


def test_bitexts_are_the_hubs_only_where_english_is_english(tmp_path: Path, hub: SmallHub) -> None:
    own = study(targets=["tatoeba"], languages=["de"], own_languages={"en": {"name": "constructed"}})
    assert refused(fetch.fetch(own, tmp_path, print)) == {("tatoeba", "test"): ["de"]}
    assert hub.asked == []


def test_a_data_folder_that_is_a_file(tmp_path: Path, hub: SmallHub) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DataError, match="the data folder is a file"):
        fetch.fetch(study(), tmp_path / "data", print)


def test_what_is_missing_names_the_command_that_gets_it(tmp_path: Path) -> None:
    own = study(languages=["en", "de"], own_languages={"de": {"name": "constructed"}})
    files = StudyFiles(own, DataFolder(tmp_path), digest_file)
    with pytest.raises(DataError) as caught:
        files.languages("xnli", "test")
    assert f"xstilts data fetch STUDY --data {tmp_path}" in caught.value.hint
    touch(tmp_path, "xnli", "test", "en")
    with pytest.raises(DataError) as caught:
        StudyFiles(own, DataFolder(tmp_path), digest_file).languages("xnli", "test")
    assert f"xstilts data pocket {tmp_path}" in caught.value.hint
    assert "data fetch" not in caught.value.hint
