"""Multiple choice: HellaSwag, Cosmos QA and CommonsenseQA, laid out as jiant does (FACTS 1.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xstilts.data.files import json_lines, place, require, require_list, require_text, suffix
from xstilts.data.tables import csv_records
from xstilts.errors import DataError
from xstilts.task_types import ChoiceExample

_COSMOS_COLUMNS = ("context", "question", "answer0", "answer1", "answer2", "answer3")


def read_hellaswag(paths: Sequence[Path], language: str) -> Iterator[ChoiceExample]:
    """Prompt: ``ctx_a``; choices: ``ctx_b``, a space and an ending. No label in the published test file."""
    count = 0
    for path in paths:
        for line, row in json_lines(path):
            start = require_text(row, "ctx_b", path, line)
            endings = require_list(row, "endings", path, line)
            if wrong := [ending for ending in endings if not isinstance(ending, str)]:
                raise DataError(f"'endings' must be strings, found {wrong[0]!r}", where=place(path, line))
            choices = tuple(f"{start} {ending}" for ending in endings)
            label = _label(row.get("label"), choices, 4, path, line)
            yield ChoiceExample(str(count), require_text(row, "ctx_a", path, line), choices, label)
            count += 1


def read_cosmosqa(paths: Sequence[Path], language: str) -> Iterator[ChoiceExample]:
    """Prompt: context, a space and the question; four answers. CSV (train, valid) or JSON lines (test, no label)."""
    count = 0
    for path in paths:
        for line, row in json_lines(path) if suffix(path) == ".jsonl" else _csv_rows(path):
            context, question, *choices = (require_text(row, key, path, line) for key in _COSMOS_COLUMNS)
            label = _label(row.get("label"), choices, 4, path, line)
            yield ChoiceExample(str(count), f"{context} {question}", tuple(choices), label)
            count += 1


def read_commonsense_qa(paths: Sequence[Path], language: str) -> Iterator[ChoiceExample]:
    """Prompt: the question's stem; five choices A to E. No ``answerKey`` in the published test file."""
    count = 0
    for path in paths:
        for line, row in json_lines(path):
            question = require(row, "question", path, line)
            listed = require_list(question, "choices", path, line)
            choices = tuple(require_text(choice, "text", path, line) for choice in listed)
            names = [require_text(choice, "label", path, line) for choice in listed]
            key = row.get("answerKey") or None
            if key is not None and key not in names:
                raise DataError(f"unknown label {key!r}", where=place(path, line), hint=f"labels: {', '.join(names)}")
            label = _label(None if key is None else names.index(key), choices, 5, path, line)
            yield ChoiceExample(str(count), require_text(question, "stem", path, line), choices, label)
            count += 1


def _label(value: Any, choices: Sequence[str], expected: int, path: Path, line: int) -> int | None:
    if len(choices) != expected:
        raise DataError(f"{len(choices)} choices, expected {expected}", where=place(path, line))
    if value is None or value == "":
        return None
    if str(value) not in map(str, range(expected)):
        raise DataError(f"unknown label {value!r}", where=place(path, line), hint=f"labels: 0 to {expected - 1}")
    return int(value)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    names: list[str] | None = None
    for line, fields in csv_records(path, ","):
        if names is None:
            names = fields
            if absent := [c for c in _COSMOS_COLUMNS if c not in names]:
                raise DataError(f"missing column {absent[0]!r}; the header has {names}", where=place(path, line))
        elif len(fields) != len(names):
            raise DataError(
                f"missing column: {len(fields)} columns, the header has {len(names)}", where=place(path, line)
            )
        else:
            yield line, dict(zip(names, fields, strict=True))
