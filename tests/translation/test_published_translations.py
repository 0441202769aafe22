"""Published machine-translated sets are found in a data folder and read as rows of their tasks.

XNLI-MT and PAWS-X are read from real rows. XTREME's tables are tested on made-up rows in the form that TensorFlow Datasets
reads (no header, no quoting, five columns), its questions on SQuAD's JSON with answers that were lost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xstilts.checking import check_folder
from xstilts.data.pairs import damaged_rows
from xstilts.data.squad import lost_answers
from xstilts.data.translated import origin
from xstilts.errors import DataError
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples

XTREME = "xtreme_translations"


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def rows(root: Path, task: str, language: str, split: str = "train") -> list[Any]:
    return read_examples(load(task), DataFolder(root).files(load(task), split, language), language)


@pytest.mark.parametrize("task", ["mnli", "xnli"])
def test_xnli_mt(tmp_path: Path, task: str) -> None:
    path = put(
        tmp_path,
        "XNLI-MT-1.0/multinli/multinli.train.de.tsv",
        "premise\thypo\tlabel\n" + 'Er "ist\tda\tcontradictory\n',
    )
    (example,) = rows(tmp_path, task, "de")
    assert (example.first, example.second, example.label) == ('Er "ist', "da", "contradiction")
    assert DataFolder(tmp_path).languages(load(task), "train") == ("de",)
    assert origin(path) == "machine-translated from en: XNLI-MT-1.0 (Conneau et al. 2018)"
    assert origin(path.with_name("multinli.train.en.tsv")) == ""


@pytest.mark.parametrize("task", ["mnli", "xnli"])
def test_xtremes_translations_of_mnli(tmp_path: Path, task: str) -> None:
    name = f"{XTREME}/XNLI/translate-train/en-sw-translated.tsv"
    path = put(tmp_path, name, 'One "a.\tTwo.\tMoja "a.\tMbili.\tcontradictory\nA\tB\tC\tD\tneutral\n')
    first, second = rows(tmp_path, task, "sw")
    assert (first.first, first.second, first.label) == ('Moja "a.', "Mbili.", "contradiction")
    assert (second.first, second.second, second.label) == ("C", "D", "neutral")
    assert "XTREME" in origin(path)
    put(tmp_path, name, "A\tB\tC\tD\tneutral\nA\tB\tC\tneutral\n")
    with pytest.raises(DataError, match="4 columns, expected 5") as caught:
        rows(tmp_path, task, "sw")
    assert caught.value.where.endswith(":2")


def test_damaged_rows_of_xtremes_pawsx_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "a\tb\tc\td\t1\na\tb\tc\n\na\tb\tc\td\tno label\na\tb\te\tf\t0\n"
    path = put(tmp_path, f"{XTREME}/PAWSX/translate-train/en-ko-translated.tsv", text)
    found = rows(tmp_path, "pawsx", "ko")
    assert [(e.first, e.second, e.label) for e in found] == [("c", "d", "1"), ("e", "f", "0")]
    assert damaged_rows(path) == 2
    (part,) = (p for p in check_folder(tmp_path, [load("pawsx")]).parts if p.rows)
    assert (part.language, part.split, part.rows, part.dropped) == ("ko", "train", 2, 2)


def question(identity: str, text: str, start: object) -> dict[str, object]:
    return {"id": identity, "question": "?", "answers": [{"text": text, "answer_start": start}]}


@pytest.mark.parametrize(
    ("task", "split", "name"),
    [
        ("squad_v1", "train", "SQuAD/translate-train/squad.translate.train.en-hi.json"),
        ("squad_v1", "dev", "SQuAD/translate-dev/squad.translate.dev.en-hi.json"),
        ("tydiqa", "train", "TyDiQA-GoldP/translate-train/tydiqa.translate.train.en-hi.json"),
    ],
)
def test_lost_answers_of_xtremes_translations_are_left_out_and_counted(
    tmp_path: Path, task: str, split: str, name: str
) -> None:
    asked = [question("english-1", "kh", 1), question("2", "kh", -1), question("3", "kh", 99), question("4", "kh", 0)]
    asked.append({"id": "5", "question": "?", "answers": []})
    data = {"data": [{"title": "t", "paragraphs": [{"context": "akha", "qas": asked}]}]}
    path = put(tmp_path, f"{XTREME}/{name}", json.dumps(data))
    (found,) = rows(tmp_path, task, "hi", split)
    assert found.id == "english-1"
    assert lost_answers(path) == 4
    other = put(tmp_path, "squad/train-v1.1.json", json.dumps(data))
    assert lost_answers(other) == 0
    with pytest.raises(DataError, match="is not at character -1"):
        rows(tmp_path, "squad_v1", "en")


@pytest.mark.real_data
def test_real_rows(real_data: Path) -> None:
    root = real_data / "original_format_samples"
    for task in ("mnli", "xnli"):
        assert {*DataFolder(root).languages(load(task), "train")} >= {"en", "de", "fr", "sw", "zh"}
        assert len(rows(root, task, "zh")) == 4
    assert {*DataFolder(root).languages(load("pawsx"), "train")} >= {"de", "es", "fr", "ja", "zh"}
    german = rows(root, "pawsx", "de")
    assert [e.label for e in german][:2] == ["0", "1"]
    (path,) = DataFolder(root).files(load("pawsx"), "train", "de")
    assert origin(path) == "machine-translated from en: PAWS-X (Yang et al. 2019)"
