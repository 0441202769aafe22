"""What the verbs share: their options, the two consoles, and how a verb says what it found."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from xstilts.cli import completion
from xstilts.errors import StudyError, XstiltsError

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)

StudyFile = Annotated[
    Path,
    typer.Argument(help="A study file (YAML), or the name of a shipped recipe.", autocompletion=completion.study_files),
]
StoredStudy = Annotated[
    str | None,
    typer.Argument(help="One study; default: all of the store.", autocompletion=completion.stored_studies),
]
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
Device = Annotated[
    list[str] | None,
    typer.Option("--device", help="cpu or cuda:N; repeat for several workers. cuda:0+1: one model on both."),
]


def whole_numbers(seeds: str | None) -> list[int] | None:
    """``1,2,3`` of ``--seeds``."""
    try:
        return None if seeds is None else [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise StudyError(f"{seeds!r} is not a list of whole numbers such as 1,2,3", where="--seeds") from None


def folders_by_name(given: list[str] | None) -> dict[str, Path]:
    """``NAME=FOLDER`` of every ``--model``.

    Raises:
        StudyError: one is not that.
    """
    found = {}
    for text in given or ():
        name, equals, folder = text.partition("=")
        if not equals:
            raise StudyError(f"{text!r} is not NAME=FOLDER", where="--model")
        found[name] = Path(folder)
    return found


Seeds = Annotated[
    str | None, typer.Option("--seeds", help="Other seeds than the study's: 1,2,3. What is done is not done again.")
]
TaskFile = Annotated[
    list[Path] | None, typer.Option("--task-file", help="A task of your own: a Python file, run as code.")
]

MemoryCheck = Annotated[
    bool,
    typer.Option(
        "--memory-check/--no-memory-check", help="Refuse a node that would not fit before it runs; changes no result."
    ),
]
Track = Annotated[
    str | None, typer.Option(help="Also send losses to a tracker: trackio. The store's logs/ has them anyway.")
]

Stream = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(
        help="Leave weights in their files and read a layer at a time; auto: where they do not fit into memory."
    ),
]

On = Annotated[
    Literal["here", "ray", "slurm"],
    typer.Option(help="Where nodes run: on this machine, on those of a Ray cluster, or in jobs of Slurm."),
]
Address = Annotated[
    str | None,
    typer.Option(help="With --on ray: HOST:PORT of its head; default: the cluster this machine is part of."),
]
Jobs = Annotated[
    int, typer.Option(min=0, help="With --on slurm: how many jobs there shall be; 0 only follows those that are there.")
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="With --on slurm: NAME=VALUE for sbatch; partition=gpu, time=240 (minutes) ..."),
]

Verify = Annotated[
    Literal["digests", "sizes"],
    typer.Option(
        help="How closely finished nodes are looked at before they are used: every byte, or each file's size."
    ),
]


def check_options(option: str, chosen: str, belonging: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse options that belong to another choice of ``option`` than the one that was made: they would say nothing."""
    for choice, given in belonging.items():
        said = [name for name, value in given.items() if value is not None]
        if said and choice != chosen:
            what, hint = f"{said[0]} says nothing of {option} {chosen}", f"it belongs to {option} {choice}"
            raise XstiltsError(what, where=said[0], hint=hint)


def tell_random(folder: Path) -> None:
    """Say on standard error that a model folder holds random weights, if it does."""
    from xstilts.model_source import drawn_weights

    if how := drawn_weights(folder):
        err.print(f"RANDOM WEIGHTS ({how}): {folder} was not pre-trained; its answers mean nothing", markup=False)


def emit(json_to: str | None, value: Any, draw: Callable[[], None]) -> None:
    """JSON to a file or standard output when asked for, else what people read."""
    if json_to is None:
        draw()
    elif json_to == "-":
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    else:
        write_text(Path(json_to), json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Whole or not at all: written aside and renamed; a pipe or a device is written straight."""
    from xstilts.graph.disk import aside, guarded, write_synced

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
