"""What a row of one's own must hold, by shape of task and format, and how it becomes an example without gold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.errors import DataError
from xstilts.outside import parse_json
from xstilts.own_text.gold import GOLD, field, with_gold
from xstilts.task_types import (
    ChoiceExample,
    Classification,
    MultipleChoice,
    PairExample,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
)

FORMATS = ("txt", "tsv", "jsonl", "conll")
Fields = Mapping[str, Any]

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "single": {"": "a text, or {'first': TEXT}", "txt": "one text a line", "jsonl": '{"first": TEXT}'},
    "pair": {
        "": "a pair of texts, or {'first': TEXT, 'second': TEXT}",
        "tsv": "two columns: two texts",
        "jsonl": '{"first": TEXT, "second": TEXT}',
    },
    "tagging": {
        "": "a list of words, a text of words and spaces, or {'words': [WORD, ...]}",
        "txt": "words separated by spaces, one sentence a line",
        "jsonl": '{"words": [WORD, ...]} or {"text": "words separated by spaces"}',
        "conll": "one word a line (what follows a tab is not read), a blank line after each sentence",
    },
    "span": {
        "": "a pair (question, context), or {'question': TEXT, 'context': TEXT}",
        "tsv": "two columns: question and context",
        "jsonl": '{"question": TEXT, "context": TEXT}',
    },
    "multiple_choice": {
        "": "{'context': TEXT, 'question': TEXT, 'choices': [TEXT, ...]}, one of the first two",
        "jsonl": '{"context": TEXT, "question": TEXT, "choices": [TEXT, ...]}, one of the first two',
    },
    "embedding": {"": "a text, or {'text': TEXT}", "txt": "one text a line", "jsonl": '{"text": TEXT}'},
}
"""What is read -> format -> what a row holds there; the format of rows given in Python is empty."""
PAIRS = {"span": ("question", "context"), "pair": ("first", "second"), "single": ("first", "second")}
"""What is read -> the names of two columns."""
TEXTS = {"single": "first", "tagging": "text", "embedding": "text"}
"""What is read -> the name of the field that one text is."""


@dataclass(frozen=True)
class Form:
    """How the rows of one file become examples.

    Args:
        reads: a key of ``COLUMNS``.
        format: one of ``FORMATS``.
        make: fields of a row to an example; raises ``ValueError`` with what is wrong.
    """

    reads: str
    format: str
    make: Callable[[Fields], Any]
    gold: str = ""  # the field that holds it, where it is needed

    @property
    def rule(self) -> str:
        """What a row must hold."""
        return COLUMNS[self.reads][self.format] + (f" with {self.gold}" if self.gold else "")

    def example(self, row: Any) -> Any:
        """The example in one row: the text of a file's, or a mapping, a text or a sequence of texts given in Python.

        Raises:
            ValueError: the row is not what ``rule`` says.
        """
        try:
            return self.make(self._fields(row) if self.format else self._given(row))
        except ValueError as error:
            raise ValueError(f"{error}; needed: {self.rule}") from None

    def _given(self, row: Any) -> Fields:
        """The fields of a row given in Python: a text for one, a pair for two, words for a sentence."""
        match row:
            case Mapping():
                return row
            case str() if self.reads in TEXTS:
                return {TEXTS[self.reads]: row}
            case list() | tuple() if self.reads == "tagging":
                return {"words": row}
            case [_, _] if self.reads in PAIRS:
                return dict(zip(PAIRS[self.reads], row, strict=True))
        raise ValueError(f"a row of type {type(row).__name__}: {row!r:.80}")

    def _fields(self, text: str) -> Fields:
        match self.format:
            case "jsonl":
                return _json_fields(text)
            case "tsv":
                columns = text.split("\t")
                if len(columns) != 2:
                    raise ValueError(f"{len(columns)} column{'s' * (len(columns) > 1)}")
                return dict(zip(PAIRS[self.reads], columns, strict=True))
            case "conll":
                return {"words": [line.partition("\t")[0] for line in text.split("\n")]}
        return {TEXTS[self.reads]: text}


def form_for(task_type: TaskType | None, format: str, *, where: str, pairs: bool = False, gold: bool = False) -> Form:
    """How to read rows of ``format`` for a head, or for an encoder that only embeds (``None``).

    Args:
        task_type: the shape of the head.
        format: one of ``FORMATS``; empty for rows given in Python.
        where: the file, named in the error.
        pairs: a classification that was trained on pairs: a single text is no row of it.
        gold: every row needs its gold, which only ``jsonl`` and Python have room for.

    Raises:
        DataError: such a head cannot read such a file; the message says what it needs.
    """
    reads, make = _reading(task_type, format, pairs)
    allowed = {name: rule for name, rule in COLUMNS[reads].items() if name in ("", "jsonl") or not gold}
    if format not in allowed:
        needed = "\n  ".join(f"{name}: {rule}" for name, rule in allowed.items() if name)
        title = "an encoder" if task_type is None else f"a {task_type.name.replace('_', ' ')} model"
        raise DataError(
            f"{title} cannot read {format}: rows lack the columns it needs",
            where=where,
            hint=f"it reads (choose with the suffix or --format)\n  {needed}",
        )
    if not gold or task_type is None:
        return Form(reads, format, make)
    return Form(reads, format, lambda fields: with_gold(task_type, make(fields), fields), GOLD[task_type.name])


def _reading(task_type: TaskType | None, format: str, pairs: bool) -> tuple[str, Callable[[Fields], Any]]:
    match task_type:
        case None:
            return "embedding", lambda fields: _text(fields, "text")
        case Classification():
            single = not pairs and format != "tsv"
            return ("single", _single_or_pair) if single else ("pair", _pair)
        case Tagging():
            return "tagging", _sentence
        case MultipleChoice(num_choices=count):
            return "multiple_choice", lambda fields: _choice(fields, count)
    return "span", lambda fields: SpanExample("", _text(fields, "question"), _text(fields, "context"), None)


def _pair(fields: Fields) -> PairExample:
    return PairExample("", _text(fields, "first"), _text(fields, "second"), None)


def _single_or_pair(fields: Fields) -> PairExample:
    return _pair(fields) if "second" in fields else PairExample("", _text(fields, "first"), None, None)


def _sentence(fields: Fields) -> TaggingExample:
    words = _texts(fields, "words") if "words" in fields else tuple(_text(fields, "text").split())
    return TaggingExample("", words, None)


def _choice(fields: Fields, count: int) -> ChoiceExample:
    choices = _texts(fields, "choices")
    if len(choices) != count:
        raise ValueError(f"{len(choices)} choices, but this model was trained on {count}")
    prompt = " ".join(_text(fields, name) for name in ("context", "question") if name in fields)
    if not prompt:
        raise ValueError("neither 'context' nor 'question' is there")
    return ChoiceExample("", prompt, choices, None)


def _json_fields(text: str) -> Fields:
    try:
        fields = parse_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at column {error.colno}") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, found {type(fields).__name__}")
    return fields


def _text(fields: Fields, name: str) -> str:
    return _checked(field(fields, name), name)


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    values = field(fields, name)
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{name!r} must be a list of texts")
    return tuple(_checked(value, name) for value in values)


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must be text, found {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name!r} is empty")
    if not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name!r} holds half of a surrogate pair, which is no character")
    return value
