"""The example bootstrap of a study's scores: what each row gave is kept by the score nodes, and drawn again here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from xstilts.errors import MissingNameError, StatisticsError, StoreError
from xstilts.metrics import xtreme
from xstilts.metrics.additive import ROWS, Additive, Contributions
from xstilts.metrics.kept import read_contributions
from xstilts.report.comparison.scores import Place, Scores
from xstilts.statistics.resampling import resampled_sums
from xstilts.statistics.samples import Floats
from xstilts.tasks import load
from xstilts.tasks.task import Task

NEAR = 1e-6
"""Points by which the score made of kept rows may differ from the one beside them: rounding."""


def drawn_scores(
    folder: Callable[[str], Path], scores: Scores, rounds: int
) -> tuple[dict[Place, dict[str, Floats]], tuple[str, ...]]:
    """Every score, computed again from ``rounds`` draws of its rows; and why some have none.

    The same rows are drawn for all arms and seeds; where a task's languages are translations of the same rows, for all of
    them too. Rows are what the metric says: examples, questions, sentences, or foreign sentences of mined or gold pairs.

    Args:
        folder: where the node with a key lies.
        scores: of one model and split.
        rounds: draws.

    Raises:
        StoreError: the kept rows do not give the score that was recorded with them.
        StatisticsError: two arms were scored on different rows.
    """
    found: dict[Place, dict[str, Floats]] = {}
    lacking: dict[str, None] = {}  # a set that keeps its order
    for target, languages in scores.languages.items():
        task, problem = _task(target)
        if task is None:
            lacking[problem] = None
            continue
        for language in languages:
            places = [at for at, of in scores.values.items() if at[1] == target and language in of]
            files = {at: folder(scores.keys[at]) / "rows" / f"{language}.npz" for at in places}
            there = {at: file for at, file in files.items() if file.is_file()}
            if len(there) < len(files):
                why = "scored before rows were kept; run the study again: only its scores are made anew"
                lacking[f"{target}: {why}"] = None
            recorded = {at: scores.values[at][language] for at in there}
            for at, drawn in _drawn(task, language, there, recorded, rounds).items():
                found.setdefault(at, {})[language] = drawn
    return found, tuple(lacking)


def _task(target: str) -> tuple[Task | None, str]:
    try:
        task = load(target)
    except MissingNameError:
        return None, f"{target}: a task from outside, whose file is not given (--task-file)"
    if not isinstance(task.metric, Additive):
        return None, f"{target}: its metric is no function of sums over rows"
    return task, ""


def _drawn(
    task: Task, language: str, files: Mapping[Place, Path], recorded: Mapping[Place, float], rounds: int
) -> dict[Place, Floats]:
    """Arm, target and seed -> the score of each draw."""
    if not files:
        return {}
    one_each = {file: at for at, file in files.items()}  # seeds that share a run share its file
    rows = {file: read_contributions(file) for file in one_each}
    for file, at in one_each.items():
        again = _main_score(task, rows[file].sums())
        if abs(again - recorded[at]) > NEAR:
            raise StoreError(
                f"the rows kept give {again:.6f}, the score beside them is {recorded[at]:.6f}: both must be of one metric",
                where=str(file),
            )
    columns = list(next(iter(rows.values())).values)
    aligned = _aligned(list(rows.values()), columns, f"{task.name} {language}")
    sums = resampled_sums(aligned, rounds, task.name if task.parallel else f"{task.name} {language}")
    by_file = {}
    for number, file in enumerate(rows):
        own = sums[:, number * len(columns) : (number + 1) * len(columns)]
        by_file[file] = _main_score(task, {ROWS: len(aligned), **dict(zip(columns, own.T, strict=True))})
    return {at: by_file[file] for at, file in files.items()}


def _main_score(task: Task, sums: Mapping[str, Any]) -> Any:
    """A number, or one for each draw, as the sums are."""
    scores = cast(Additive, task.metric).scores(sums)  # ``_task`` has looked
    return xtreme.mean(scores[name] for name in task.main_score)


def _aligned(found: Sequence[Contributions], columns: Sequence[str], where: str) -> Floats:
    """Rows x (systems x columns). Rows with names are matched by them, and one that a system lacks gives it zeros."""
    if found[0].units is None:
        counts = {len(of) for of in found}
        if len(counts) > 1:
            raise StatisticsError(f"scored on {sorted(counts)} rows: only equal rows can be paired", where=where)
        return np.array([of.values[column] for of in found for column in columns]).T
    units = sorted({unit for of in found for unit in of.units or ()})
    place = {unit: row for row, unit in enumerate(units)}
    aligned = np.zeros((len(units), len(found) * len(columns)))
    for number, of in enumerate(found):
        rows = [place[unit] for unit in of.units or ()]
        for offset, column in enumerate(columns):
            aligned[rows, number * len(columns) + offset] = of.values[column]
    return aligned
