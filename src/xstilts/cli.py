"""The command line: verbs only. Each parses, calls the library and prints. No torch is imported here.

Exit status: 0 everything asked for was done; 1 some of it failed; 2 bad input; 130 or 143 interrupted (run again to go on).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import xstilts
from xstilts import catalogue, journey
from xstilts.errors import XstiltsError
from xstilts.graph.disk import aside, guarded, write_synced
from xstilts.graph.progress import Display
from xstilts.graph.run import Interrupted
from xstilts.graph.run import why as graph_why
from xstilts.report import show

app = typer.Typer(add_completion=True, no_args_is_help=False, pretty_exceptions_enable=False, rich_markup_mode=None)
data_app = typer.Typer(help="Look at a data folder.", no_args_is_help=True)
app.add_typer(data_app, name="data")
out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)

StudyFile = Annotated[Path, typer.Argument(help="A study file (YAML), or the name of a shipped recipe.")]
DataDir = Annotated[Path, typer.Option("--data", envvar="XSTILTS_DATA", help="Folder with the published files.")]
StoreDir = Annotated[Path, typer.Option("--store", envvar="XSTILTS_STORE", help="Folder with finished results.")]
ModelAt = Annotated[list[str] | None, typer.Option("--model", help="NAME=FOLDER: where a model of the study lies.")]


def _writable(json_to: str | None) -> str | None:
    """Asked before any work: a study's hours must not end at a folder that is not there."""
    if json_to is None or json_to == "-":
        return json_to
    path = Path(json_to)
    if path.is_dir() or not path.parent.is_dir():
        problem = "this is a folder, not a file" if path.is_dir() else "the folder of this file is not there"
        raise XstiltsError(f"cannot write JSON: {problem}", where=f"--json {json_to}")
    if not os.access(path if path.exists() and not path.is_file() else path.parent, os.W_OK):
        raise XstiltsError("cannot write JSON: no permission to write here", where=f"--json {json_to}")
    return json_to


JsonTo = Annotated[
    str | None,
    typer.Option("--json", callback=_writable, help="Write JSON to this file, or '-' for standard output."),
]
Device = Annotated[list[str] | None, typer.Option("--device", help="cpu or cuda:N; repeat for several workers.")]
TaskFile = Annotated[
    list[Path] | None, typer.Option("--task-file", help="A task of your own: a Python file, run as code.")
]


@app.callback(invoke_without_command=True)
def greet(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Which English intermediate task, on which model, buys how much zero-shot quality in 40 languages?"""
    if version:
        out.print(f"xstilts {xstilts.__version__}")
    elif context.invoked_subcommand is None:
        out.print(f"[bold]xstilts {xstilts.__version__}[/bold]: English intermediate tasks, zero-shot in 40 languages.")
        out.print("\n  xstilts tasks                       the nine target and nine intermediate tasks")
        out.print("  xstilts data check --data DIR       what a data folder holds, and where to get the rest")
        out.print("  xstilts plan STUDY --data DIR       what a study would compute")
        out.print("  xstilts run STUDY --data DIR        compute it; the same command goes on where it stopped")
        out.print("  xstilts score --predictions DIR --gold DIR   official scores of an XTREME submission")
        out.print("\n  xstilts VERB --help                 more about one of them")


@app.command()
def plan(
    study: StudyFile,
    data: DataDir = Path("data"),
    store: StoreDir = Path("store"),
    model: ModelAt = None,
    device: Device = None,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Show what a study would compute, without computing it."""
    with journey.open_store(store) as opened:
        planned = journey.plan_study(study, data, opened, model or (), device or ("cpu",), task_file or ())
        summary = journey.plan_summary(planned, opened)
    _emit(json_to, summary, lambda: show.show_plan(summary, out))


@app.command()
def run(
    study: StudyFile,
    data: DataDir = Path("data"),
    store: StoreDir = Path("store"),
    model: ModelAt = None,
    device: Device = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each worker; default: shared evenly.")] = None,
    micro_batch_tokens: Annotated[int, typer.Option(help="Sub-words in one forward pass.")] = 4096,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Compute what is missing of a study and print its table. Interrupt it at any time: the same command goes on."""
    devices, task_files = device or ["cpu"], task_file or []
    with journey.open_store(store) as opened:
        planned = journey.plan_study(study, data, opened, model or (), devices, task_files)
        slots = journey.resources(planned, devices, threads, micro_batch_tokens, task_files)
        with Display(err, len(planned.graph.nodes)) as display:
            ended = journey.run_study(planned, opened, slots, display)
        tables = journey.tables(opened, planned.study.name)
    if json_to is None:
        show.show_tables(tables, out)
    summary = journey.run_summary(planned, ended)
    _emit(json_to, summary, lambda: show.show_run(summary, str(store), out))
    if not ended.complete:
        raise typer.Exit(1)


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="One study; default: all of the store.")] = None,
    store: StoreDir = Path("store"),
    json_to: JsonTo = None,
) -> None:
    """What is done, running, waiting and failed, for each study of a store."""
    with journey.open_store(store, must_exist=True) as opened:
        report = journey.status_report(opened, study)
    _emit(json_to, report, lambda: show.show_status(report, out))


@app.command()
def why(
    key: Annotated[str, typer.Argument(help="A node's key, or the first digits of it.")],
    store: StoreDir = Path("store"),
    json_to: JsonTo = None,
) -> None:
    """Everything a result depends on: specs, parents, versions, seconds, files; or why it failed."""
    with journey.open_store(store, must_exist=True) as opened:
        found = graph_why(opened, key)
    _emit(json_to, found, lambda: show.show_why(found, out))


@app.command()
def results(
    study: Annotated[str | None, typer.Argument(help="One study; default: all of the store.")] = None,
    store: StoreDir = Path("store"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    json_to: JsonTo = None,
) -> None:
    """The zero-shot tables, or with --json one row per number."""
    with journey.open_store(store, must_exist=True) as opened:
        if json_to is not None:
            _emit(json_to, journey.rows(opened, study), lambda: None)
        else:
            show.show_tables(journey.tables(opened, study), out, as_markdown=markdown)


@app.command()
def tasks(task_file: TaskFile = None, json_to: JsonTo = None) -> None:
    """The target and intermediate tasks: shape, languages, metric, defaults with their marks, licence."""
    described = catalogue.describe_tasks(task_file or ())
    _emit(json_to, described, lambda: show.show_tasks(described, out))


@app.command()
def models(
    folders: Annotated[list[Path] | None, typer.Argument(help="Model folders to look into.")] = None,
    json_to: JsonTo = None,
) -> None:
    """The families with verified packed execution and export; with FOLDERS, what each of them is."""
    described = catalogue.describe_models(folders or ())
    _emit(json_to, described, lambda: show.show_models(described, out))


@data_app.command("check")
def data_check(
    data: DataDir = Path("data"),
    study: Annotated[
        Path | None, typer.Option("--study", help="Check the files this study's data.files points at, too.")
    ] = None,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Rows found against published counts, licences, bad rows, overlaps, and how to get what is missing."""
    from xstilts.checking import check_folder, render

    known = catalogue.known_tasks(task_file or ())
    report = check_folder(data, known, journey.read_stand_ins(study) if study else None)
    _emit(json_to, report.as_json(), lambda: render(report, out))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
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
    from xstilts.submission import score_submission

    scores = score_submission(predictions, gold, partial=partial, aligned_tatoeba=aligned_tatoeba).as_json()
    _emit(json_to, scores, lambda: show.show_scores(scores, out))


@app.command()
def clean(
    store: StoreDir = Path("store"),
    node: Annotated[
        str | None, typer.Option(help="Remove this node (key or prefix) and all that follows from it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it only say what would be removed.")] = False,
    json_to: JsonTo = None,
) -> None:
    """Remove dead work folders, old failures and nodes that no study of the store needs."""
    with journey.open_store(store, must_exist=True) as opened:
        report = journey.clean_store(opened, node, yes)
    _emit(json_to, report, lambda: show.show_clean(report, yes, out))


def _emit(json_to: str | None, value: Any, draw: Callable[[], None]) -> None:
    """JSON to a file or standard output when asked for, else what people read."""
    if json_to is None:
        draw()
    elif json_to == "-":
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    else:
        _write(Path(json_to), json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    """Whole or not at all: written aside and renamed; a pipe or a device is written straight."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()  # a link stays one
    fresh = aside(path)
    try:
        with guarded(path):
            write_synced(fresh, text)
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def main() -> None:
    """Run the command line; what users can mend ends in one clear message and exit status 2."""
    try:
        # Without standalone mode click returns the status of an Exit instead of raising it.
        ended = app(standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except Interrupted as stopped:
        _fail(stopped, stopped.exit_code)
    except XstiltsError as error:
        _fail(error, 2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if type(error).__module__.startswith(("typer", "click")) and hasattr(error, "format_message"):
            err.print(f"error: {error.format_message()}", markup=False)
            sys.exit(2)
        raise


def _fail(error: XstiltsError, exit_status: int) -> None:
    err.print(f"error: {error}", markup=False, soft_wrap=True)
    sys.exit(exit_status)
