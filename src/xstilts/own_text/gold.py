"""The gold of a row of one's own: what a model learns from, or is scored against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from xstilts.errors import shown
from xstilts.task_types import (
    ChoiceExample,
    Classification,
    PairExample,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
)
from xstilts.task_types.span import Answer

GOLD = {
    "classification": '"label": LABEL',
    "tagging": '"tags": [TAG, ...], one a word',
    "span": '"answers": [{"text": TEXT, "answer_start": CHARACTER}], [] where there is none',
    "multiple_choice": '"label": number of the right choice, from 0',
}
"""Shape of task -> the field that holds its gold."""


def with_gold(task_type: TaskType, example: Any, fields: Mapping[str, Any]) -> Any:
    """The example with the gold that ``fields`` hold.

    Raises:
        ValueError: there is none, or it does not fit the row or the task's labels.
    """
    match example:
        case PairExample():
            labels = task_type.labels if isinstance(task_type, Classification) else ()
            return replace(example, label=_known("label", field(fields, "label"), labels))
        case TaggingExample(words=words):
            labels = task_type.labels if isinstance(task_type, Tagging) else ()
            tags = [_known("tag", tag, labels) for tag in _items(fields, "tags")]
            if len(tags) != len(words):
                raise ValueError(f"{len(words)} words, but {len(tags)} tags")
            return replace(example, tags=tuple(tags))
        case ChoiceExample(choices=choices):
            label = field(fields, "label")
            if label not in range(len(choices)):
                raise ValueError(f"label {label!r} is no number of a choice, 0 to {len(choices) - 1}")
            return replace(example, label=int(label))
        case SpanExample(context=context):
            return replace(example, answers=tuple(_answer(of, context) for of in _items(fields, "answers")))
    raise ValueError(f"a {task_type.name.replace('_', ' ')} model learns from no rows of one's own")


def _answer(said: Any, context: str) -> Answer:
    if not isinstance(said, Mapping) or not {"text", "answer_start"} <= said.keys():
        raise ValueError(f"the answer {said!r} is not {{'text': TEXT, 'answer_start': CHARACTER}}")
    text, start = said["text"], said["answer_start"]
    if not isinstance(text, str) or not text:
        raise ValueError(f"the answer {text!r} is no text; an empty list of answers says that there is none")
    if not isinstance(start, Integral) or start < 0 or not context.startswith(text, int(start)):
        raise ValueError(f"the answer {text!r} is not at character {start!r} of the context")
    return Answer(text, int(start))


def _known(what: str, said: Any, labels: Sequence[str]) -> str:
    """A label as its task spells it: 1 is not '1'. A tagging task without labels has those of its training rows."""
    if not isinstance(said, str) or (labels and said not in labels):
        raise ValueError(
            f"{what} {said!r} is none of {', '.join(map(repr, labels))}" if labels else f"{what} {said!r} is no text"
        )
    return said


def _items(fields: Mapping[str, Any], name: str) -> Iterable[Any]:
    value = field(fields, name)
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{name!r} must be a list, found {shown(value)}")
    return value


def field(fields: Mapping[str, Any], name: str) -> Any:
    """What a row says in a field.

    Raises:
        ValueError: it has no such field.
    """
    if name not in fields:
        raise ValueError(f"missing {name!r}; the row has {[*fields]}")
    return fields[name]
