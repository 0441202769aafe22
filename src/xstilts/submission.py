"""Scores anybody's XTREME submission folder against a label folder, without torch.

Both folders have one sub-folder for each task and one file for each language, as XTREME's own scorer has them:
``xnli/test-de.tsv``, ``xquad/test-de.json`` and so on. What a file holds, by the task's shape:

* classification: one label a line;
* tagging: one tag a line, a blank line between sentences;
* question answering: gold is SQuAD json, a submission is ``{question id: answer}``;
* BUCC: ``foreign id TAB English id``, in any order;
* Tatoeba: for each English line the 0-based line of its translation.

Where XTREME's scorer would go on with a number that means nothing, this one stops: a missing file, another number of
lines or tags, a row of the wrong form, gold that is only a placeholder. Questions without an answer and pairs that were
not mined are wrong answers, as there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts import tasks as registry
from xstilts.errors import GoldError, PredictionError, nearest
from xstilts.metrics import xtreme
from xstilts.metrics.checks import refuse_counting, refuse_one_label
from xstilts.tasks.task import Task

Error = type[GoldError] | type[PredictionError]
_IF_ALIGNED = "if your English side is in aligned order (LASER's files), say so: --aligned-tatoeba"


@dataclass(frozen=True)
class MetricScores:
    """One metric of one task: each language's value and their plain mean, 0..100."""

    average: float
    languages: dict[str, float]


@dataclass(frozen=True)
class TaskScores:
    """One task: its main score over the languages that are there, the languages that are not, and every metric."""

    score: float | None
    missing: tuple[str, ...]
    metrics: dict[str, MetricScores]


@dataclass(frozen=True)
class SubmissionScores:
    """All scores of a submission, 0..100.

    A task's score is over the languages that are there. A group's score, and the overall score, exist only if no language
    of any of their tasks is missing: a mean over other tasks or languages is another quantity, and would be compared.
    """

    overall: float | None
    groups: dict[str, float | None]
    tasks: dict[str, TaskScores]

    def as_json(self) -> dict[str, Any]:
        """The contract of ``xstilts score --json``: plain objects, ``None`` for scores that do not exist."""
        return {
            "overall": self.overall,
            "groups": dict(self.groups),
            "tasks": {
                name: {
                    "score": task.score,
                    "missing": list(task.missing),
                    "metrics": {
                        metric: {"average": scores.average, "languages": dict(scores.languages)}
                        for metric, scores in task.metrics.items()
                    },
                }
                for name, task in self.tasks.items()
            },
        }


def score_submission(
    predictions: Path,
    gold: Path,
    *,
    partial: bool = False,
    aligned_tatoeba: bool = False,
    tasks: Sequence[Task] | None = None,
) -> SubmissionScores:
    """Score the submission in ``predictions`` by the labels in ``gold``.

    Args:
        predictions: a folder with a sub-folder for each task.
        gold: the label folder, of the same layout.
        partial: score what is there, and list the languages that are not, instead of refusing.
        aligned_tatoeba: the English side is in aligned order, as LASER's files are: the gold 0, 1, 2 ... is right.
        tasks: the tasks to score; XTREME's nine if not given.

    Raises:
        PredictionError: a file of either folder is missing (unless ``partial``), nothing can be scored at all, or a
            prediction file is malformed or does not fit its gold.
        GoldError: a gold file is malformed or holds placeholders.
    """
    tasks = registry.targets() if tasks is None else tuple(tasks)
    for folder, content in ((predictions, "predictions"), (gold, "labels")):
        if not folder.is_dir():
            raise PredictionError(f"there is no folder of {content} here", where=str(folder))
    missing = {task.name: _missing(task, predictions, gold) for task in tasks}
    _check_missing(tasks, missing, predictions, gold, partial)
    scored = {task.name: _score_task(task, predictions, gold, missing[task.name], aligned_tatoeba) for task in tasks}
    complete = {name: None if task.missing else task.score for name, task in scored.items()}
    groups: dict[str, list[str]] = {}
    for task in tasks:
        if task.group is not None:
            groups.setdefault(task.group, []).append(task.name)
    return SubmissionScores(
        overall=xtreme.overall(complete, [task.name for task in tasks]),
        groups=xtreme.group_scores(complete, groups),
        tasks=scored,
    )


def _file(folder: Path, task: Task, language: str) -> Path:
    return folder / task.name / f"test-{language}.{_form(task).suffix}"


def _missing(task: Task, predictions: Path, gold: Path) -> dict[str, Path]:
    """The languages that cannot be scored, each with the first file it lacks."""
    found: dict[str, Path] = {}
    for language in task.languages:
        lacking = [p for p in (_file(predictions, task, language), _file(gold, task, language)) if not p.is_file()]
        if lacking:
            found[language] = lacking[0]
    return found


def _check_missing(
    tasks: Sequence[Task], missing: dict[str, dict[str, Path]], predictions: Path, gold: Path, partial: bool
) -> None:
    files = [path for paths in missing.values() for path in paths.values()]
    nothing = len(files) == sum(len(task.languages) for task in tasks)
    if not files or (partial and not nothing):
        return
    hints = [] if partial else ["score what is there with --partial"]
    beside = sorted(p.name for p in files[0].parent.glob("*")) if files[0].parent.is_dir() else []
    if near := nearest(files[0].name, beside):
        hints.append(f"in that folder: {near}")
    if gold in files[0].parents and (gold / "labels").is_dir():
        hints.append(f"the label folder may be {gold / 'labels'}")
    more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
    what = "nothing can be scored: no language has both files" if nothing else "a language is missing"
    what += f"; there is no such file of {'predictions' if predictions in files[0].parents else 'labels'}{more}"
    raise PredictionError(what, where=str(files[0]), hint="; ".join(hints))


def _score_task(task: Task, predictions: Path, gold: Path, missing: dict[str, Path], aligned: bool) -> TaskScores:
    by_metric: dict[str, dict[str, float]] = {}
    for language in task.languages:
        if language in missing:
            continue
        read = _form(task).read
        if aligned and read is _read_numbers:
            read = functools.partial(_read_numbers, aligned=True)
        golds, answers = read(_file(gold, task, language), _file(predictions, task, language))
        for metric, value in task.metric(golds, answers, language).items():
            by_metric.setdefault(metric, {})[language] = value
    metrics = {name: MetricScores(xtreme.mean(values.values()), values) for name, values in by_metric.items()}
    averages = {name: scores.average for name, scores in metrics.items()}
    score = xtreme.task_score(averages, task.main_score) if metrics else None
    return TaskScores(score, tuple(missing), metrics)


# The forms of files: each reads a gold file and a prediction file into two sequences that the task's metric compares.


def _read_labels(gold: Path, predictions: Path) -> tuple[list[str], list[str]]:
    labels, answers = _labels(gold, GoldError), _labels(predictions, PredictionError)
    _check_placeholder(labels, gold)
    _check_count(len(answers), len(labels), "lines", predictions, gold)
    return labels, answers


def _read_numbers(gold: Path, predictions: Path, aligned: bool = False) -> tuple[list[int], list[int]]:
    lines, answers = _numbers(gold, GoldError), _numbers(predictions, PredictionError)
    _check_placeholder(lines, gold)
    if not aligned:
        refuse_counting(lines, str(gold), _IF_ALIGNED)
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
    found = _json(predictions, PredictionError)
    if not isinstance(found, dict):
        raise PredictionError("an object of question ids and answers is needed", where=str(predictions))
    for question, answer in found.items():
        if not isinstance(answer, str):
            raise PredictionError(f"the answer to {question!r} is {answer!r}, not a text", where=str(predictions))
    return [answers for _, answers in questions], [found.get(question) for question, _ in questions]


@dataclass(frozen=True)
class _Form:
    suffix: str
    read: Callable[[Path, Path], tuple[Sequence[Any], Sequence[Any]]]


_FORMS = {
    "classification": _Form("tsv", _read_labels),
    "tagging": _Form("tsv", _read_tags),
    "span": _Form("json", _read_answers),
    "mined": _Form("tsv", _read_pairs),
    "nearest": _Form("tsv", _read_numbers),
}
"""By the name of the task's shape, or by its mode where it has modes."""


def _form(task: Task) -> _Form:
    return _FORMS[getattr(task.type, "mode", task.type.name)]


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
        with path.open(encoding="utf-8-sig") as file:
            return [line.strip() for line in file]
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
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as problem:
        raise error(f"not json: {problem.msg} (column {problem.colno})", where=f"{path}:{problem.lineno}") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"the file cannot be read as UTF-8 text: {problem}", where=str(path)) from problem


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
