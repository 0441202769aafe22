"""Rows of one's own file: every shape and format, bad rows by line and rule, blank lines, ends of lines, bounded memory."""

from __future__ import annotations

import gzip
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import DataError
from xstilts.own_text import reading
from xstilts.own_text.reading import MAX_BYTES, Row, chunks, format_of, lines, opened, read_rows
from xstilts.own_text.rows import form_for
from xstilts.task_types import (
    ChoiceExample,
    Classification,
    MultipleChoice,
    PairExample,
    Span,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
)

NLI = Classification(("yes", "no"))
TAGS = Tagging(("A", "B"))
CHOICES = MultipleChoice(2)
QUESTION = '{"question": "q?", "context": "c"}'


def rows(text: str | bytes, task_type: TaskType | None, format: str, *, pairs: bool = False) -> list[Row]:
    """All rows of a file with that content."""
    content = text if isinstance(text, bytes) else text.encode()
    form = form_for(task_type, format, where="f", pairs=pairs)
    return list(read_rows(lines(io.BytesIO(content)), form, "f"))


def examples(*arguments: Any, **options: Any) -> list[Any]:
    found = rows(*arguments, **options)
    assert not [row.problem for row in found if row.problem]
    return [row.example for row in found]


@pytest.mark.parametrize(
    ("task_type", "format", "text", "example"),
    [
        (NLI, "txt", "a b\n", PairExample("", "a b", None, None)),
        (NLI, "tsv", "a\tb\n", PairExample("", "a", "b", None)),
        (NLI, "jsonl", '{"first": "a", "second": "b", "label": "yes"}\n', PairExample("", "a", "b", None)),
        (NLI, "jsonl", '{"first": "a"}', PairExample("", "a", None, None)),
        (TAGS, "txt", "Anna  lives\n", TaggingExample("", ("Anna", "lives"), None)),
        (TAGS, "jsonl", '{"words": ["New York", "is"]}\n', TaggingExample("", ("New York", "is"), None)),
        (TAGS, "jsonl", '{"text": "Anna lives"}\n', TaggingExample("", ("Anna", "lives"), None)),
        (TAGS, "conll", "Anna\tB-PER\nlives\n\n\n", TaggingExample("", ("Anna", "lives"), None)),
        (Span(), "jsonl", QUESTION, SpanExample("", "q?", "c", None)),
        (Span(), "tsv", "q?\tc\n", SpanExample("", "q?", "c", None)),
        (CHOICES, "jsonl", '{"question": "q", "choices": ["a", "b"]}', ChoiceExample("", "q", ("a", "b"), None)),
        (
            CHOICES,
            "jsonl",
            '{"question": "q", "context": "c", "choices": ["a", "b"]}',
            ChoiceExample("", "c q", ("a", "b"), None),
        ),
        (None, "txt", "a b", "a b"),
        (None, "jsonl", '{"text": "a b"}', "a b"),
    ],
)
def test_every_shape_and_format(task_type: TaskType | None, format: str, text: str, example: Any) -> None:
    assert examples(text, task_type, format) == [example]


@pytest.mark.parametrize(
    ("task_type", "format", "text", "says"),
    [
        (NLI, "tsv", "a\tb\tyes", "3 columns; needed: two columns: two texts"),
        (NLI, "tsv", "a", "1 column; needed"),
        (NLI, "tsv", "a\t ", "'second' is empty"),
        (NLI, "jsonl", '{"second": "b"}', "missing 'first'; the row has ['second']; needed: {\"first\""),
        (NLI, "jsonl", '{"first": 3}', "'first' must be text, found int"),
        (NLI, "jsonl", "[1]", "expected a JSON object, found list"),
        (NLI, "jsonl", '{"first": "a"', "not valid JSON"),
        (NLI, "jsonl", '{"first": ' + "[" * 20_000, "not valid JSON"),
        (NLI, "jsonl", r'{"first": "a \ud800"}', "half of a surrogate pair"),
        (TAGS, "jsonl", '{"words": []}', "'words' must be a list of texts"),
        (TAGS, "jsonl", '{"words": "Anna"}', "'words' must be a list of texts"),
        (TAGS, "jsonl", '{"words": ["Anna", ""]}', "'words' is empty"),
        (Span(), "jsonl", '{"question": "q"}', "missing 'context'"),
        (CHOICES, "jsonl", '{"question": "q", "choices": ["a"]}', "1 choices, but this model was trained on 2"),
        (CHOICES, "jsonl", '{"choices": ["a", "b"]}', "neither 'context' nor 'question'"),
    ],
)
def test_a_bad_row_names_the_rule(task_type: TaskType, format: str, text: str, says: str) -> None:
    good = {"tsv": "a\tb", "jsonl": "{}"}[format]
    found = rows(f"{good}\n{text}\n{good}\n", task_type, format)
    assert [row.line for row in found] == [1, 2, 3]
    assert says in found[1].problem and found[1].example is None
    assert format != "tsv" or not (found[0].problem or found[2].problem), "a bad row is no harm to its neighbours"


@pytest.mark.parametrize(
    ("task_type", "format", "pairs", "needs"),
    [
        (NLI, "txt", True, "tsv: two columns: two texts"),
        (NLI, "conll", False, "txt: one text a line"),
        (TAGS, "tsv", False, "conll: one word a line"),
        (Span(), "txt", False, "question and context"),
        (CHOICES, "tsv", False, '"choices": [TEXT, ...]'),
        (None, "tsv", False, "txt: one text a line"),
    ],
)
def test_a_file_without_the_columns_of_the_head(
    task_type: TaskType | None, format: str, pairs: bool, needs: str
) -> None:
    with pytest.raises(DataError, match=f"cannot read {format}") as refused:
        form_for(task_type, format, where="own." + format, pairs=pairs)
    assert needs in refused.value.hint


def test_a_pair_model_asks_json_rows_for_both_texts() -> None:
    (row,) = rows('{"first": "a"}', NLI, "jsonl", pairs=True)
    assert "missing 'second'" in row.problem


def test_byte_order_mark_crlf_and_no_last_line_end() -> None:
    found = rows(b"\xef\xbb\xbfeins\r\nzwei\r\ndr\xc3\xa9i", None, "txt")
    assert [(row.line, row.example) for row in found] == [(1, "eins"), (2, "zwei"), (3, "dréi")]


def test_other_line_separators_stay_in_the_text() -> None:
    assert examples("a\u2028b\x0bc\x85d\n", None, "txt") == ["a\u2028b\x0bc\x85d"]


def test_blank_lines_between_rows_are_bad_and_at_the_end_nothing() -> None:
    found = rows("a\n\n \t\nb\n\n\n\n", None, "txt")
    assert [(row.line, row.example, row.problem) for row in found] == [
        (1, "a", ""),
        (2, None, "the row is empty"),
        (3, None, "the row is empty"),
        (4, "b", ""),
    ]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " \r\n"])
@pytest.mark.parametrize("format", ["txt", "conll"])
def test_a_file_without_rows_is_an_error(content: str, format: str) -> None:
    with pytest.raises(DataError, match="f: the file is empty"):
        rows(content, TAGS, format)


def test_bytes_that_are_not_utf8_are_a_bad_row() -> None:
    found = rows(b"gut\nM\xfcller\nauch gut\n", None, "txt")
    assert [row.example for row in found] == ["gut", None, "auch gut"]
    assert found[1].problem == "byte 2 of the line is not UTF-8: b'\\xfc'"


def test_a_bad_line_is_one_of_its_sentence() -> None:
    found = rows(b"a\n\xff\nb\n\nc\n", TAGS, "conll")
    assert [row.line for row in found] == [1, 5]
    assert found[0].problem == "line 2: byte 1 of the line is not UTF-8: b'\\xff'"
    assert found[1].example.words == ("c",)


def test_a_row_without_end_is_bad_and_never_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    found = rows("x" * 5000 + "\n" + "y" * 100 + "\nz\n", None, "txt")
    assert "longer than 100 bytes" in found[0].problem
    assert [row.example for row in found[1:]] == ["y" * 100, "z"]
    sentence = rows("w\n" * 200 + "\nv\n", TAGS, "conll")
    assert "longer than 100 bytes" in sentence[0].problem
    assert (sentence[1].line, sentence[1].example.words) == (202, ("v",))


def test_chunks_are_bounded_by_rows_and_by_bytes_and_read_no_further() -> None:
    asked = itertools.count()
    endless = (Row(next(asked), "x", size=10) for _ in itertools.repeat(None))
    assert [len(chunk) for chunk in itertools.islice(chunks(endless, 7), 3)] == [7, 7, 7]
    assert next(asked) <= 23
    long = (Row(i, "x", size=MAX_BYTES // 3) for i in range(8))
    assert [len(chunk) for chunk in chunks(long)] == [3, 3, 2]
    assert [len(chunk) for chunk in chunks(Row(i, "x", size=MAX_BYTES + 9) for i in range(2))] == [1, 1]


@pytest.mark.parametrize(
    ("file", "wanted", "first", "format"),
    [
        ("a.tsv", None, "x", "tsv"),
        ("a.tsv.gz", None, "x", "tsv"),
        ("a.tsv", "conll", "x", "conll"),
        ("-", None, '\ufeff {"a": 1}', "jsonl"),
        ("-", None, "a\tb", "tsv"),
        ("-", None, "a b", "txt"),
        ("-", "conll", "a\tb", "conll"),
    ],
)
def test_the_format_is_the_one_asked_for_or_told_from_suffix_or_first_line(
    file: str, wanted: str | None, first: str, format: str
) -> None:
    content = f"{first}\nsecond\n".encode()
    found, stream = format_of(file, wanted, io.BytesIO(content))
    assert found == format
    assert [text for _, text, _ in lines(stream)] == [first.removeprefix("\ufeff"), "second"], "nothing is lost"


@pytest.mark.parametrize(("file", "wanted"), [("a.csv", None), ("words", None), ("a.tsv", "excel")])
def test_an_unknown_format_lists_those_there_are(file: str, wanted: str | None) -> None:
    with pytest.raises(DataError, match="unknown format") as refused:
        format_of(file, wanted, io.BytesIO(b"x"))
    assert "txt, tsv, jsonl, conll" in refused.value.hint


def test_files_plain_compressed_damaged_and_missing(tmp_path: Path) -> None:
    content = json.dumps({"text": "á"}).encode()
    (tmp_path / "a.jsonl").write_bytes(content)
    whole = gzip.compress(content * 500)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    for name in ("a.jsonl", "a.jsonl.gz"):
        with opened(str(tmp_path / name)) as (_, stream):
            assert stream.readline(1000) == content
    with pytest.raises(DataError, match=r"cut\.gz: damaged gzip"), opened(str(tmp_path / "cut.gz")) as (_, stream):
        stream.readline(10**7)
    with pytest.raises(DataError, match="cannot read the file"), opened(str(tmp_path / "none.txt")):
        pass
    with pytest.raises(DataError, match="cannot read the file"), opened(str(tmp_path)):
        pass
    with pytest.raises(BrokenPipeError), opened(str(tmp_path / "a.jsonl")):
        raise BrokenPipeError
