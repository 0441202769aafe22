"""Every kind of bad file gives a ``DataError`` that says where, what and why."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.bitext import read_bucc, read_tatoeba
from xstilts.data.ccgbank import read_ccgbank
from xstilts.data.choices import read_commonsense_qa, read_cosmosqa, read_hellaswag
from xstilts.data.conllu import read_conllu
from xstilts.data.pairs import read_nli, read_paraphrase
from xstilts.data.squad import read_squad
from xstilts.errors import DataError
from xstilts.tasks import load

Reader = Callable[[tuple[Path, ...], str], Iterator[Any]]
HEAD = "id,context,question,answer0,answer1,answer2,answer3,label\n"
SWAG = {"ctx_a": "p", "ctx_b": "he", "endings": list("abcd"), "label": 2}
WORD = "1\tx\t_\tNOUN\t_\t_\t0\t_\t_\t_\n"
WRONG_SPAN = {"id": "7", "question": "q", "answers": [{"text": "z", "answer_start": 0}]}


def squad_of(question: dict[str, Any]) -> dict[str, Any]:
    """A SQuAD document of one question."""
    return {"data": [{"paragraphs": [{"context": "a", "qas": [question]}]}]}


CASES: list[tuple[Reader, str, str, str, str]] = [
    (read_nli, "dev.tsv", "a\tb\tneutral\nc\td\n", ":2", "missing column"),
    (read_nli, "dev.tsv", "a\tb\tneutral\nc\td\tmaybe\n", ":2", "unknown label 'maybe'"),
    (read_nli, "dev.tsv", "a\tb\t\n", ":1", "unknown label ''"),
    (read_nli, "dev.tsv", "one\n", ":1", "missing column"),
    (read_nli, "dev.tsv", 'a\tb\tneutral\n"open\tc\tneutral\n', ":2", "broken quoting"),
    (read_nli, "x.txt", "gold_label\tsentence1\tsentence2\nneutral\ta\tb\nneutral\ta\n", ":3", "missing column"),
    (read_nli, "x.txt", "gold_label\tsentence1\nneutral\ta\n", ":1", "missing column"),
    (read_nli, "x.jsonl", '{"gold_label": "neutral", "sentence1": "a"}\n', ":1", "missing key 'sentence2'"),
    (read_nli, "x.jsonl", '{"gold_label": "neutral", "sentence1": 3, "sentence2": "a"}\n', ":1", "must be a string"),
    (read_nli, "x.jsonl", '{"gold_label": "neu', ":1", "not valid JSON"),
    (read_nli, "x.jsonl", "[1]\n", ":1", "expected a JSON object"),
    (read_paraphrase, "dev.tsv", "a\tb\t2\n", ":1", "unknown label '2'"),
    (read_paraphrase, "qqp.tsv", "id\tquestion1\tquestion2\tis_duplicate\n1\ta\tb\t1\n2\ta\n", ":3", "missing column"),
    (load("panx").read, "dev.tsv", "a\tO\nb\tB-DATE\n", ":2", "unknown tag 'B-DATE'"),
    (load("panx").read, "dev.tsv", "a\tO\n\nb\n", ":3", "missing column"),
    (load("panx").read, "test.tsv", "a\nb\tO\n", ":2", "this file has no tags"),
    (load("udpos").read, "dev.tsv", "a\tNN\n", ":1", "unknown tag 'NN'"),
    (read_conllu, "a.conllu", WORD + "2\ty\tNOUN\n", ":2", "missing column"),
    (read_conllu, "a.conllu", WORD + WORD.replace("1", "3", 1), ":2", "word id 3 where 2"),
    (read_conllu, "a.conllu", WORD.replace("NOUN", "NN"), ":1", "unknown tag 'NN'"),
    (read_conllu, "a.conllu", WORD.replace("1", "one", 1), ":1", "numbers"),
    (read_squad, "x.json", '{"data": [{"paragraphs": [{"context": "abc', ":1", "character 38 of 42"),
    (read_squad, "x.json", '{"paragraphs": []}', "", "missing key 'data'"),
    (read_squad, "x.json", json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": [WRONG_SPAN]}]}]}), "", "'7'"),
    (read_squad, "x.json", "[]", "", "expected an object with 'data', found a list"),
    (read_squad, "x.json", '{"data": null}', "", "'data' must be a list, found null"),
    (read_squad, "x.json", '{"data": [[]]}', "", "expected an object with 'paragraphs', found a list"),
    (read_squad, "x.json", '{"data": [{"paragraphs": {}}]}', "", "'paragraphs' must be a list, found an object"),
    (read_squad, "x.json", '{"data": [{"paragraphs": [{"context": "a", "qas": [7]}]}]}', "", "with 'id', found 7"),
    (
        read_squad,
        "x.json",
        json.dumps(squad_of({**WRONG_SPAN, "answers": {"text": "a"}})),
        "",
        "'answers' must be a list",
    ),
    (read_squad, "x.json", json.dumps(squad_of({**WRONG_SPAN, "answers": ["a"]})), "", "with 'text', found a text"),
    (read_hellaswag, "h.jsonl", json.dumps(SWAG | {"endings": "abcd"}), ":1", "'endings' must be a list"),
    (read_hellaswag, "h.jsonl", json.dumps(SWAG | {"endings": ["a", "b", "c", None]}), ":1", "must be strings"),
    (read_hellaswag, "h.jsonl", json.dumps(SWAG | {"label": 4}), ":1", "unknown label 4"),
    (read_hellaswag, "h.jsonl", json.dumps(SWAG | {"endings": ["a"]}), ":1", "1 choices, expected 4"),
    (read_cosmosqa, "c.csv", HEAD + '1,"x\ny",q,a,b,c,d,0\n2,x\n', ":4", "missing column"),
    (read_cosmosqa, "c.csv", HEAD.replace("answer3,", ""), ":1", "missing column 'answer3'"),
    (read_commonsense_qa, "q.jsonl", '{"answerKey": "A"}', ":1", "missing key 'question'"),
    (read_commonsense_qa, "q.jsonl", '{"question": []}', ":1", "expected an object with 'choices', found a list"),
    (read_commonsense_qa, "q.jsonl", '{"question": {"choices": null}}', ":1", "'choices' must be a list, found null"),
    (read_ccgbank, "w.auto", "ID=1\n(<L N NN NN cut", ":2", "0 of 1 leaves"),
    (read_ccgbank, "w.auto", "ID=1\n(<T S 0 2> (<L N NN NN cut N>)", ":2", "cut off"),
]


@pytest.mark.parametrize(("read", "name", "text", "line", "problem"), CASES)
def test_a_bad_row_names_its_line(tmp_path: Path, read: Reader, name: str, text: str, line: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(read((path,), "en"))
    assert caught.value.where == f"{path}{line}"
    assert problem in caught.value.what


READERS = [read_nli, read_paraphrase, load("panx").read, read_conllu, read_ccgbank, read_cosmosqa]


@pytest.mark.parametrize("read", READERS)
def test_an_empty_file_is_an_error(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "empty.tsv"
    path.touch()
    with pytest.raises(DataError, match="empty"):
        list(read((path,), "en"))


@pytest.mark.parametrize("read", [*READERS, read_squad])
def test_a_missing_file_is_an_error(tmp_path: Path, read: Reader) -> None:
    with pytest.raises(DataError, match="No such file"):
        list(read((tmp_path / "nothing.tsv",), "en"))


def test_bytes_that_are_not_utf8_are_found_by_line(tmp_path: Path) -> None:
    path = tmp_path / "dev-en.tsv"
    path.write_bytes(b"a\tO\n\xff\tO\n")
    with pytest.raises(DataError) as caught:
        list(load("panx").read((path,), "en"))
    assert caught.value.where == f"{path}:2"


def test_a_cut_off_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "dev-en.tsv.gz"
    whole = gzip.compress("\n".join(f"word{k}\tO" for k in range(9999)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged gzip"):
        list(load("panx").read((path,), "en"))


def test_sides_of_unequal_length_and_unknown_gold_ids(tmp_path: Path) -> None:
    for name, text in {"x.deu": "a\nb\n", "x.eng": "c\n", "de": "d1\ta\n", "en": "e1\tb\n", "gold": "d1\te9\n"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"2 lines in x\.deu, 1 here"):
        list(read_tatoeba((tmp_path / "x.deu", tmp_path / "x.eng"), "de"))
    with pytest.raises(DataError, match="'e9'") as caught:
        list(read_bucc((tmp_path / "de", tmp_path / "en", tmp_path / "gold"), "de"))
    assert caught.value.where.endswith("gold:1")
