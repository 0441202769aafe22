"""The verbs that look something up or score it: tasks, models, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.options import JsonTo, TaskFile, emit, out


def tasks(task_file: TaskFile = None, json_to: JsonTo = None) -> None:
    """The target and intermediate tasks: shape, languages, metric, defaults with their marks, licence."""
    from xstilts import catalogue
    from xstilts.report import show

    described = catalogue.describe_tasks(task_file or ())
    emit(json_to, described, lambda: show.show_tasks(described, out))


def models(
    folders: Annotated[list[Path] | None, typer.Argument(help="Model folders to look into.")] = None,
    json_to: JsonTo = None,
) -> None:
    """The families with verified packed execution and export; with FOLDERS, what each of these is."""
    from xstilts import catalogue
    from xstilts.report import show

    described = catalogue.describe_models(folders or ())
    emit(json_to, described, lambda: show.show_models(described, out))


def score(
    predictions: Annotated[
        Path, typer.Option(help="An XTREME submission: nine sub-folders with test-LL.tsv or .json.")
    ],
    gold: Annotated[Path, typer.Option(help="The gold labels in the same layout.")],
    partial: Annotated[bool, typer.Option("--partial", help="Score the languages that are there.")] = False,
    aligned_tatoeba: Annotated[
        bool,
        typer.Option(
            "--aligned-tatoeba", help="Tatoeba's English side is in aligned order: the gold 0, 1, 2 ... is right."
        ),
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Official scores of anybody's XTREME submission, to the last digit."""
    from xstilts.report import show
    from xstilts.submission import score_submission

    scores = score_submission(predictions, gold, partial=partial, aligned_tatoeba=aligned_tatoeba).as_json()
    emit(json_to, scores, lambda: show.show_scores(scores, out))
