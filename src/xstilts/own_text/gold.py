"""The gold of a row of one's own: what a model learns from, or is scored against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xstilts.task_types import ChoiceExample, Classification, PairExample, SpanExample, TaggingExample, TaskType
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
            label = _field(fields, "label")
            if label not in labels:
                raise ValueError(f"label {label!r} is none of {', '.join(labels)}")
            return replace(example, label=label)
        case TaggingExample(words=words):
            tags = _field(fields, "tags")
            if isinstance(tags, str) or len(tags) != len(words):
                raise ValueError(f"{len(words)} words, but tags: {tags!r}")
            return replace(example, tags=tuple(map(str, tags)))
        case ChoiceExample(choices=choices):
            label = _field(fields, "label")
            if label not in range(len(choices)):
                raise ValueError(f"label {label!r} is no number of a choice, 0 to {len(choices) - 1}")
            return replace(example, label=int(label))
        case SpanExample(context=context):
            return replace(example, answers=tuple(_answer(of, context) for of in _field(fields, "answers")))
    raise ValueError(f"a {task_type.name.replace('_', ' ')} model learns from no rows of one's own")


def _answer(said: Any, context: str) -> Answer:
    if not isinstance(said, Mapping) or not {"text", "answer_start"} <= said.keys():
        raise ValueError(f"the answer {said!r} is not {{'text': TEXT, 'answer_start': CHARACTER}}")
    text, start = said["text"], said["answer_start"]
    if not isinstance(start, int) or context[start : start + len(text)] != text:
        raise ValueError(f"the answer {text!r} is not at character {start!r} of the context")
    return Answer(text, start)


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise ValueError(f"missing {name!r}; the row has {sorted(fields)}")
    return fields[name]
