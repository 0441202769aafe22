"""Translated rows in the format in which the task is published, at the place where a data folder looks for them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xstilts.data.choices import read_commonsense_qa, read_cosmosqa, read_hellaswag
from xstilts.data.files import suffix
from xstilts.data.squad import id_language
from xstilts.data.translated import TRANSLATED
from xstilts.errors import MissingNameError, TranslationError
from xstilts.task_types import ChoiceExample, Classification, MultipleChoice, PairExample, Span, SpanExample
from xstilts.tasks.folder import fill
from xstilts.tasks.task import Task

Render = Callable[[Sequence[Any]], str]


def place_of(task: Task, split: str, language: str) -> str:
    """The file, relative to a data folder: ``translated/es/squad/train-v1.1.json``.

    Raises:
        MissingNameError: the task has no such split.
        TranslationError: nothing to learn from, several files, or tags, which stand on words and cannot be translated.
    """
    if task.trains_on not in (task.name, None) and split == "train":
        raise TranslationError(
            f"{task.name} is learned from the rows of {task.trains_on}: translate that", where=task.name
        )
    if split not in task.files:
        raise MissingNameError(f"split of {task.name}", split, task.files, where="--split")
    if split != "train" and task.role == "target":
        raise TranslationError(
            f"the {split} rows of {task.name} are scored, and translated rows are only learned from", where="--split"
        )
    endings = _endings(task)
    for layout in task.files[split]:
        name = fill(layout[0], language) if len(layout) == 1 else None
        if name is not None and "*" not in name and suffix(Path(name)) in endings:
            return f"{TRANSLATED}/{language}/{name}"
    raise TranslationError(
        f"the rows of {task.name} stand in several files",
        where=task.name,
        hint="translate the tasks it is made of, and name their files in the study: data: {files: ...}",
    )


def render_of(task: Task) -> Render:
    """What writes examples of this task so that its reader reads them again."""
    if isinstance(task.type, MultipleChoice):
        return _CHOICES[task.read]
    return _questions if isinstance(task.type, Span) else _pairs


def _endings(task: Task) -> tuple[str, ...]:
    match task.type:
        case Classification():
            return (".tsv", ".txt")
        case Span():
            return (".json",)
        case MultipleChoice() if task.read in _CHOICES:
            return (".jsonl", ".csv")
    raise TranslationError(
        f"{task.name} cannot be translated: {task.type.name} rows",
        where=task.name,
        hint="pairs of texts, questions with answers in a context, and multiple choice can",
    )


def _pairs(examples: Sequence[PairExample]) -> str:
    """A table with PAWS-X's header; no text holds a tab or a line end."""
    rows = (f"{e.id}\t{e.first}\t{e.second or ''}\t{e.label}" for e in examples)
    return "".join(f"{row}\n" for row in ("id\tsentence1\tsentence2\tlabel", *rows))


def _questions(examples: Sequence[SpanExample]) -> str:
    """SQuAD's JSON, one paragraph for the neighbours that share a context."""
    paragraphs: list[dict[str, Any]] = []
    for example in examples:
        if not paragraphs or paragraphs[-1]["context"] != example.context:
            paragraphs.append({"context": example.context, "qas": []})
        answers = [{"text": a.text, "answer_start": a.start} for a in example.answers or ()]
        identity = example.id if id_language(example.id) is None else example.id.partition("-")[2]
        question = {"id": identity, "question": example.question, "answers": answers}
        paragraphs[-1]["qas"].append(question if answers else {**question, "is_impossible": True})
    data = [{"title": "", "paragraphs": paragraphs}]
    return json.dumps({"version": "translated", "data": data}, ensure_ascii=False) + "\n"


def _hellaswag(examples: Sequence[ChoiceExample]) -> str:
    """A choice is the whole rest of the text: ``ctx_b`` is empty, as in the rows from WikiHow."""
    return _lines(
        {"ind": e.id, "ctx_a": e.prompt, "ctx_b": "", "endings": e.choices, "label": e.label} for e in examples
    )


def _commonsense_qa(examples: Sequence[ChoiceExample]) -> str:
    return _lines(
        {
            "id": e.id,
            "question": {
                "stem": e.prompt,
                "choices": [{"label": name, "text": text} for name, text in zip("ABCDE", e.choices, strict=True)],
            },
            "answerKey": "ABCDE"[e.label or 0],
        }
        for e in examples
    )


def _cosmosqa(examples: Sequence[ChoiceExample]) -> str:
    """Context and question were translated as one text, which stands as the context."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "context", "question", "answer0", "answer1", "answer2", "answer3", "label"])
    writer.writerows([e.id, e.prompt, "", *e.choices, e.label] for e in examples)
    return out.getvalue()


def _lines(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


_CHOICES: dict[Any, Render] = {
    read_hellaswag: _hellaswag,
    read_commonsense_qa: _commonsense_qa,
    read_cosmosqa: _cosmosqa,
}
