"""The load: rows of a target, per language, on their way from the node that chose them to the processes that are measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from xstilts.errors import MeasurementError
from xstilts.task_types import (
    ChoiceExample,
    Classification,
    MultipleChoice,
    PairExample,
    Retrieval,
    Span,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
)

_EXAMPLES: tuple[tuple[type, type], ...] = (
    (Classification, PairExample),
    (MultipleChoice, ChoiceExample),
    (Span, SpanExample),
    (Tagging, TaggingExample),
    (Retrieval, str),
)


def _rows_of(task_type: TaskType) -> TypeAdapter[list[Any]]:
    kind = next((example for shape, example in _EXAMPLES if isinstance(task_type, shape)), None)
    if kind is None:
        raise MeasurementError(f"rows of the shape {task_type.name!r} cannot be handed to a measured process")
    return TypeAdapter(list[kind])  # type: ignore[valid-type]


def write_load(path: Path, task_type: TaskType, rows: Mapping[str, Sequence[Any]]) -> None:
    """Language -> examples without gold (sentences for retrieval), as JSON."""
    adapter = _rows_of(task_type)
    plain = {language: adapter.dump_python(list(found), mode="json") for language, found in rows.items()}
    path.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")


def read_load(path: Path, task_type: TaskType) -> dict[str, list[Any]]:
    """What ``write_load`` wrote."""
    adapter = _rows_of(task_type)
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {language: adapter.validate_python(found) for language, found in plain.items()}
