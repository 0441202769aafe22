"""The verb ``translate``: parse, call, print."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xstilts.cli import completion
from xstilts.cli.options import DataDir, JsonTo, emit, err, out

if TYPE_CHECKING:
    from xstilts.report.grid import Grid
    from xstilts.translation.engine import Engine
    from xstilts.translation.job import Progress

LINE_SECONDS = 30.0


def translate(
    task: Annotated[
        str,
        typer.Argument(help="An intermediate or target task (xstilts tasks).", autocompletion=completion.task_names),
    ],
    target: Annotated[str, typer.Option("--to", help="Language of the new rows: es, de, ...")],
    engine: Annotated[
        str,
        typer.Option(
            help="apertium, hf:FOLDER (a seq2seq model), or command:'PROGRAM {from} {to}' (lines in, lines out)."
        ),
    ] = "apertium",
    source: Annotated[str, typer.Option("--from", help="Language of the rows that are translated.")] = "en",
    data: DataDir = Path("data"),
    into: Annotated[
        Path | None, typer.Option("--out", help="A data folder to write into; default: the one with the rows.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="At most so many; those that limits.train_rows takes.")
    ] = None,
    split: Annotated[Literal["train", "dev"], typer.Option(help="dev: of intermediate tasks only.")] = "train",
    max_untranslated: Annotated[
        float, typer.Option(min=0, max=1, help="Drop a row with a larger share of untranslated words.")
    ] = 0.5,
    batch: Annotated[int, typer.Option(min=1, help="Texts of one process; what a kill loses at most.")] = 1000,
    device: Annotated[str, typer.Option(help="Where an hf: model runs.")] = "cpu",
    json_to: JsonTo = None,
) -> None:
    """Rows of a task in another language, in the published format. Interrupt it at any time: the same command goes on."""
    from xstilts.translation.job import Job
    from xstilts.translation.job import translate as do

    job = Job(task, data, into or data, source, target, split, rows, max_untranslated)
    place = job.place  # a task that cannot be translated is refused before an engine is loaded
    with _shown() as progress:
        record = do(job, _engine(engine, source, target, batch, device), progress)
    emit(json_to, record, lambda: _print(record, place))


def _engine(name: str, source: str, target: str, batch: int, device: str) -> Engine:
    """The engine that people name."""
    from xstilts.errors import MissingNameError
    from xstilts.translation.apertium import Apertium
    from xstilts.translation.engine import Command

    kind, given, rest = name.partition(":")
    if kind == "apertium" and not given:
        return Apertium(source, target, batch)
    if kind == "command" and given:
        return Command(rest, source, target, batch)
    if kind == "hf" and given:
        from xstilts.seq2seq import Seq2Seq

        return Seq2Seq(Path(rest), source, target, batch, device)
    raise MissingNameError("engine", name, ("apertium", "command:PROGRAM", "hf:FOLDER"), where="--engine")


@contextmanager
def _shown() -> Iterator[Progress]:
    """A bar on a terminal, a line now and then elsewhere."""
    from rich.progress import Progress as Bar

    from xstilts.graph.progress import remaining

    if err.is_terminal and not err.is_dumb_terminal:
        with Bar(console=err, transient=True) as bar:
            row = bar.add_task("texts", total=None)
            yield lambda done, total: bar.update(row, completed=done, total=total)
        return
    began, first, said = time.monotonic(), -1, 0.0

    def line(done: int, total: int) -> None:
        nonlocal first, said
        first, seconds = done if first < 0 else first, time.monotonic() - began
        if seconds - said >= LINE_SECONDS:
            said = seconds
            left = seconds * (total - done) / (done - first) if done > first else None
            err.print(f"{done:,}/{total:,} texts{remaining(left)}", highlight=False)

    yield line


def _print(record: dict[str, Any], place: Path) -> None:
    from xstilts.report.grid import print_grid

    print_grid(_grid(record), out)
    out.print(f"{place}\n{place.name}.translation.json beside it says how it was made.", markup=False, soft_wrap=True)


def _grid(record: dict[str, Any]) -> Grid:
    """What became of the rows."""
    from xstilts.report.grid import Grid, percent
    from xstilts.translation.texts import REASONS

    rows, untranslated = record["rows"], record["untranslated"]
    lines = [("read", rows["read"], ""), ("written", rows["written"], "")]
    lines += [
        (f"dropped: {name}", rows["dropped"][name], said) for name, said in REASONS.items() if name in rows["dropped"]
    ]
    share = untranslated["untranslated"] / max(1, untranslated["words"])
    engine = record["engine"]
    notes = [
        f"{engine['name']} {engine['version']}",
        f"{percent(share)} of {untranslated['words']:,} words written are untranslated ({untranslated['counted']}).",
    ]
    if spans := record.get("spans"):
        found = ", ".join(f"{name} {count:,}" for name, count in spans["answers"].items())
        notes.append(f"Answers: {spans['rule']}: {found or 'none'}.")
    return Grid(
        f"{record['task']} {record['split']}, {record['from']} to {record['to']}",
        ("rows", "count", "meaning"),
        tuple((name, f"{count:,}", said) for name, count, said in lines),
        tuple(notes),
        frozenset({"meaning"}),
    )
