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
    from xstilts.webpage.build import write_report

    write_report(store, page, study, data)
    err.print(f"{page}: {page.stat().st_size / 1e6:.1f} MB", markup=False, soft_wrap=True)
