"""The verbs ``predict`` and ``embed``: parse, call, print. Each imports what it needs, so that help comes at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from xstilts.cli.options import tell_random

if TYPE_CHECKING:
    from xstilts.own_text.outputs import Counts, Step
    from xstilts.own_text.reading import Stream
    from xstilts.task_types import TaskType

err = Console(stderr=True, highlight=False)

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model folder, the key of a training or of a number in the results, or OWNER/NAME of the hub.",
    ),
]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="A .txt, .tsv, .jsonl or .conll, or with .gz; '-' is standard input.")
]
StoreDir = Annotated[Path, typer.Option("--store", envvar="XSTILTS_STORE", help="Where MODEL is a key.")]
Format = Annotated[
    str | None, typer.Option("--format", help="Default: the suffix of FILE; for '-' told from its first line.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="A bad row becomes an error in the output; exit status 1 if there is any.")
]
MaxLength = Annotated[int | None, typer.Option(min=8, help="Sub-words of a sequence.")]
Precision = Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="auto: bf16 where the device has it.")]
Device = Annotated[str, typer.Option(help="cpu or cuda:N.")]
Streaming = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(help="Read all rows, then the weights a layer at a time; auto: where they do not fit into memory."),
]


def predict(
    model: ModelName,
    file: File,
    store: StoreDir = Path("store"),
    out: Annotated[Path | None, typer.Option(help="Write here, whole or not at all; default: print.")] = None,
    format: Format = None,
    skip_bad: SkipBad = False,
    max_length: MaxLength = None,
    precision: Precision = "auto",
    device: Device = "cpu",
    stream: Streaming = "auto",
    task_file: Annotated[
        list[Path] | None, typer.Option("--task-file", help="The task of your own that MODEL was trained on.")
    ] = None,
) -> None:
    """Run your own text through a trained head: one JSON line for each row, in order.

    A pair of texts, words to tag, a question and a context, or choices: whatever MODEL was trained on. Rows are columns of
    a .tsv, objects of a .jsonl, or lines of a .txt.
    """
    from xstilts.own_text import models, outputs
    from xstilts.own_text.reading import opened
    from xstilts.own_text.writing import check_place

    check_place(out)
    folder = models.find_folder(model, store)
    tell_random(folder)
    with opened(file) as (name, text):
        predictor = models.load_predictor(
            folder, task_files=task_file or (), max_length=max_length, precision=precision, device=device, stream=stream
        )
        step, whole = outputs.predictions(predictor, _told), _is_streamed(predictor.model)
        _stream(name, file, text, predictor.task_type, step, out, format, skip_bad, pairs=predictor.pairs, whole=whole)


def embed(
    model: ModelName,
    file: File,
    store: StoreDir = Path("store"),
    out: Annotated[
        Path | None, typer.Option(help="FILE.npy (float32, a row for each line) or FILE.jsonl; default: print.")
    ] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="0 is the embedding output; default: the last.")] = None,
    pooling: Annotated[Literal["mean", "first"], typer.Option(help="Over sub-words, special ones too.")] = "mean",
    format: Format = None,
    skip_bad: SkipBad = False,
    max_length: MaxLength = None,
    precision: Precision = "auto",
    device: Device = "cpu",
    stream: Streaming = "auto",
) -> None:
    """Vectors of your own text from any encoder: one for each line, in order, not normalised.

    Layers above --layer are not run.
    """
    from xstilts.own_text import models, outputs
    from xstilts.own_text.reading import opened
    from xstilts.own_text.writing import check_place

    check_place(out)
    folder = models.find_folder(model, store)
    tell_random(folder)
    with opened(file) as (name, text):
        loaded, encoding = models.load_embedder(
            folder, max_length=max_length, precision=precision, device=device, stream=stream
        )
        layer = models.check_layer(loaded, layer)
        step, whole = outputs.vectors(loaded, encoding, layer=layer, pooling=pooling, told=_told), _is_streamed(loaded)
        _stream(name, file, text, None, step, out, format, skip_bad, width=loaded.hidden_size, whole=whole)


def _is_streamed(model: object) -> bool:
    from xstilts.models.streamed_model import StreamedModel

    return isinstance(model, StreamedModel)


def _told(done: float, total: float, unit: str) -> None:
    """A line for each layer that all rows have passed."""
    if done == int(done):
        err.print(f"{done:.0f} of {total:.0f} {unit}", markup=False)


def _stream(
    name: str,
    file: str,
    stream: Stream,
    task_type: TaskType | None,
    step: Step,
    out: Path | None,
    format: str | None,
    skip_bad: bool,
    *,
    pairs: bool = False,
    width: int | None = None,
    whole: bool = False,
) -> None:
    """Rows in, outputs out, and what to know about them at the end on standard error."""
    from xstilts.own_text.outputs import Counts, outputs
    from xstilts.own_text.reading import CHUNK_ROWS, format_of, lines, read_rows
    from xstilts.own_text.rows import form_for
    from xstilts.own_text.writing import writer

    found, stream = format_of(file, format, stream, name)
    form = form_for(task_type, found, where=name, pairs=pairs)
    counts = Counts()
    typed = 1 if stream.isatty() else CHUNK_ROWS  # who types a row waits for its answer
    rows = read_rows(lines(stream), form, name)
    made = outputs(rows, step, counts, name=name, skip_bad=skip_bad, chunk_rows=typed, whole=whole)
    with writer(out, width) as write, _progress(counts, shown=out is not None or not sys.stdout.isatty()) as tell:
        for chunk in made:
            write(chunk)
            tell()
    if counts.cut:
        err.print(f"{counts.cut:,} of {counts.rows:,} rows were too long and cut: --max-length", markup=False)
    if counts.bad:
        err.print(f"{counts.bad:,} of {counts.rows:,} rows are bad: see their errors", markup=False)
        raise typer.Exit(1)


@contextmanager
def _progress(counts: Counts, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A count of rows on standard error, only where somebody watches and the outputs go elsewhere."""
    if not (shown and err.is_terminal):
        yield lambda: None
        return
    with err.status("0 rows") as status:
        yield lambda: status.update(f"{counts.rows:,} rows")
