"""The verbs that read what was measured: impact and choose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli import completion
from xstilts.cli.options import JsonTo, StoreDir, StoredStudy, emit, err, out


def impact(
    study: StoredStudy = None,
    store: StoreDir = Path("store"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page as Markdown, without figures.")] = False,
    page: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write the page to FILE.md and its figures to the folder FILE beside it."),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """What intermediate training does to throughput and latency: speed beside score, with intervals and verdicts."""
    from xstilts import journey
    from xstilts.report.impact import page as pages
    from xstilts.report.impact.answers import impact as answered
    from xstilts.report.impact.plain import plain

    with journey.open_store(store, must_exist=True) as opened:
        found = answered(opened, study)
    if page is not None:
        written = pages.write_page(found, page)
        err.print(f"{page} and {len(written) - 1} figures", markup=False, soft_wrap=True)
    if json_to is not None:
        emit(json_to, plain(found), lambda: None)
    if markdown and json_to != "-":
        out.out(pages.page_markdown(found), highlight=False)
    elif page is None and json_to is None:
        pages.print_impact(found, out)


def choose(
    target: Annotated[str, typer.Option(help="The target task.", autocompletion=completion.target_names)],
    languages: Annotated[
        str | None, typer.Option(help="a,b: score and cost over these; default: all measured.")
    ] = None,
    max_p99_ms: Annotated[float | None, typer.Option(min=1e-6, help="Single-stream p99, milliseconds.")] = None,
    max_memory_gib: Annotated[float | None, typer.Option(min=1e-6, help="Peak memory.")] = None,
    min_score: Annotated[
        float | None, typer.Option(min=1e-6, max=100, help="Mean main score over the languages.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="dev or test, where both are measured.")] = None,
    device: Annotated[str | None, typer.Option(help="A part of its name, where several are measured.")] = None,
    store: StoreDir = Path("store"),
    json_to: JsonTo = None,
) -> None:
    """The model and arm that the store's measurements recommend: the best score within the limits, with its evidence."""
    from xstilts import journey
    from xstilts.report.impact import choose as choosing

    limits = choosing.Limits(max_p99_ms, max_memory_gib, min_score)
    asked = None if languages is None else [code.strip() for code in languages.split(",") if code.strip()]
    with journey.open_store(store, must_exist=True) as opened:
        found = choosing.choose(opened, target, limits, asked, split=split, device=device)
    emit(json_to, choosing.as_json(found), lambda: choosing.print_choice(found, out))
