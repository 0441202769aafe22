"""Translated rows are read again as rows of the task, nothing is translated twice, and what is dropped is counted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_world import CLI, command, environment, tiny_data
from xstilts.data.translated import origin, record_of
from xstilts.errors import DataError, MissingNameError, TranslationError
from xstilts.graph.disk import digest_file
from xstilts.task_types import Answer, PairExample, SpanExample
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.translation.engine import Command, Translation
from xstilts.translation.job import Job, ledger_of, translate
from xstilts.translation.texts import Rebuilding, untranslated_words

TOY = Path(__file__).parent / "toy_engine.py"


class Backwards:
    """Every word backwards; notes what it is given, and stops before its ``stop``-th call."""

    name, version, batch = "backwards", "1", 10

    def __init__(self, stop: int | None = None, settings: dict[str, Any] | None = None) -> None:
        self.seen: list[list[str]] = []
        self.stop, self.settings = stop, settings or {}

    def translate(self, texts: Sequence[str]) -> list[Translation]:
        if len(self.seen) == self.stop:
            raise KeyboardInterrupt
        self.seen.append(list(texts))
        return [Translation(" ".join(word[::-1] for word in text.split())) for text in texts]


def quiet(done: int, total: int) -> None:
    """No progress is shown."""


def job(out: Path, task: str = "mnli", **more: Any) -> Job:
    # Random words read backwards may be words of the original: keep them all, unless a test says otherwise.
    return Job(task, tiny_data(), out, "en", "es", **{"most_untranslated": 1.0, **more})


def read(root: Path, task: str, language: str, split: str = "train") -> list[Any]:
    return read_examples(load(task), DataFolder(root).files(load(task), split, language), language)


def backwards(text: str) -> str:
    return " ".join(word[::-1] for word in text.split())


@pytest.mark.parametrize("task", ["mnli", "qqp", "xnli", "pawsx"])
def test_pairs_are_read_again(tmp_path: Path, task: str) -> None:
    record = translate(job(tmp_path, task), Backwards(), quiet)
    before, after = read(tiny_data(), task, "en"), read(tmp_path, task, "es")
    assert [(e.first, e.second, e.label) for e in after] == [
        (backwards(e.first), backwards(e.second), e.label) for e in before
    ]
    assert record["rows"] == {"read": len(before), "written": len(before), "dropped": {}}
    assert DataFolder(tmp_path).files(load(task), "train", "de") == ()


@pytest.mark.parametrize("task", ["hellaswag", "cosmosqa", "commonsense_qa"])
def test_choices_are_read_again(tmp_path: Path, task: str) -> None:
    translate(job(tmp_path, task), Backwards(), quiet)
    before, after = read(tiny_data(), task, "en"), read(tmp_path, task, "es")
    assert [e.label for e in after] == [e.label for e in before]
    assert [e.prompt.strip() for e in after] == [backwards(e.prompt) for e in before]
    assert [[c.strip() for c in e.choices] for e in after] == [[backwards(c) for c in e.choices] for e in before]


@pytest.mark.parametrize("task", ["squad_v1", "squad_v2", "tydiqa"])
def test_answers_stand_in_their_translated_contexts(tmp_path: Path, task: str) -> None:
    record = translate(job(tmp_path, task), Backwards(), quiet)
    before, after = {e.id: e for e in read(tiny_data(), task, "en")}, read(tmp_path, task, "es")
    assert len(after) == len(before)
    for found in after:
        asked = before[found.id]
        assert (found.question, found.context) == (backwards(asked.question), backwards(asked.context))
        assert [a.text for a in found.answers] == [backwards(a.text) for a in asked.answers]
        assert [a.start for a in found.answers] == [a.start for a in asked.answers]
    assert set(record["spans"]["answers"]) <= {"as translated", "as in the source", "the nearest of several"}


def test_the_dev_rows_of_an_intermediate_task(tmp_path: Path) -> None:
    translate(job(tmp_path, split="dev"), Backwards(), quiet)
    assert len(read(tmp_path, "mnli", "es", "dev")) == len(read(tiny_data(), "mnli", "en", "dev"))


@pytest.mark.parametrize(
    ("task", "split", "error", "says"),
    [
        ("xquad", "train", TranslationError, "learned from the rows of squad_v1"),
        ("xnli", "dev", TranslationError, "are scored"),
        ("udpos", "train", TranslationError, "cannot be translated"),
        ("ccg", "train", TranslationError, "cannot be translated"),
        ("tatoeba", "train", MissingNameError, "unknown split"),
        ("anli_plus", "train", TranslationError, "several files"),
    ],
)
def test_what_cannot_be_translated_is_refused(
    tmp_path: Path, task: str, split: str, error: type[Exception], says: str
) -> None:
    engine = Backwards()
    with pytest.raises(error, match=says):
        translate(job(tmp_path, task, split=split), engine, quiet)
    assert engine.seen == []


def test_rows_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnli has no en train files"):
        translate(replace(job(tmp_path), data=tmp_path), Backwards(), quiet)


def test_a_killed_translation_goes_on_where_it_was(tmp_path: Path) -> None:
    killed = Backwards(stop=2)
    with pytest.raises(KeyboardInterrupt):
        translate(job(tmp_path / "killed"), killed, quiet)
    place = job(tmp_path / "killed").place
    assert not place.exists()
    assert not record_of(place).exists()
    told: list[tuple[int, int]] = []
    again, whole = Backwards(), Backwards()
    record = translate(job(tmp_path / "killed"), again, lambda *at: told.append(at))
    assert record == translate(job(tmp_path / "whole"), whole, quiet)
    assert killed.seen + again.seen == whole.seen
    assert told[0] == (20, record["texts"])
    assert told[-1] == (record["texts"], record["texts"])
    assert place.read_bytes() == job(tmp_path / "whole").place.read_bytes()
    assert sorted(p.name for p in place.parent.iterdir()) == [place.name, record_of(place).name]


def test_no_text_is_translated_twice(tmp_path: Path) -> None:
    engine = Backwards()
    translate(job(tmp_path, "squad_v1"), engine, quiet)
    texts = [text for batch in engine.seen for text in batch]
    assert len(texts) == len(set(texts))
    questions = read(tiny_data(), "squad_v1", "en")
    assert set(texts) == {t for e in questions for t in (e.question, e.context, *(a.text for a in e.answers))}


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = translate(job(tmp_path), Backwards(), quiet)
    engine = Backwards()
    assert translate(job(tmp_path), engine, quiet) == first
    assert engine.seen == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    translate(job(tmp_path), Backwards(), quiet)
    content = job(tmp_path).place.read_bytes()
    with pytest.raises(TranslationError, match="with another engine"):
        translate(job(tmp_path), Backwards(settings={"beam": 4}), quiet)
    with pytest.raises(TranslationError, match="with another most_untranslated"):
        translate(job(tmp_path, most_untranslated=0.1), Backwards(), quiet)
    assert job(tmp_path).place.read_bytes() == content
    job(tmp_path).place.write_bytes(content + b"x\ta\tb\tneutral\n")
    with pytest.raises(TranslationError, match="changed after"):
        translate(job(tmp_path), Backwards(), quiet)
    record_of(job(tmp_path).place).unlink()
    with pytest.raises(TranslationError, match="no record"):
        translate(job(tmp_path), Backwards(), quiet)


def test_the_record_says_where_rows_come_from(tmp_path: Path) -> None:
    record = translate(job(tmp_path, rows=5), Backwards(settings={"beam": 1}), quiet)
    place = job(tmp_path).place
    assert json.loads(record_of(place).read_text())["file"]["sha256"] == digest_file(place)
    assert record["engine"] == {"name": "backwards", "version": "1", "beam": 1}
    (source,) = DataFolder(tiny_data()).files(load("mnli"), "train", "en")
    assert record["sources"] == [{"name": source.name, "sha256": digest_file(source)}]
    assert record["rows"]["read"] == 5
    assert origin(place) == "machine-translated from en by backwards 1 (5 of 5 rows kept)"


def test_rows_of_a_test_set_are_not_translated(tmp_path: Path) -> None:
    """In another language nobody can tell any more that they are test rows."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data(), data)
    tested = read(data, "mnli", "en")[3]
    with (data / "xnli/test-en.tsv").open("a", encoding="utf-8") as file:
        file.write(f"{tested.first}\t{tested.second}\n")
    record = translate(replace(job(tmp_path / "out"), data=data), Backwards(), quiet)
    assert record["rows"]["dropped"] == {"in a test set": 1}
    assert backwards(tested.first) not in {row.first for row in read(tmp_path / "out", "mnli", "es")}


def test_a_translation_killed_at_its_end_leaves_nothing_behind(tmp_path: Path) -> None:
    translate(job(tmp_path), Backwards(), quiet)
    left = ledger_of(job(tmp_path).place)
    left.write_text("{}\n")  # killed between the rename and this file's end
    translate(job(tmp_path), Backwards(), quiet)
    assert not left.exists()


def test_words_without_spaces_are_counted_by_letters() -> None:
    translation = Translation("他有 PC 和 TV")
    assert untranslated_words("He has a PC and a TV", translation) == 2
    translated = {"He has a PC and a TV": translation, "b": Translation("也")}
    example = PairExample("1", "He has a PC and a TV", "b", "neutral")
    assert Rebuilding(translated, "zh", 0.5).all([example])


def pair(first: str, label: str | None = "neutral") -> PairExample:
    return PairExample("1", first, "b", label)


@pytest.mark.parametrize(
    ("example", "translation", "reason"),
    [
        (pair("x", None), Translation("y"), "no gold"),
        (pair("  "), Translation("y"), "empty"),
        (pair("x"), Translation(""), "empty"),
        (pair("x"), Translation("", fits=False), "too long"),
        (
            pair("a x y"),
            Translation("a x z"),
            "untranslated",
        ),  # 2 of 4 words
        (pair("a x y"), Translation("z z z", unknown=4), "untranslated"),
        (SpanExample("1", "b", "a x", (Answer("x", 2),)), Translation("p q"), "span lost"),
    ],
)
def test_rows_are_dropped_for_a_reason(example: Any, translation: Translation, reason: str) -> None:
    texts = ("x", "a x y", "a x")
    translated = {**dict.fromkeys(texts, translation), "b": Translation("c")}
    if isinstance(example, SpanExample):
        translated["x"] = Translation("r")
    rebuilding = Rebuilding(translated, "es", 0.4)
    assert rebuilding.all([example]) == []
    assert rebuilding.dropped == {reason: 1}


def test_unanswerable_questions_need_no_span() -> None:
    translated = {"b": Translation("c"), "a x": Translation("p q")}
    (found,) = Rebuilding(translated, "es", 0.4).all([SpanExample("1", "b", "a x", ())])
    assert found == SpanExample("1", "c", "p q", ())


def test_a_translation_of_which_nothing_is_left_is_no_translation(tmp_path: Path) -> None:
    class Silent(Backwards):
        def translate(self, texts: Sequence[str]) -> list[Translation]:
            return [Translation("") for _ in texts]

    with pytest.raises(TranslationError, match="no row is left"):
        translate(job(tmp_path), Silent(), quiet)
    assert not job(tmp_path).place.exists()


def engine_option(*more: str) -> str:
    return " ".join([f"command:{sys.executable}", str(TOY), "{from}", "{to}", *more])


def test_the_verb(tmp_path: Path) -> None:
    common = ("translate", "mnli", "--to", "es", "--data", tiny_data(), "--out", tmp_path, "--max-untranslated", 1)
    printed = command(*common, "--engine", engine_option())
    assert "mnli train, en to es" in printed
    assert "multinli_1.0_train.txt.translation.json" in printed
    record = json.loads(command(*common, "--engine", engine_option(), "--json", "-"))
    assert record["rows"]["written"] == len(read(tmp_path, "mnli", "es"))
    assert "en to de" in command(*common[:2], "--to", "de", *common[4:], "--engine", engine_option())
    command("translate", "mnli", "--to", "es", "--data", tiny_data(), "--engine", "appertium", expect=2)
    command("translate", "panx", "--to", "es", "--data", tiny_data(), "--engine", engine_option(), expect=2)


def test_a_kill_loses_at_most_one_batch(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ["translate", "mnli", "--to", "es", "--data", str(tiny_data()), "--out", str(tmp_path / "out")]
    arguments += ["--batch", "4", "--max-untranslated", "1", "--engine", engine_option("--fault", "slow")]
    said = environment() | {"TOY_ENGINE_LOG": str(log)}
    with subprocess.Popen([*CLI, *arguments], env=said, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        end = time.monotonic() + 60
        while (not log.exists() or log.read_text().count("\n") < 12) and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    before = log.read_text().splitlines()
    assert not (tmp_path / "out" / "translated/es/multinli_1.0/multinli_1.0_train.txt").exists()
    done = subprocess.run([*CLI, *arguments], env=said, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    given = log.read_text().splitlines()
    assert len(before) < len(set(given))
    assert len(given) - len(set(given)) <= 4
    direct = translate(job(tmp_path / "direct"), Command(engine_option().partition(":")[2], "en", "es"), quiet)
    assert (tmp_path / "out/translated/es/multinli_1.0/multinli_1.0_train.txt").read_bytes() == (
        job(tmp_path / "direct").place.read_bytes()
    )
    assert len(set(given)) == direct["texts"]
