"""The verbs that hold our numbers against printed ones: published and claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xstilts.cli.options import JsonTo, StoredStudy, emit, err, out, write_text

if TYPE_CHECKING:
    from xstilts.published.numbers import Published
    from xstilts.published.own import OwnStudy

StoreIfAny = Annotated[
    Path | None, typer.Option("--store", envvar="XSTILTS_STORE", help="Folder with finished results.")
]
DataIfAny = Annotated[
    Path | None, typer.Option("--data", envvar="XSTILTS_DATA", help="Folder with the published files.")
]
Records = Annotated[
    list[str] | None,
    typer.Option("--records", help="STUDY=FILE: a kept record (results --json) and the study file it is of."),
]


def published(
    study: StoredStudy = None,
    store: StoreIfAny = None,
    data: DataIfAny = None,
    records: Records = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    json_to: JsonTo = None,
) -> None:
    """Why is my number not the paper's? Ours beside the printed ones, and every difference between the protocols."""
    from xstilts.published import page
    from xstilts.published.compare import compare
    from xstilts.published.numbers import load_published
    from xstilts.report.grid import grid_markdown, print_grid

    known = load_published()
    compared = compare(own_studies(known, store, records or (), study), known)
    if json_to is not None:
        emit(json_to, page.as_json(compared, known), lambda: None)
        return
    grids = page.comparison_grids(compared, known) or page.published_grids(known)
    if data is not None:
        from xstilts import tasks
        from xstilts.checking import check_folder

        grids.append(page.data_grid(check_folder(data, tasks.targets())))
    for grid in grids:
        if markdown:
            out.out(grid_markdown(grid), highlight=False)
        else:
            print_grid(grid, out)


def own_studies(
    known: Published, store: Path | None, records: list[str] | tuple[str, ...], study: str | None = None
) -> list[OwnStudy]:
    """The studies of a store, where one is named, and of records."""
    from xstilts import journey
    from xstilts.published.own import from_records, from_store

    found = []
    if store is not None:
        with journey.open_store(store, must_exist=True) as opened:
            found += from_store(opened, known, study)
    for text in records:
        name, given, file = text.partition("=")
        of = journey.read_study(Path(name)) if given else None
        found.append(from_records(Path(file if given else text), known, of))
    for own in found:
        for model in own.refused:
            err.print(f"not compared: {model} of {own.name} has random weights", markup=False, soft_wrap=True)
    return found


def claims(
    store: StoreIfAny = None,
    data: DataIfAny = None,
    records: Records = None,
    page: Annotated[Path | None, typer.Option("-o", "--out", help="Write the ledger to this Markdown file.")] = None,
    json_to: JsonTo = None,
) -> None:
    """The nineteen claims about the paper, each with a verdict: holds, contradicted, or what would settle it."""
    from xstilts import journey
    from xstilts.claims import page as pages
    from xstilts.claims.claim import Evidence
    from xstilts.claims.ledger import ledger
    from xstilts.published.numbers import load_published
    from xstilts.report.grid import print_grid
    from xstilts.study import load_study

    known = load_published()
    recipes = {path.stem: load_study(path) for path in sorted(journey.RECIPES.glob("*.yaml"))}
    evidence = Evidence(recipes, data, tuple(own_studies(known, store, records or ())), known)
    found = ledger(evidence)

    def show() -> None:
        if page is None:
            print_grid(pages.grid(found), out)
            print_grid(pages.settling_grid(found), out)

    if page is not None:
        write_text(page, pages.markdown(found, evidence))
        err.print(str(page), markup=False, soft_wrap=True)
    emit(json_to, pages.as_json(found), show)
