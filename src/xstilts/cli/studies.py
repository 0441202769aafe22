"""The verbs around a study and its store: plan, run, status, why, results, clean."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from xstilts.cli.options import (
    Address,
    DataDir,
    Device,
    Jobs,
    JsonTo,
    MemoryCheck,
    ModelAt,
    On,
    Seeds,
    SlurmOptions,
    StoreDir,
    StoredStudy,
    Stream,
    StudyFile,
    TaskFile,
    Track,
    Verify,
    check_options,
    emit,
    err,
    folders_by_name,
    out,
    whole_numbers,
)
from xstilts.errors import StudyError


def plan(
    study: StudyFile,
    data: DataDir = Path("data"),
    store: StoreDir = Path("store"),
    model: ModelAt = None,
    device: Device = None,
    seeds: Seeds = None,
    task_file: TaskFile = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="What every node will hold, on which device it fits.")
    ] = False,
    room: Annotated[
        float | None,
        typer.Option(min=0.1, help="With --memory: GiB of each device, instead of asking those that are here."),
    ] = None,
    micro_batch_tokens: Annotated[
        int, typer.Option(min=1, help="With --memory: sub-words in one forward pass.")
    ] = 4096,
    json_to: JsonTo = None,
) -> None:
    """Show what a study would compute, without computing it; with --memory, what that takes."""
    from xstilts import journey
    from xstilts.memory.plan import memory_plan
    from xstilts.report import show
    from xstilts.report.grid import print_grid
    from xstilts.report.memory import memory_grids

    if room is not None and not memory:
        raise StudyError("not asked without --memory", where="--room")
    with journey.open_store(store) as opened:
        folders, others = folders_by_name(model), whole_numbers(seeds)
        planned = journey.plan_study(study, data, opened, folders, device or ("cpu",), task_file or (), others)
        summary = journey.plan_summary(planned, opened)
        if memory:
            summary["memory"] = memory_plan(planned, device or ("cpu",), micro_batch_tokens, room)

    def draw() -> None:
        show.show_plan(summary, out)
        for grid in memory_grids(summary["memory"]) if memory else ():
            out.print()
            print_grid(grid, out)

    emit(json_to, summary, draw)


def run(
    study: StudyFile,
    data: DataDir = Path("data"),
    store: StoreDir = Path("store"),
    model: ModelAt = None,
    device: Device = None,
    seeds: Seeds = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each worker; default: shared evenly.")] = None,
    micro_batch_tokens: Annotated[int, typer.Option(help="Sub-words in one forward pass.")] = 4096,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Train in less memory and more time, with equal results.")
    ] = False,
    task_file: TaskFile = None,
    memory_check: MemoryCheck = True,
    stream: Stream = "auto",
    on: On = "here",
    address: Address = None,
    jobs: Jobs = 1,
    slurm: SlurmOptions = None,
    verify: Verify = "digests",
    track: Track = None,
    json_to: JsonTo = None,
) -> None:
    """Compute what is missing of a study and print its table. Interrupt it at any time: the same command goes on."""
    from xstilts import journey
    from xstilts.graph.progress import Display
    from xstilts.interface.running import Where, run_where
    from xstilts.report import show
    from xstilts.tracking import tracker

    check_options("--on", on, {"slurm": {"--slurm": slurm}, "ray": {"--address": address}})
    devices, task_files = device or ["cpu"], task_file or []
    how = {"gradient_checkpointing": gradient_checkpointing, "memory_check": memory_check, "stream": stream}
    with journey.open_store(store, level=verify) as opened:
        folders, others = folders_by_name(model), whole_numbers(seeds)
        planned = journey.plan_study(study, data, opened, folders, devices, task_files, others, threads)
        slots = journey.resources(planned, devices, threads, micro_batch_tokens, task_files, **how)
        trackers = [tracker(track, planned.study.name)] if track else []
        where = Where(on, address, jobs, slurm or ())
        with Display(err, len(planned.graph.nodes)) as display:
            planned, ended = run_where(
                where, planned, opened, slots, devices, threads, lambda: sys.argv[1:], display, trackers
            )
        tables = journey.tables(opened, planned.study.name)
    if json_to is None:
        show.show_tables(tables, out)
    summary = journey.run_summary(planned, ended)
    emit(json_to, summary, lambda: show.show_run(summary, str(store), out))
    if not ended.complete:
        raise typer.Exit(1)


def status(
    study: StoredStudy = None,
    store: StoreDir = Path("store"),
    live: Annotated[
        bool, typer.Option("--live", help="Look again every two seconds until nothing is left to do.")
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """What is done, running, waiting and failed, for each study of a store, and how long the rest will take."""
    from xstilts import journey
    from xstilts.graph.overview import Overview
    from xstilts.report.states import view, watch

    with journey.open_store(store, must_exist=True) as opened:
        overview = Overview(opened)

        def look() -> list[dict[str, Any]]:
            return overview.look(journey.studies(opened, study))

        if live and json_to is None:
            watch(look, out)
        else:
            report = look()
            emit(json_to, report, lambda: out.print(view(report)))


def why(
    key: Annotated[str, typer.Argument(help="A node's key, or the first digits of it.")],
    store: StoreDir = Path("store"),
    json_to: JsonTo = None,
) -> None:
    """Everything a result depends on: specs, parents, versions, seconds, files; or why it failed."""
    from xstilts import journey
    from xstilts.graph.status import why as graph_why
    from xstilts.report import show

    with journey.open_store(store, must_exist=True) as opened:
        found = graph_why(opened, key)
    emit(json_to, found, lambda: show.show_why(found, out))


def results(
    study: StoredStudy = None,
    store: StoreDir = Path("store"),
    by_language: Annotated[
        bool | None, typer.Option("--by-language/--no-by-language", help="Tables by language, too.")
    ] = None,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers", help="Retrieval instead: by the rule, at the fixed and at the best layer; at checkpoints too."
        ),
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write to FILE: .md or .tex the tables, .csv or .parquet one row per number."),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """The zero-shot tables, or with --json one row per number."""
    from xstilts import journey
    from xstilts.report import exports, show
    from xstilts.report.grid import Grid
    from xstilts.report.table import as_grid

    if file is not None:
        exports.check_export(file)
    with journey.open_store(store, must_exist=True) as opened:
        if file is not None:
            made = journey.layer_rows if layers else journey.rows

            def grids() -> list[Grid]:
                if layers:
                    return journey.layer_tables(opened, study)
                return [as_grid(table) for table in journey.tables(opened, study, by_language)]

            exports.write_export(file, grids, lambda: made(opened, study))
            err.print(str(file), markup=False, soft_wrap=True)
        if file is not None and json_to is None:
            return
        if layers:
            emit(
                json_to,
                journey.layer_rows(opened, study),
                lambda: show.show_grids(journey.layer_tables(opened, study), out, as_markdown=markdown),
            )
        elif json_to is not None:
            emit(json_to, journey.rows(opened, study), lambda: None)
        else:
            show.show_tables(journey.tables(opened, study, by_language), out, as_markdown=markdown)


def clean(
    store: StoreDir = Path("store"),
    node: Annotated[
        str | None, typer.Option(help="Remove this node (key or prefix) and all that follows from it.")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="The logs of finished nodes and ended runs, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it only say what would be removed.")] = False,
    json_to: JsonTo = None,
) -> None:
    """Remove dead work folders, old failures and nodes that no study of the store needs."""
    from xstilts import journey
    from xstilts.report import show

    with journey.open_store(store, must_exist=True) as opened:
        report = journey.clean_store(opened, node, yes, logs)
    emit(json_to, report, lambda: show.show_clean(report, yes, out))
