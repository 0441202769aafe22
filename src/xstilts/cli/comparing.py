"""The verbs that compare: arms with their baseline arm, two stores, numbers of ours with printed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli import completion
from xstilts.cli.options import JsonTo, StoreDir, TaskFile, emit, err, out
from xstilts.cli.published import published

app = typer.Typer(
    help="Arms with their baseline arm, two stores, or our numbers with printed ones.", no_args_is_help=True
)


@app.command()
def arms(
    study: Annotated[str, typer.Argument(help="A study of the store.", autocompletion=completion.stored_studies)],
    store: StoreDir = Path("store"),
    split: Annotated[str, typer.Option(help="dev or test.")] = "test",
    target: Annotated[
        str | None, typer.Option(help="Show this target by language.", autocompletion=completion.target_names)
    ] = None,
    level: Annotated[float | None, typer.Option(help="Another level than the study declares (0.05).")] = None,
    rounds: Annotated[
        int, typer.Option(min=0, help="Draws of the example bootstrap over evaluation rows; 0 for none.")
    ] = 1000,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    page: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write to FILE: .md or .tex the tables, .csv or .parquet one row per number."),
    ] = None,
    task_file: TaskFile = None,
    json_to: JsonTo = None,
) -> None:
    """Each arm against the baseline arm: differences paired by seed, with intervals, corrected for how many there are."""
    from xstilts import journey, tasks
    from xstilts.errors import StudyError
    from xstilts.report.comparison import page as pages
    from xstilts.report.comparison.compare import compare_study
    from xstilts.report.comparison.tables import comparison_grids
    from xstilts.report.exports import check_export, write_export
    from xstilts.report.grid import print_grid
    from xstilts.report.results import study_results

    if split not in ("dev", "test"):
        raise StudyError(f"{split!r} is no split that is scored: dev or test", where="--split")
    if page is not None:
        check_export(page)
    for path in task_file or ():
        tasks.load_file(path)
    with journey.open_store(store, must_exist=True) as opened:
        results = study_results(opened, study)
        if split not in (evaluated := results.study["splits"]):
            raise StudyError(f"{study} evaluates no {split} rows", where="--split", hint=f"--split {evaluated[0]}")
        found = compare_study(opened, results, split, level=level, rounds=rounds)
    grids = comparison_grids(found, target)
    if page is not None:
        if page.suffix == ".md":
            pages.write_page(pages.comparison_markdown(found, study, target), page)
        else:
            write_export(page, lambda: grids, lambda: pages.plain(found))
        err.print(str(page), markup=False, soft_wrap=True)
    if json_to is not None:
        emit(json_to, pages.plain(found), lambda: None)
    elif not grids:
        out.print(f"no {split} scores yet: xstilts status says what is missing")
    elif markdown:
        out.out(pages.comparison_markdown(found, study, target), highlight=False)
    elif page is None:
        for grid in grids:
            print_grid(grid, out)


@app.command()
def stores(
    first: Annotated[Path, typer.Argument(help="A store.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    study: Annotated[str | None, typer.Option(help="One study that both have; default: all of both.")] = None,
    page: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write to FILE: .md or .tex the table, .csv or .parquet one row per number."),
    ] = None,
    json_to: JsonTo = None,
) -> None:
    """Two stores, number by number: a run on another machine, with other code, or from somebody else."""
    from xstilts import journey
    from xstilts.report.comparison import stores as comparing
    from xstilts.report.exports import check_export, write_export
    from xstilts.report.grid import print_grid

    if page is not None:
        check_export(page)
    rows = []
    for root in (first, second):
        with journey.open_store(root, must_exist=True) as opened:
            names = [study] if study is not None else list(opened.studies())
            rows.append([{"study": name, **row} for name in names for row in journey.rows(opened, name)])
    found = comparing.pairs(*rows)
    grid = comparing.stores_grid(found, (str(first), str(second)))
    if page is not None:
        write_export(page, lambda: [grid], lambda: comparing.plain(found))
        err.print(str(page), markup=False, soft_wrap=True)
    if json_to is not None or page is None:
        emit(json_to, comparing.plain(found), lambda: print_grid(grid, out))


app.command()(published)
