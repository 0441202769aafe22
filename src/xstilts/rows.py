"""Which rows a node uses: read from the files its spec names, without those shared with test sets, cut by a fixed shuffle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from xstilts.data.text import read_text
from xstilts.graph.node import Resources
from xstilts.inputs import input_file
from xstilts.task_types import ChoiceExample, PairExample, SpanExample, TaggingExample
from xstilts.tasks import load
from xstilts.tasks.folder import read_examples
from xstilts.tasks.task import Task

Row = TypeVar("Row")


def open_rows(task: Task, entry: Mapping[str, Any], language: str, resources: Resources) -> list[Any]:
    """The examples of the files in a spec's entry, with their gold attached when the entry names gold files.

    Raises:
        DataError: a file is not the one the entry names, a bad row, or no rows of this language.
        GoldError: the gold does not fit the rows.
    """

    def paths(name: str) -> tuple[Path, ...]:
        return tuple(input_file(f["sha256"], resources) for f in entry.get(name, ()))

    examples = list(read_examples(task, paths("files"), language, paths("gold")))
    for name in ("files", "gold"):
        paths(name)  # once more: a file may change while it is read
    return examples


def open_text(entry: Mapping[str, Any], language: str, resources: Resources) -> list[str]:
    """The texts of a spec's entry: the lines of a file, or what the rows of a task say, each text once, without gold
    and without rows that are in a test set.

    Raises:
        DataError: as ``open_rows``, or a file without text.
    """
    if "task" not in entry:
        return read_text(input_file(entry["sha256"], resources))
    task = load(entry["task"])
    rows, _ = drop_overlap(open_rows(task, entry, language, resources), task, entry["overlap"], language, resources)
    return list(dict.fromkeys(text for row in rows for text in texts_of(row) if text))


def texts_of(example: Any) -> tuple[str, ...]:
    """What one example says, text by text; words stand with spaces between, whatever the language.

    Raises:
        TypeError: an example of retrieval: a whole set of sentences.
    """
    match example:
        case PairExample():
            return (example.first.strip(), (example.second or "").strip())
        case ChoiceExample():
            return tuple(text.strip() for text in (example.prompt, *example.choices))
        case TaggingExample():
            return (" ".join(example.words),)
        case SpanExample():
            return (example.context.strip(), example.question.strip())
    raise TypeError(f"{type(example).__name__} has no texts of its own")


def choose_rows(examples: Sequence[Row], rows: int | None) -> list[Row]:
    """At most ``rows`` of the examples, in their order: the same ones for every arm, seed and parallel language.

    Those whose ids (of plain text: whose numbers) have the smallest digests, so a row is chosen whatever others are there:
    a translation that lost a few rows has the same others.
    """
    if rows is None or len(examples) <= rows:
        return list(examples)
    names = [str(getattr(example, "id", number)) for number, example in enumerate(examples)]
    digests = [blake2b(name.encode(), digest_size=8).digest() for name in names]
    chosen = sorted(range(len(examples)), key=lambda number: (digests[number], number))[:rows]
    return [examples[number] for number in sorted(chosen)]


def without_gold(examples: Sequence[Any]) -> list[Any]:
    """The examples as a model may see them when it predicts; a gold label its head lacks (CCG's dev) is then no error."""
    return [replace(e, **{f: None for f in ("label", "tags", "answers") if hasattr(e, f)}) for e in examples]


def drop_overlap(
    examples: list[Any], task: Task, tests: Sequence[Mapping[str, Any]], language: str, resources: Resources
) -> tuple[list[Any], dict[str, int]]:
    """Training rows whose text (for questions: whose context) is in none of the ``tests``, and how many were dropped."""
    dropped: dict[str, int] = {}
    for test in tests:
        forbidden = {
            load(test["task"]).type.fingerprint(e) for e in open_rows(load(test["task"]), test, language, resources)
        }
        kept = [e for e in examples if task.type.fingerprint(e) not in forbidden]
        dropped[test["task"]] = len(examples) - len(kept)
        examples = kept
    return examples, dropped
