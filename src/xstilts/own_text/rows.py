"""What a row of one's own must hold, by shape of task and format, and how it becomes an example without gold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.errors import DataError
from xstilts.outside import parse_json
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
    "single": {"txt": "one text a line", "jsonl": '{"first": TEXT}'},
    "pair": {"tsv": "two columns: two texts", "jsonl": '{"first": TEXT, "second": TEXT}'},
    "tagging": {
        "txt": "words separated by spaces, one sentence a line",
        "jsonl": '{"words": [WORD, ...]} or {"text": "words separated by spaces"}',
        "conll": "one word a line (what follows a tab is not read), a blank line after each sentence",
    },
    "span": {"tsv": "two columns: question and context", "jsonl": '{"question": TEXT, "context": TEXT}'},
    "multiple_choice": {"jsonl": '{"context": TEXT, "question": TEXT, "choices": [TEXT, ...]}, one of the first two'},
    "embedding": {"txt": "one text a line", "jsonl": '{"text": TEXT}'},
}
"""What is read -> format -> what a row holds there."""


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

    @property
    def rule(self) -> str:
        """What a row must hold."""
        return COLUMNS[self.reads][self.format]

    def example(self, text: str) -> Any:
        """The example in one row.

        Raises:
            ValueError: the row is not what ``rule`` says.
        """
        try:
            return self.make(self._fields(text))
        except ValueError as error:
            raise ValueError(f"{error}; needed: {self.rule}") from None

    def _fields(self, text: str) -> Fields:
        match self.format:
            case "jsonl":
                return _json_fields(text)
            case "tsv":
                columns = text.split("\t")
                if len(columns) != 2:
                    raise ValueError(f"{len(columns)} column{'s' * (len(columns) > 1)}")
                names = ("question", "context") if self.reads == "span" else ("first", "second")
                return dict(zip(names, columns, strict=True))
            case "conll":
                return {"words": [line.partition("\t")[0] for line in text.split("\n")]}
        return {"first": text} if self.reads == "single" else {"text": text}


def form_for(task_type: TaskType | None, format: str, *, where: str, pairs: bool = False) -> Form:
    """How to read rows of ``format`` for a head, or for an encoder that only embeds (``None``).

    Args:
        task_type: the shape of the head.
        format: one of ``FORMATS``.
        where: the file, named in the error.
        pairs: a classification that was trained on pairs: a single text is no row of it.

    Raises:
        DataError: such a head cannot read such a file; the message says what it needs.
    """
    reads, make = _reading(task_type, format, pairs)
    if format not in COLUMNS[reads]:
        needed = "\n  ".join(f"{name}: {rule}" for name, rule in COLUMNS[reads].items())
        title = "an encoder" if task_type is None else f"a {task_type.name.replace('_', ' ')} model"
        raise DataError(
            f"{title} cannot read {format}: rows lack the columns it needs",
            where=where,
            hint=f"it reads (choose with the suffix or --format)\n  {needed}",
        )
    return Form(reads, format, make)


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
    if name not in fields:
        raise ValueError(f"missing {name!r}; the row has {sorted(fields)}")
    return _checked(fields[name], name)


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    if name not in fields:
        raise ValueError(f"missing {name!r}; the row has {sorted(fields)}")
    values = fields[name]
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
