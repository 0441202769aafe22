"""The files of an XTREME submission: what each form of file holds, how it is read beside its gold, and its form alone.

One form for each shape of task (see ``xstilts.submission``). A reader stops at what the form does not allow, with
``file:line``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import GoldError, PredictionError
from xstilts.metrics.checks import refuse_counting, refuse_one_label
from xstilts.outside import MOST_BYTES, read_bytes, read_json
from xstilts.tasks.task import Task

Error = type[GoldError] | type[PredictionError]
IF_ALIGNED = "if your English side is in aligned order (LASER's files), say so: --aligned-tatoeba"


def _read_labels(gold: Path, predictions: Path) -> tuple[list[str], list[str]]:
    labels, answers = _labels(gold, GoldError), _labels(predictions, PredictionError)
    _check_placeholder(labels, gold)
    _check_count(len(answers), len(labels), "lines", predictions, gold)
    return labels, answers


def read_numbers(gold: Path, predictions: Path, aligned: bool = False) -> tuple[list[int], list[int]]:
    """Two files of line numbers; ``aligned``: a gold that counts 0, 1, 2 ... is right (LASER's files)."""
    lines, answers = _numbers(gold, GoldError), _numbers(predictions, PredictionError)
    _check_placeholder(lines, gold)
    if not aligned:
        refuse_counting(lines, str(gold), IF_ALIGNED)
    _check_count(len(answers), len(lines), "lines", predictions, gold)
    return lines, answers


def _read_tags(gold: Path, predictions: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    wanted, found = _sentences(gold, GoldError), _sentences(predictions, PredictionError)
    _check_placeholder([tag for _, tags in wanted for tag in tags], gold)
    for number, ((_, right), (line, tags)) in enumerate(zip(wanted, found, strict=False), start=1):
        if len(right) != len(tags):
            raise PredictionError(
                f"sentence {number} has {len(tags)} tags, its gold has {len(right)}",
                where=f"{predictions}:{line}",
                hint=f"gold: {gold}; one tag a line, one blank line between sentences",
            )
    _check_count(len(found), len(wanted), "sentences", predictions, gold)
    return [tags for _, tags in wanted], [tags for _, tags in found]


def _read_pairs(gold: Path, predictions: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    pairs = _pairs(gold, GoldError)
    _check_placeholder(pairs, gold)
    return pairs, _pairs(predictions, PredictionError)


def _read_answers(gold: Path, predictions: Path) -> tuple[list[tuple[str, ...]], list[str | None]]:
    questions = _questions(gold)
    found = _answers(predictions)
    return [answers for _, answers in questions], [found.get(question) for question, _ in questions]


def _answers(predictions: Path) -> dict[str, str]:
    found = _json(predictions, PredictionError)
    if not isinstance(found, dict):
        raise PredictionError("an object of question ids and answers is needed", where=str(predictions))
    for question, answer in found.items():
        if not isinstance(answer, str):
            raise PredictionError(f"the answer to {question!r} is {answer!r}, not a text", where=str(predictions))
    return found


@dataclass(frozen=True)
class Form:
    """One form of file.

    Args:
        suffix: of its name.
        read: a gold file and a prediction file to the two sequences that the task's metric compares.
        alone: a prediction file to its answers (labels, tags of all sentences, texts, pairs, numbers) and how many rows it
            answers.
    """

    suffix: str
    read: Callable[[Path, Path], tuple[Sequence[Any], Sequence[Any]]]
    alone: Callable[[Path], tuple[Sequence[Any], int]]


def _alone_labels(path: Path) -> tuple[list[str], int]:
    labels = _labels(path, PredictionError)
    return labels, len(labels)


def _alone_tags(path: Path) -> tuple[list[str], int]:
    sentences = _sentences(path, PredictionError)
    return [tag for _, tags in sentences for tag in tags], len(sentences)


def _alone_answers(path: Path) -> tuple[list[str], int]:
    found = list(_answers(path).values())
    return found, len(found)


def _alone_pairs(path: Path) -> tuple[list[tuple[str, str]], int]:
    pairs = _pairs(path, PredictionError)
    return pairs, len(pairs)


def _alone_numbers(path: Path) -> tuple[list[int], int]:
    numbers = _numbers(path, PredictionError)
    return numbers, len(numbers)


_FORMS = {
    "classification": Form("tsv", _read_labels, _alone_labels),
    "tagging": Form("tsv", _read_tags, _alone_tags),
    "span": Form("json", _read_answers, _alone_answers),
    "mined": Form("tsv", _read_pairs, _alone_pairs),
    "nearest": Form("tsv", read_numbers, _alone_numbers),
}
"""By the name of the task's shape, or by its mode where it has modes."""


def form_of(task: Task) -> Form:
    """The form of a task's files."""
    return _FORMS[getattr(task.type, "mode", task.type.name)]


def file_of(folder: Path, task: Task, language: str) -> Path:
    """Where a submission, or a label folder, has the file of one task and language."""
    return folder / task.name / f"test-{language}.{form_of(task).suffix}"


def check_alone(path: Path, task: Task) -> int:
    """Read one file of predictions without any gold, as the scorer would.

    Returns:
        How many rows it answers: lines, sentences, questions; mined pairs.

    Raises:
        PredictionError: it is not of its form, is empty where the form has a line a row, or has a label that the task does
            not know.
    """
    answers, rows = form_of(task).alone(path)
    if not rows and getattr(task.type, "mode", "") != "mined":
        raise PredictionError("the file answers no row", where=str(path))
    labels = getattr(task.type, "labels", ())
    if labels and (strange := next((answer for answer in answers if answer not in labels), None)):
        raise PredictionError(f"{strange!r} is no label of {task.name}: {', '.join(labels)}", where=str(path))
    return rows


def _check_count(found: int, wanted: int, unit: str, predictions: Path, gold: Path) -> None:
    if found != wanted:
        raise PredictionError(f"{found} {unit}, the gold has {wanted}", where=str(predictions), hint=f"gold: {gold}")


def _check_placeholder(labels: Sequence[object], gold: Path) -> None:
    if not labels:
        raise GoldError("the file holds no label", where=str(gold))
    refuse_one_label(labels, str(gold))


def _lines(path: Path, error: Error) -> list[str]:
    """Lines without the white space around them. Only line feeds and carriage returns end a line."""
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8-sig")
        rows = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
        return [line.strip() for line in rows.split("\n")] if text else []
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"the file cannot be read as UTF-8 text: {problem}", where=str(path)) from problem


def _short(line: str) -> str:
    return repr(line if len(line) <= 60 else line[:57] + "...")


def _labels(path: Path, error: Error) -> list[str]:
    labels = _lines(path, error)
    for number, label in enumerate(labels, start=1):
        if not label or "\t" in label:
            raise error(f"{_short(label)} is not one label: one a line is needed", where=f"{path}:{number}")
    return labels


def _numbers(path: Path, error: Error) -> list[int]:
    numbers = []
    for number, label in enumerate(_labels(path, error), start=1):
        try:
            numbers.append(int(label))
        except ValueError:
            raise error(f"{label!r} is no whole number", where=f"{path}:{number}") from None
    return numbers


def _sentences(path: Path, error: Error) -> list[tuple[int, tuple[str, ...]]]:
    """Each sentence's first line and tags. Blank lines at the end of the file play no part."""
    lines = _lines(path, error)
    while lines and not lines[-1]:
        lines.pop()
    sentences: list[tuple[int, tuple[str, ...]]] = []
    tags: list[str] = []
    for number, line in enumerate([*lines, ""] if lines else [], start=1):
        if "\t" in line:
            raise error(
                f"{_short(line)} is not one tag: one a line is needed, without its word", where=f"{path}:{number}"
            )
        if line:
            tags.append(line)
        else:
            sentences.append((number - len(tags), tuple(tags)))
            tags = []
    return sentences


def _pairs(path: Path, error: Error) -> list[tuple[str, str]]:
    lines = _lines(path, error)
    while lines and not lines[-1]:
        lines.pop()
    pairs = []
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if len(columns) != 2 or not all(columns):
            raise error(f"{_short(line)} is no pair: foreign id TAB English id is needed", where=f"{path}:{number}")
        pairs.append((columns[0], columns[1]))
    return pairs


def _json(path: Path, error: Error) -> Any:
    try:
        return read_json(path, MOST_BYTES)
    except json.JSONDecodeError as problem:
        raise error(f"not json: {problem.msg} (column {problem.colno})", where=f"{path}:{problem.lineno}") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"the file cannot be read as UTF-8 text: {problem}", where=str(path)) from problem
    except ValueError as problem:
        raise error(f"not json: {problem}", where=str(path)) from problem


def _questions(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Each question's id and the texts of its answers, from SQuAD json or its bare list of articles."""
    content = _json(path, GoldError)
    questions: list[tuple[str, tuple[str, ...]]] = []
    at = "data"
    try:
        for a, article in enumerate(content["data"] if isinstance(content, dict) else content):
            for p, paragraph in enumerate(article["paragraphs"]):
                for q, question in enumerate(paragraph["qas"]):
                    at = f"data[{a}].paragraphs[{p}].qas[{q}]"
                    questions.append(
                        (str(question["id"]), tuple(str(answer["text"]) for answer in question["answers"]))
                    )
    except (KeyError, TypeError) as problem:
        what = f"not SQuAD json, at or after {at}: {type(problem).__name__} {problem}"
        raise GoldError(what, where=str(path)) from problem
    if not questions:
        raise GoldError("the file holds no question", where=str(path))
    for question, answers in questions:
        if not any(answer.strip() for answer in answers):
            raise GoldError(f"the answers of question {question!r} are blank: placeholders, not gold", where=str(path))
    return questions
