"""The verb ``bench``: one model on one target's rows, measured in fresh processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xstilts.cli import completion
from xstilts.cli.options import DataDir, JsonTo, StoreDir, TaskFile, emit, err, out, tell_random
from xstilts.cli.own_text import Device as OneDevice
from xstilts.cli.own_text import MaxLength, ModelName, Precision
from xstilts.errors import StudyError

if TYPE_CHECKING:
    from xstilts.tasks.task import Task

LINE_SECONDS = 60.0


Target = Annotated[
    str, typer.Option(help="The target task whose rows are answered.", autocompletion=completion.target_names)
]
Split = Annotated[Literal["dev", "test"], typer.Option(help="Of the target.")]
Languages = Annotated[str | None, typer.Option(help="a,b; default: all that have files.")]
Rows = Annotated[int, typer.Option(min=1, help="Of each language.")]
Runs = Annotated[int, typer.Option(min=1, help="Fresh processes.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="Of each scenario, at least.")]
P99 = Annotated[
    float | None, typer.Option(min=0.1, help="Also the largest server rate with p99 within this; takes minutes.")
]
Layer = Annotated[int | None, typer.Option(min=0, help="Retrieval: the layer that is read; default: the last.")]
Written = Annotated[
    str | None, typer.Option(help="Text-to-text: exactly so many sub-words are written for each row, as 1,8,32.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all cores.")]


def bench(
    model: ModelName,
    target: Target,
    data: DataDir = Path("data"),
    store: StoreDir = Path("store"),
    split: Split = "test",
    languages: Languages = None,
    rows: Rows = 32,
    runs: Runs = 3,
    seconds: Seconds = 3.0,
    p99_ms: P99 = None,
    layer: Layer = None,
    written: Written = None,
    max_length: MaxLength = None,
    precision: Precision = "auto",
    device: OneDevice = "cpu",
    threads: Threads = None,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Measure a model: throughput, latency and memory on real rows, language by language.

    MODEL answers from text, in processes of its own: offline (all rows at once) and single-stream (one row a query).
    """
    from xstilts import tasks
    from xstilts.benching import bench_folder
    from xstilts.own_text.models import find_folder
    from xstilts.report.grid import print_grid
    from xstilts.report.impact.one_model import model_grid

    on: dict[str, Any] = {"precision": precision, "device": device, "threads": threads}
    load: dict[str, Any] = {"split": split, "rows": rows, "runs": runs, "seconds": seconds}
    found = find_folder(model, store)
    if written is not None:
        idle = {"--layer": layer, "--p99-ms": p99_ms, "--max-length": max_length}
        if said := [option for option, value in idle.items() if value is not None]:
            raise StudyError("not asked of answers of forced lengths", where=f"{', '.join(said)} with --written")
        for path in task_file or ():
            tasks.load_file(path)
        return _writing(found, tasks.load(target), data, written, languages, load | on, json_to)
    tell_random(found)
    with _progress() as progress:
        measured, record = bench_folder(
            found,
            target,
            data,
            languages=_codes(languages),
            layer=layer,
            max_length=max_length,
            p99_ms=p99_ms,
            task_files=task_file or (),
            progress=progress,
            **on,
            **load,
        )
    return emit(json_to, record, lambda: print_grid(model_grid(measured), out))


def _codes(languages: str | None) -> list[str] | None:
    return None if languages is None else [code.strip() for code in languages.split(",") if code.strip()]


def _writing(
    found: Path,
    target: Task,
    data: Path,
    written: str,
    languages: str | None,
    asked: dict[str, Any],
    json_to: str | None,
) -> None:
    """A text-to-text model: what answers of given lengths cost, in one language."""
    from xstilts.bench.writing import Writing, measure_writing
    from xstilts.device import cores
    from xstilts.models.precision import resolve_precision
    from xstilts.report.grid import print_grid
    from xstilts.report.impact.writing import writing_grid

    lengths, codes = [length.strip() for length in written.split(",")], _codes(languages) or ["en"]
    if len(codes) != 1 or not all(length.isdigit() and int(length) for length in lengths):
        raise StudyError(f"--written {written} --languages {','.join(codes)}", hint="--written 1,8,32 --languages en")
    tell_random(found)
    at = {"precision": resolve_precision(asked["precision"], asked["device"]), "threads": asked["threads"] or cores()}
    wanted = Writing(written=tuple(sorted({*map(int, lengths)})), language=codes[0], **asked | at)
    with _progress() as progress:
        record = measure_writing(found, target, data, wanted, progress)
    emit(json_to, record, lambda: print_grid(writing_grid(record), out))


@contextmanager
def _progress() -> Iterator[Callable[..., None]]:
    """A bar with the time left on a terminal, a line a minute elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if err.is_terminal and not err.is_dumb_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("runs", total=None)
            yield lambda done, total, unit, **_: bar.update(task, completed=done, total=total)
        return
    told = time.monotonic()

    def line(done: float, total: float, unit: str, **_: object) -> None:
        nonlocal told
        if time.monotonic() - told >= LINE_SECONDS:
            told = time.monotonic()
            err.print(f"{done:g}/{total:g} {unit}")

    yield line
