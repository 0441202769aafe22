"""The verb that lists the named shapes and makes models of them with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli import completion
from xstilts.cli.options import JsonTo, emit, err, out
from xstilts.errors import XstiltsError


def shapes(
    name: Annotated[
        str | None,
        typer.Argument(help="A named shape; default: all are listed.", autocompletion=completion.shape_names),
    ] = None,
    random_weights: Annotated[
        Path | None,
        typer.Option("--random-weights", help="Write a model folder of this shape, its weights drawn, not learned."),
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A model folder whose tokenizer it gets.")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Other than the shape has.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 1,
    dtype: Annotated[str, typer.Option(help="Of the files: fp32 or bf16.")] = "fp32",
    json_to: JsonTo = None,
) -> None:
    """The named shapes, XLM-R base to XXL and mT5 small to XXL; with --random-weights a model of one, for plans and speed."""
    from xstilts import catalogue
    from xstilts.report import show

    if random_weights is None:
        described = catalogue.describe_shapes([name] if name else None, layers)
        emit(json_to, described, lambda: show.show_shapes(described, out))
        return
    if name is None:
        raise XstiltsError("which shape?", where="--random-weights", hint="xstilts shapes lists them")
    if dtype not in ("fp32", "bf16"):
        raise XstiltsError(f"{dtype!r} is not fp32 or bf16", where="--dtype")
    from xstilts.models.random_weights import write_random_model
    from xstilts.shapes import shape_config

    with err.status(f"writing {random_weights}"):
        config = shape_config(name, layers)
        written = write_random_model(
            random_weights,
            config,
            seed,
            dtype="bf16" if dtype == "bf16" else "fp32",
            tokenizer=tokenizer,
        )
    told = {"folder": str(random_weights), "shape": name, "seed": seed, "dtype": dtype, **written}
    line = f"{random_weights}: {written['parameters']:,} random parameters, {written['bytes'] / 2**30:.1f} GiB"
    emit(json_to, told, lambda: out.print(line, markup=False))
