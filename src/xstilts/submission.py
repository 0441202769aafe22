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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts import tasks as registry
from xstilts.errors import PredictionError, nearest
from xstilts.metrics import xtreme
from xstilts.submission_files import file_of, form_of, read_numbers
from xstilts.tasks.task import Task


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


def _missing(task: Task, predictions: Path, gold: Path) -> dict[str, Path]:
    """The languages that cannot be scored, each with the first file it lacks."""
    found: dict[str, Path] = {}
    for language in task.languages:
        lacking = [p for p in (file_of(predictions, task, language), file_of(gold, task, language)) if not p.is_file()]
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
        read = form_of(task).read
        if aligned and read is read_numbers:
            read = functools.partial(read_numbers, aligned=True)
        golds, answers = read(file_of(gold, task, language), file_of(predictions, task, language))
        for metric, value in task.metric(golds, answers, language).items():
            by_metric.setdefault(metric, {})[language] = value
    metrics = {name: MetricScores(xtreme.mean(values.values()), values) for name, values in by_metric.items()}
    averages = {name: scores.average for name, scores in metrics.items()}
    score = xtreme.task_score(averages, task.main_score) if metrics else None
    return TaskScores(score, tuple(missing), metrics)
