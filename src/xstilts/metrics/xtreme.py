"""XTREME's averages: over languages, then over a task's main metrics, then over tasks (FACTS 2.3).

The overall score is the plain mean of the nine tasks, not of the four groups, and only exists when all nine do. What
counts as all is an argument everywhere: the tasks and languages are declared in ``xstilts.tasks``.

Beside it stand the averages that say what the headline hides: without the source language, and the transfer gap. All
scores are 0..100; ``None`` means that something the average needs is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def mean(values: Iterable[float]) -> float:
    """Plain mean, added from left to right as XTREME's scorer does; no values raise ``ValueError``."""
    total, count = 0.0, 0
    for value in values:
        # Not `sum`: it rounds differently from Python 3.12 on.
        total, count = total + value, count + 1
    if count == 0:
        raise ValueError("the mean of nothing is not defined")
    return total / count


def mean_of_all(scores: Mapping[str, float | None], names: Sequence[str]) -> float | None:
    """The mean over ``names`` (languages, or tasks), or ``None`` if any of them has no score or there are none."""
    values = [scores.get(name) for name in names]
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def task_score(averages: Mapping[str, float], main_score: Sequence[str]) -> float:
    """A task's number from each metric's average over languages: (EM + F1) / 2 for question answering."""
    return mean(averages[metric] for metric in main_score)


def overall(scores: Mapping[str, float | None], tasks: Sequence[str]) -> float | None:
    """The mean over ``tasks``; ``None`` unless all are there."""
    return mean_of_all(scores, tasks)


def group_scores(scores: Mapping[str, float | None], groups: Mapping[str, Sequence[str]]) -> dict[str, float | None]:
    """For each group the mean over its tasks; ``None`` unless all of them are there."""
    return {group: mean_of_all(scores, tasks) for group, tasks in groups.items()}


def without_source(
    languages: Mapping[str, float], names: Sequence[str], source: str = "en", *more: str
) -> float | None:
    """A task's mean over its zero-shot languages: ``names`` without those learned in; ``None`` unless all are there."""
    return mean_of_all(languages, [name for name in names if name not in (source, *more)])


def transfer_gap(
    languages: Mapping[str, float], names: Sequence[str], source: str = "en", seen: Sequence[str] = ()
) -> float | None:
    """The source language's score minus the mean over the others that are not ``seen`` in training either.

    ``None`` if a language is missing or the task has no test in the source language (retrieval).
    """
    others = without_source(languages, names, source, *seen)
    if source not in names or source not in languages or others is None:
        return None
    return languages[source] - others
