"""The verb that makes one page of a store: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.options import StoreDir, StoredStudy, err
from xstilts.cli.published import DataIfAny


def report(
    study: StoredStudy = None,
    store: StoreDir = Path("store"),
    page: Annotated[Path, typer.Option("-o", "--out", help="Write the page to FILE.html.")] = Path("report.html"),
    data: DataIfAny = None,
) -> None:
    """One self-contained HTML page: scores, languages, layers, speed, claims, and where every number comes from."""
    from xstilts import journey
    from xstilts.report.pages import check_page
    from xstilts.webpage.build import page_of
    from xstilts.webpage.render import write_page

    check_page(page, ".html")  # before the work, which takes a while on a large store
    with journey.open_store(store, must_exist=True) as opened:
        write_page(page_of(opened, str(store), study, data), page)
    err.print(f"{page}: {page.stat().st_size / 1e6:.1f} MB", markup=False, soft_wrap=True)
