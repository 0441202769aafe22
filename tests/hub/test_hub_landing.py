"""How files land in the data folder: nobody's work is overwritten, nothing is lost, a kill at any point ends well."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_hub import BITEXT, FILE, LABELS, MNLI, SmallHub, bring

from tiny_world import environment
from xstilts.errors import DataError
from xstilts.graph.disk import digest_file
from xstilts.hub import landing
from xstilts.hub.declared import Copy
from xstilts.hub.download import Hub
from xstilts.hub.fetch import summary
from xstilts.hub.ledger import Ledger, load_ledger, save_ledger
from xstilts.hub.needs import Need
from xstilts.hub.writing import Row
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder

MINE = '{"gold_label": "neutral", "sentence1": "mine", "sentence2": "too"}\n'


@pytest.mark.parametrize("what", ["first", "update"])
def test_killed_between_any_two_changes(tmp_path: Path, what: str) -> None:
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), what],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=True,
    )
    places = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(places) > 20
    assert any("os.rename" in p["last"] and "tatoeba.deu" in p["last"] for p in places), "between the two renames, too"
    for place in places:
        before, after = place["before"], place["after"]
        assert len(set(before["text"].values())) < 2, f"sides of two commits after {place['last']}"
        for side in (before, after):
            assert {name: [commit] for name, commit in side["text"].items()} == side["ledger"], place["last"]
        assert len(after["text"]) == 2, place["last"]
        assert len(set(after["text"].values())) == 1, place["last"]
        assert (after["hidden"], after["coming"]) == ([".hub.lock"], []), place["last"]
        assert after["text"] == before["text"] or before["coming"] or not before["text"], place["last"]


def test_two_fetches_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(data: Path) -> Ledger:
        found = load_ledger(data)
        time.sleep(0.002)
        return found

    monkeypatch.setattr(landing, "load_ledger", slowly)

    def work(name: str) -> None:
        for k in range(20):
            landing.note(tmp_path, models={f"{name}{k}@main": "a" * 40})

    threads = [threading.Thread(target=work, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_ledger(tmp_path).models) == 40


def test_an_update_leaves_alone_what_was_changed(tmp_path: Path) -> None:
    assert len(bring(tmp_path, SmallHub("a"), MNLI).files) == 1
    (tmp_path / FILE).write_text(MINE)
    for update in (True, False):
        done = bring(tmp_path, SmallHub("b"), MNLI, update=update)
        assert (done.files, done.changed, done.there) == ([], [FILE], 1)
        assert f"left alone: {FILE} came from the hub once, and was changed since" in summary(done)
    assert (tmp_path / FILE).read_text() == MINE
    assert load_ledger(tmp_path).used({digest_file(tmp_path / FILE)}) == []
    (tmp_path / FILE).unlink()
    assert [f["path"] for f in bring(tmp_path, SmallHub("b"), MNLI).files] == [FILE]


def test_a_bitext_with_one_changed_side_is_left_whole(tmp_path: Path) -> None:
    bring(tmp_path, SmallHub("a"), BITEXT)
    (tmp_path / "tatoeba/tatoeba.deu-eng.eng").write_text("mine\n" * 6)
    done = bring(tmp_path, SmallHub("b"), BITEXT, update=True)
    assert (done.files, done.changed) == ([], ["tatoeba/tatoeba.deu-eng.eng"])
    assert " of a" in (tmp_path / "tatoeba/tatoeba.deu-eng.deu").read_text()


def test_a_compressed_file_is_there(tmp_path: Path) -> None:
    own = tmp_path / f"{FILE}.gz"
    own.parent.mkdir()
    with gzip.open(own, "wt") as out:
        out.write("".join(json.dumps({**json.loads(MINE), "gold_label": label}) + "\n" for label in LABELS))
    done = bring(tmp_path, SmallHub(), [Need("anli_plus", "train", "en")])
    assert FILE not in {f["path"] for f in done.files}
    assert len(done.files) == 4
    assert DataFolder(tmp_path).files(load("mnli"), "train", "en") == (own,)


def test_a_pin_put_back_in_the_ledger_brings_those_rows(tmp_path: Path) -> None:
    bring(tmp_path, SmallHub("b"), MNLI)
    ledger = load_ledger(tmp_path)
    save_ledger(tmp_path, ledger.with_changes(datasets=dict.fromkeys(ledger.datasets, "a" * 40)))
    done = bring(tmp_path, hub := SmallHub("c"), MNLI)
    assert [f["revision"] for f in done.files] == ["a" * 40]
    assert "nyu-mll/multi_nli" not in hub.asked, "the branch is not looked up"
    assert " of a" in (tmp_path / FILE).read_text()


def test_what_somebody_writes_during_a_fetch_is_left_alone(tmp_path: Path) -> None:
    class Slow(SmallHub):
        def rows(self, copy: Copy, revision: str) -> Iterator[Row]:
            (tmp_path / FILE).parent.mkdir()
            (tmp_path / FILE).write_text(MINE)
            return super().rows(copy, revision)

    with pytest.raises(DataError, match="written by somebody else"):
        bring(tmp_path, Slow(), MNLI)
    assert (tmp_path / FILE).read_text() == MINE
    assert load_ledger(tmp_path) == Ledger()
    assert bring(tmp_path, SmallHub(), MNLI).there == 1


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_fetch_leaves_no_folder_behind(tmp_path: Path, there: bool) -> None:
    class Failing(SmallHub):
        def rows(self, copy: Copy, revision: str) -> Iterator[Row]:
            yield next(super().rows(copy, revision))
            raise DataError("it broke off")

    data = tmp_path / "data"
    if there:
        data.mkdir()
    with pytest.raises(DataError, match="it broke off"):
        bring(data, Failing(), MNLI)
    assert data.exists() == there
    assert [p.name for p in tmp_path.rglob("*") if p.name != ".hub.lock"] == ["data"] * there


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("panx", {"tokens": None, "ner_tags": None}),
        ("squad_v1", {"id": 1, "context": "c", "question": "q", "answers": {"text": ["c"], "answer_start": [None]}}),
        ("squad_v1", {"id": 1, "context": "c", "question": "q", "answers": ["c"]}),
        ("commonsense_qa", {"question": "q", "choices": {"letters": ["A"]}, "answerKey": "A"}),
    ],
)
def test_rows_of_another_form_are_a_clear_error(tmp_path: Path, task: str, row: Row) -> None:
    class Odd(SmallHub):
        def rows(self, copy: Copy, revision: str) -> Iterator[Row]:
            yield row

    with pytest.raises(DataError, match="its rows are not of the form that is declared") as caught:
        bring(tmp_path / "data", Odd(), [Need(task, "train", "en")])
    assert caught.value.where.endswith(" at aaaaaaaaaaaa")
    assert not (tmp_path / "data").exists()


def test_folders_of_dead_fetches_go_and_those_in_use_stay(tmp_path: Path) -> None:
    dead = tmp_path / ".fetching-dead"
    dead.mkdir()
    (dead / ".owner").touch()
    (tmp_path / ".fetching-unborn").mkdir()
    (tmp_path / ".hub.json.7.1.aside").touch()
    with landing.scratch(tmp_path) as used:
        (used / "half.tsv").touch()
        landing.tidy(tmp_path)
        assert {p.name for p in tmp_path.iterdir()} == {used.name, ".hub.lock"}
        assert (used / "half.tsv").exists()
    assert {p.name for p in tmp_path.iterdir()} == {".hub.lock"}


def test_without_the_library_the_hint_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="'datasets' cannot be imported") as caught:
        bring(tmp_path / "data", Hub(lambda text: None), MNLI)
    assert caught.value.hint == "pip install 'xstilts[hub]'"
    assert not (tmp_path / "data").exists()
