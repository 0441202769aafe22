"""The verb ``export``: what leaves the store. It parses, calls the library and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xstilts.cli import completion
from xstilts.cli.options import JsonTo, TaskFile, check_options, emit, out

if TYPE_CHECKING:
    from xstilts.exporting.card_files import Exported
    from xstilts.exporting.xtreme_folder import Submission

Form = Literal["transformers", "sentence-transformers", "xtreme"]
What = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|STUDY",
        help="A model folder or a key of the store; with --as xtreme a study of the store.",
        autocompletion=completion.stored_studies,
    ),
]
OneModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="xtreme: a model of the study, where it has several.",
        autocompletion=completion.stored_models,
    ),
]
OneArm = Annotated[
    str | None,
    typer.Option(
        "--arm", help="xtreme: an arm of the study, where it has several.", autocompletion=completion.stored_arms
    ),
]


def export(
    what: What,
    to: Annotated[Path, typer.Option("--to", help="A new folder; it appears whole or not at all.")],
    form: Annotated[
        Form, typer.Option("--as", help="A Hugging Face folder, modules of that library, or an XTREME submission.")
    ] = "transformers",
    store: Annotated[Path, typer.Option("--store", envvar="XSTILTS_STORE", help="Where MODEL or STUDY is.")] = Path(
        "store"
    ),
    layer: Annotated[
        int | None,
        typer.Option(min=0, help="sentence-transformers: default: as calibrated in the store, else the last."),
    ] = None,
    pooling: Annotated[
        Literal["mean", "first"] | None, typer.Option(help="sentence-transformers: default: as --layer, else mean.")
    ] = None,
    model: OneModel = None,
    arm: OneArm = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="xtreme: a seed of the study, where it has several.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="xtreme: write what is there, and list what is missing.")
    ] = False,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """A model as a folder that others load, with its card; or a study's answers as an XTREME submission."""
    from xstilts import journey, tasks
    from xstilts.own_text.models import find_folder

    vectors = {"--layer": layer, "--pooling": pooling}
    answers = {"--model": model, "--arm": arm, "--seed": seed, "--partial": partial or None}
    check_options("--as", form, {"sentence-transformers": vectors, "xtreme": answers})
    for path in task_file or ():
        tasks.load_file(path)
    if form == "xtreme":
        from xstilts.exporting.xtreme_folder import export_xtreme

        with journey.open_store(store, must_exist=True) as opened:
            submission = export_xtreme(opened, what, to, model=model, arm=arm, seed=seed, partial=partial)
        emit(json_to, submission.as_json(), lambda: _show_submission(submission))
        return
    folder = find_folder(what, store)
    if form == "transformers":
        from xstilts.exporting.transformers_folder import export_transformers

        exported = export_transformers(folder, to)
    else:
        from xstilts.exporting.sentence_transformers_folder import export_sentence_transformers

        exported = export_sentence_transformers(folder, to, layer=layer, pooling=pooling)
    emit(json_to, exported.as_json(), lambda: _show_model(exported))


def _show_model(exported: Exported) -> None:
    size = sum(exported.files.values()) / 1e6
    out.print(f"{exported.folder}: {len(exported.files)} files, {size:,.1f} MB", markup=False, soft_wrap=True)
    for note in exported.notes:
        out.print(f"  {note}", markup=False, soft_wrap=True)


def _show_submission(submission: Submission) -> None:
    from xstilts.exporting.xtreme_folder import lacking_lines

    whose = f"{submission.model}, {submission.arm}, seed {submission.seed}"
    written = ", ".join(f"{task} {count}" for task, count in submission.files.items())
    out.print(f"{submission.folder}: {whose}: {written}", markup=False, soft_wrap=True)
    out.print("every file has the form that `xstilts score` reads", markup=False)
    for note in submission.notes:
        out.print(f"  {note}", markup=False, soft_wrap=True)
    for line in lacking_lines(submission.lacking):
        out.print(f"  missing: {line}", markup=False, soft_wrap=True)
