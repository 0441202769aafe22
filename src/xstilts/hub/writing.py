"""Rows of the hub to the text of files that the tasks' readers know. Class labels arrive as names, never as numbers.

A writer takes rows and an open file and returns what it counted: ``rows``, and any changes it had to make.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from xstilts.errors import DataError

Row = dict[str, Any]
Writer = Callable[[Iterable[Row], TextIO], Counter[str]]

_ZERO_WIDTH_NON_JOINER = "\u200c"
_NEAR = 16
"""How far an answer may lie from where it is said to start: the hub's scripts stripped spaces and kept the numbers."""


def pairs(first: str, second: str, label: str, names: Mapping[str, str]) -> Writer:
    """XTREME's table without a header: two texts and a label; ``names`` maps the dataset's labels to ours."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        table = csv.writer(out, delimiter="\t", lineterminator="\n")
        counts: Counter[str] = Counter()
        for row in rows:
            table.writerow((_text(row, first), _text(row, second), _name(row[label], names, counts["rows"])))
            counts["rows"] += 1
        return counts

    return write


def inference(first: str, second: str, label: str) -> Writer:
    """MultiNLI's and SNLI's JSON lines; no gold label is ``-``, as published."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        names = {name: name for name in ("entailment", "neutral", "contradiction")}
        for row in rows:
            gold = "-" if row[label] is None else _name(row[label], names, counts["rows"])
            _line({"gold_label": gold, "sentence1": _text(row, first), "sentence2": _text(row, second)}, out)
            counts["rows"] += 1
        return counts

    return write


def adversarial(first: str, second: str, label: str) -> Writer:
    """ANLI's JSON lines, whose labels are e, n and c."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        names = {"entailment": "e", "neutral": "n", "contradiction": "c"}
        for row in rows:
            gold = _name(row[label], names, counts["rows"])
            _line({"context": _text(row, first), "hypothesis": _text(row, second), "label": gold}, out)
            counts["rows"] += 1
        return counts

    return write


def words(tokens: str, tags: str) -> Writer:
    """``word<TAB>tag`` lines with a blank line after each sentence; spaces and U+200C in words go, as in XTREME."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in rows:
            if len(row[tokens]) != len(row[tags]):
                raise _bad(counts["rows"], f"{len(row[tokens])} words but {len(row[tags])} tags")
            kept = []
            for word, tag in zip(row[tokens], row[tags], strict=True):
                if not isinstance(word, str) or not isinstance(tag, str):
                    raise _bad(counts["rows"], f"a word and the name of its tag must be texts, found {word!r}, {tag!r}")
                clean = "".join(word.replace(_ZERO_WIDTH_NON_JOINER, "").split())
                counts["words cleaned"] += clean != word and bool(clean)
                counts["empty words left out"] += not clean
                kept += [f"{clean}\t{tag}\n"] if clean else []
            if kept:
                out.writelines([*kept, "\n"])
                counts["rows"] += 1
        return counts

    return write


def questions(unanswerable: bool) -> Writer:
    """SQuAD's JSON; questions that follow each other on one context share its paragraph."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        paragraphs: list[dict[str, Any]] = []
        for row in rows:
            context, answers = _text(row, "context"), _answers(row, counts)
            if not paragraphs or paragraphs[-1]["context"] != context:
                paragraphs.append({"context": context, "qas": []})
            asked: dict[str, Any] = {"id": str(row["id"]), "question": _text(row, "question"), "answers": answers}
            if unanswerable:
                asked["is_impossible"] = not answers
            paragraphs[-1]["qas"].append(asked)
            counts["rows"] += 1
        articles = [{"title": "", "paragraphs": paragraphs}]
        out.write(json.dumps({"version": "hub", "data": articles}, ensure_ascii=False) + "\n")
        return counts

    return write


def lines(column: str) -> Writer:
    """One text a line; the line break at its end, which the hub's rows have, stands once."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in rows:
            text = _text(row, column).rstrip("\r\n")
            if "\n" in text:
                raise _bad(counts["rows"], f"a line break inside {text!r}")
            out.write(f"{text}\n")
            counts["rows"] += 1
        return counts

    return write


def texts(column: str, most: int) -> Writer:
    """At most so many texts, one a line: line breaks inside become spaces, empty texts are left out; both are counted.

    No row is asked for after the last text that is taken.
    """

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in rows:
            parts = [] if row[column] is None else _text(row, column).splitlines()
            line = " ".join(filter(None, map(str.strip, parts)))
            counts["empty texts left out"] += not line
            if line:
                out.write(f"{line}\n")
                counts["rows"] += 1
                counts["texts with line breaks made spaces"] += len(parts) > 1
            if counts["rows"] == most:
                break
        return counts

    return write


def json_rows(columns: Sequence[str]) -> Writer:
    """JSON lines of these columns as they are."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in rows:
            _line({column: row[column] for column in columns}, out)
            counts["rows"] += 1
        return counts

    return write


def table(columns: Sequence[str]) -> Writer:
    """CSV with a header."""

    def write(rows: Iterable[Row], out: TextIO) -> Counter[str]:
        written = csv.writer(out, lineterminator="\n")
        written.writerow(columns)
        counts: Counter[str] = Counter()
        for row in rows:
            written.writerow([row[column] for column in columns])
            counts["rows"] += 1
        return counts

    return write


def commonsense(rows: Iterable[Row], out: TextIO) -> Counter[str]:
    """CommonsenseQA's JSON lines: the stem and lettered choices."""
    counts: Counter[str] = Counter()
    for row in rows:
        choices = [{"label": c["label"], "text": c["text"]} for c in _records(row["choices"])]
        question = {"stem": _text(row, "question"), "choices": choices}
        _line({"answerKey": row["answerKey"], "question": question}, out)
        counts["rows"] += 1
    return counts


def _answers(row: Row, counts: Counter[str]) -> list[dict[str, Any]]:
    """The answers, each at the place where it really stands."""
    found, context = [], row["context"]
    for answer in _records(row["answers"]):
        text, start = str(answer["text"]), int(answer["answer_start"])
        if context[start : start + len(text)] != text:
            places = [k for k in range(max(0, start - _NEAR), start + _NEAR + 1) if context.startswith(text, k)]
            if not places:
                raise _bad(counts["rows"], f"answer {text!r} is not near character {start} of its context")
            start = min(places, key=lambda k, said=start: abs(k - said))  # type: ignore[misc]
            counts["answers moved"] += 1
        found.append({"text": text, "answer_start": start})
    return found


def _records(value: Any) -> list[dict[str, Any]]:
    """A list of records, which ``datasets`` gives as records or as one record of lists."""
    if isinstance(value, Mapping):
        return [dict(zip(value, fields, strict=True)) for fields in zip(*value.values(), strict=True)]
    return list(value)


def _name(value: Any, names: Mapping[str, str], row: int) -> str:
    if value not in names:
        known = ", ".join(map(repr, names))
        raise _bad(row, f"label {value!r} is none of {known}; a number is never taken for a name")
    return names[value]


def _text(row: Row, column: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise DataError(f"{column!r} must be a text, found {value!r}")
    return value


def _line(value: dict[str, Any], out: TextIO) -> None:
    out.write(json.dumps(value, ensure_ascii=False) + "\n")


def _bad(row: int, what: str) -> DataError:
    return DataError(f"row {row}: {what}", hint="the dataset on the hub is not what this version of xstilts knows")
