"""Which rows a node uses: the same ones everywhere, without test text, and without gold where a model predicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import DataError, GoldError
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Resources
from xstilts.rows import choose_rows, drop_overlap, open_rows, without_gold
from xstilts.task_types import ChoiceExample, PairExample, SpanExample, TaggingExample
from xstilts.tasks import load


def placed(files: dict[str, str], folder: Path) -> tuple[dict[str, list[dict[str, str]]], Resources]:
    """The entry of a spec whose file names are ``files`` (``gold`` for gold), and where they lie."""
    entry: dict[str, list[dict[str, str]]] = {"files": [], "gold": []}
    where = {}
    for name, text in files.items():
        path = folder / name
        path.write_text(text)
        where[digest_file(path)] = str(path)
        entry["gold" if name.startswith("gold") else "files"].append({"name": name, "sha256": digest_file(path)})
    return entry, Resources(where)


def test_all_rows_without_a_limit() -> None:
    assert choose_rows(range(5), None) == choose_rows(range(5), 5) == choose_rows(range(5), 9) == [0, 1, 2, 3, 4]


def test_a_limit_takes_the_same_rows_in_their_order_from_all_over_the_file() -> None:
    chosen = choose_rows(range(1000), 50)
    assert chosen == sorted(chosen)
    assert len(set(chosen)) == 50
    assert chosen[0] < 200
    assert chosen[-1] > 800
    assert choose_rows(list("a" * 1000), 50) == list("a" * 50)
    assert choose_rows([str(k) for k in range(1000)], 50) == [str(k) for k in chosen], "parallel texts stay parallel"


def test_a_file_that_lost_a_row_has_the_same_others() -> None:
    """A translated file, or one without the rows of a test set, must not give another sample."""
    rows = [PairExample(id=f"r{k}", first="a", second=None, label=None) for k in range(400)]
    whole = {row.id for row in choose_rows(rows, 100)}
    fewer = {row.id for row in choose_rows([row for row in rows if row.id != "r7"], 100)}
    assert len(whole & fewer) >= 99


def test_rows_are_read_with_the_gold_that_lies_apart(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": "a\tb\nc\td\n", "gold.tsv": "neutral\nentailment\n"}, tmp_path)
    rows = open_rows(load("xnli"), entry, "de", resources)
    assert [(r.first, r.label) for r in rows] == [("a", "neutral"), ("c", "entailment")]
    del entry["gold"]
    assert [r.label for r in open_rows(load("xnli"), entry, "de", resources)] == [None, None]


@pytest.mark.parametrize("name", ["test-de.tsv", "gold.tsv"])
def test_a_file_that_changed_since_it_was_planned_is_refused(tmp_path: Path, name: str) -> None:
    entry, resources = placed({"test-de.tsv": "a\tb\nc\td\n", "gold.tsv": "neutral\nentailment\n"}, tmp_path)
    assert len(open_rows(load("xnli"), entry, "de", resources)) == 2
    old = (tmp_path / name).read_text()
    (tmp_path / name).write_text(old.replace("a\tb", "x\ty").replace("neutral", "entailment"))
    with pytest.raises(DataError, match=rf"(?s){name}: changed since it was planned.*run the same command again"):
        open_rows(load("xnli"), entry, "de", resources)
    (tmp_path / name).write_text(old)
    assert len(open_rows(load("xnli"), entry, "de", resources)) == 2


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": "a\tb\n"}, tmp_path)
    task = load("xnli")

    def read(paths: tuple[Path, ...], language: str) -> Any:
        paths[0].write_text("x\ty\n")
        return task.read(paths, language)

    with pytest.raises(DataError, match="changed since it was planned"):
        open_rows(replace(task, read=read), entry, "de", resources)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": "a\tb\n"}, tmp_path)
    (tmp_path / "test-de.tsv").unlink()
    with pytest.raises(DataError, match=r"test-de\.tsv: no such file"):
        open_rows(load("xnli"), entry, "de", resources)


def test_gold_with_another_number_of_lines_names_both(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": "a\tb\nc\td\n", "gold.tsv": "neutral\n"}, tmp_path)
    with pytest.raises(GoldError, match=r"gold\.tsv: 1 gold rows here but 2 rows in .*test-de\.tsv"):
        open_rows(load("xnli"), entry, "de", resources)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": ""}, tmp_path)
    with pytest.raises(DataError, match=r"test-de\.tsv"):
        open_rows(load("xnli"), entry, "de", resources)


def test_rows_whose_text_is_in_a_test_set_are_dropped_and_counted(tmp_path: Path) -> None:
    test, resources = placed({"test-en.tsv": "a\tb\nx\ty\n"}, tmp_path)
    texts = (("a", "b"), (" a ", "b"), ("b", "a"))
    rows = [PairExample(str(k), first, second, "neutral") for k, (first, second) in enumerate(texts)]
    kept, dropped = drop_overlap(rows, load("xnli"), [{"task": "xnli", **test}], "en", resources)
    assert [r.id for r in kept] == ["2"]
    assert dropped == {"xnli": 2}


def test_questions_are_dropped_by_their_context(tmp_path: Path) -> None:
    def paragraph(context: str) -> dict[str, Any]:
        return {"context": context, "qas": [{"id": context, "question": "?", "answers": []}]}

    document = json.dumps({"data": [{"paragraphs": [paragraph("shared")]}]})
    test, resources = placed({"xquad.en.json": document}, tmp_path)
    rows = [SpanExample(c, "another question", c, ()) for c in ("shared", "own")]
    kept, dropped = drop_overlap(rows, load("squad_v1"), [{"task": "xquad", **test}], "en", resources)
    assert ([r.id for r in kept], dropped) == (["own"], {"xquad": 1})


def test_without_gold() -> None:
    rows = [
        PairExample("0", "a", "b", "neutral"),
        TaggingExample("0", ("a",), ("X",)),
        SpanExample("0", "q", "c", ()),
        ChoiceExample("0", "p", ("a", "b"), 1),
    ]
    pair, tagged, span, choice = without_gold(rows)
    assert (pair.label, tagged.tags, span.answers, choice.label) == (None, None, None, None)
    assert (pair.first, tagged.words, span.context, choice.choices) == ("a", ("a",), "c", ("a", "b"))
