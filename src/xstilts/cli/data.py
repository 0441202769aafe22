"""The verbs around a data folder: check, fetch, pocket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.options import DataDir, JsonTo, StudyFile, TaskFile, emit, err, out

app = typer.Typer(help="Look at a data folder, or bring what a study lacks.", no_args_is_help=True)


@app.command("check")
def data_check(
    data: DataDir = Path("data"),
    study: Annotated[
        Path | None, typer.Option("--study", help="Check the files this study's data.files points at, too.")
    ] = None,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Rows found against published counts, licences, bad rows, overlaps, and how to get what is missing."""
    from xstilts import catalogue, journey
    from xstilts.checking import check_folder, render

    known = catalogue.known_tasks(task_file or ())
    report = check_folder(data, known, journey.read_stand_ins(study) if study else None)
    emit(json_to, report.as_json(), lambda: render(report, out))
    if not report.ok:
        raise typer.Exit(1)


@app.command("fetch")
def data_fetch(
    study: StudyFile,
    data: DataDir = Path("data"),
    update: Annotated[bool, typer.Option("--update", help="Take the newest commits, and bring rows anew.")] = False,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Bring the rows and models that a study lacks from the Hugging Face hub; then it runs without a network."""
    from xstilts import journey
    from xstilts.hub.fetch import summary

    def say(text: str) -> None:
        err.print(text, markup=False, soft_wrap=True)

    done = journey.fetch_study(study, data, say, update=update, task_files=task_file or ())
    emit(json_to, done.as_json(), lambda: out.print("\n".join(summary(done)), markup=False, soft_wrap=True))
    if not done.complete:
        raise typer.Exit(1)


@app.command("pocket")
def data_pocket(folder: Path, seed: Annotated[int, typer.Option(help="Another seed, another world.")] = 1) -> None:
    """Make the pocket world: constructed languages with exact gold for every task. Seconds, no download."""
    from xstilts.pocket import World, make_world, summary

    make_world(folder, world := World(seed=seed))
    out.print(summary(folder, world), markup=False, soft_wrap=True)
