"""All casts: by default for a shape, and as plain JSON for specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from xstilts.task_types.answer_cast import AnswerCast
from xstilts.task_types.base import TaskType
from xstilts.task_types.cast import Cast
from xstilts.task_types.classification import Classification
from xstilts.task_types.label_casts import ChoiceCast, LabelCast
from xstilts.task_types.multiple_choice import MultipleChoice
from xstilts.task_types.span import Span
from xstilts.task_types.tagging import Tagging
from xstilts.task_types.tagging_casts import EntityCast, TagCast

CASTS: Mapping[str, type[Any]] = {c.name: c for c in (LabelCast, ChoiceCast, EntityCast, TagCast, AnswerCast)}


def default_cast(task: str, shape: TaskType) -> Cast | None:
    """How a task is said that declares no cast of its own; ``None`` for retrieval, which has no answer to write."""
    match shape:
        case Classification(labels):
            return LabelCast(f"{task}:", ("first", "second"), labels, labels)
        case MultipleChoice(num_choices):
            return ChoiceCast(f"{task}:", num_choices)
        case Tagging(labels) if labels and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in labels):
            return EntityCast("tag:", tuple(dict.fromkeys(tag[2:] for tag in labels if tag != "O")))
        case Tagging(labels):
            return TagCast(f"{task}:", labels)
        case Span(unanswerable):
            return AnswerCast(unanswerable)
    return None


def cast_as_json(cast: Cast) -> dict[str, Any]:
    """Its name and fields: everything that decides what a model reads and writes."""
    return {"cast": cast.name, **asdict(cast)}  # type: ignore[call-overload]


def cast_of_json(record: Mapping[str, Any]) -> Cast:
    """The inverse of ``cast_as_json``."""
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items() if name != "cast"}
    cast: Cast = CASTS[record["cast"]](**fields)
    return cast
