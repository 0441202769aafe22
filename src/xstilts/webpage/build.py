"""The page of a store: each section asks the part of the package that knows the answer; nothing is computed another way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xstilts
from xstilts import journey
from xstilts.claims import page as claim_pages
from xstilts.claims.claim import Evidence
from xstilts.claims.ledger import ledger
from xstilts.graph.store import Store
from xstilts.published import page as published_pages
from xstilts.published.compare import Compared, compare
from xstilts.published.numbers import Published, load_published
from xstilts.published.own import OwnStudy, own_study
from xstilts.report.pages import check_page
from xstilts.report.results import study_results
from xstilts.study import load_study
from xstilts.webpage.chapter import Chapters
from xstilts.webpage.content import Chapter, Fold, Page, Section, Sheet, sheet_of
from xstilts.webpage.origins import Origins
from xstilts.webpage.render import write_page
from xstilts.webpage.sources import source_notes, sources

FEW = 12
"""Published numbers of a study that are shown without being asked for."""


def write_report(root: Path, page: Path, study: str | None = None, data: Path | None = None) -> Path:
    """Write the page of the store in ``root`` to a file; see ``page_of``.

    Raises:
        XstiltsError: the file is no .html, or cannot be written there.
    """
    check_page(page, ".html")  # before the work, which takes a while on a large store
    with journey.open_store(root, must_exist=True) as store:
        write_page(page_of(store, str(root), study, data), page)
    return page


def page_of(store: Store, place: str, study: str | None = None, data: Path | None = None) -> Page:
    """Everything that a store knows of one study, or of all.

    Args:
        store: read only.
        place: the store as the reader names it in a command.
        study: one study; default: all of the store.
        data: a data folder that claims may look at.

    Raises:
        MissingNameError: no such study.
        StoreError: a score node is damaged.
    """
    chosen = {name: study_results(store, name) for name in journey.studies(store, study)}
    chapters = Chapters(store, place, chosen)
    found = [chapters.chapter(name) for name in chosen]
    known = load_published()
    own = [own_study(store, results, known) for results in chosen.values()]
    shared = _shared(own, known, data, chapters.origins) if chosen else []
    # Blocks of origin may have been asked for by the shared sections, too.
    whole: tuple[Chapter, ...] = tuple(chapters.with_origins(chapter) for chapter in found)
    title = study or (found[0].name if len(found) == 1 else store.root.name)
    last = max((line.finished for c in whole for o in c.origins for line in o.nodes), default="")
    made = f"Made by xstilts {xstilts.__version__}" + (f" from nodes finished until {last} UTC." if last else ".")
    used = [results.payload for results in chosen.values()]
    return Page(title, made, whole, tuple(shared), sources(used) if used else (), tuple(source_notes(used)))


def _shared(
    own: Sequence[OwnStudy], known: Published, data: Path | None, origins: Mapping[str, Origins]
) -> list[Section]:
    compared = compare(own, known)
    recipes = {path.stem: load_study(path) for path in sorted(journey.RECIPES.glob("*.yaml"))}
    claims = ledger(Evidence(recipes, data, tuple(own), known))
    return [
        Section(
            "published",
            "Beside published numbers",
            "Ours next to what was printed, and in how many ways the two were made differently."
            if compared.cells
            else "Nothing here has a published number to stand beside; xstilts compare published lists what there is.",
            tuple(_published(compared, known, origins)),
        ),
        Section(
            "claims",
            "The claims ledger",
            "Nineteen claims about the paper. A verdict is given only on what a claim is about: smaller studies settle none.",
            (
                sheet_of(claim_pages.grid(claims)),
                Fold("What would settle the open ones", (sheet_of(claim_pages.settling_grid(claims)),)),
            ),
        ),
    ]


def _published(compared: Compared, known: Published, origins: Mapping[str, Origins]) -> Iterator[Sheet | Fold]:
    grids = published_pages.comparison_grids(compared, known)
    places = dict.fromkeys((cell.study, cell.model) for cell in compared.cells)
    for (study, model), numbers, reasons in zip(places, grids[::2], grids[1::2], strict=True):
        hrefs = [_origin(origins[study], cell) for cell in compared.cells if (cell.study, cell.model) == (study, model)]
        sheet = sheet_of(numbers, hrefs)
        yield sheet if len(hrefs) <= FEW else Fold(f"{sheet.caption}: {len(hrefs)} numbers", (sheet,))
        yield Fold(reasons.title, (sheet_of(reasons),))


def _origin(origins: Origins, cell: Any) -> str:
    return origins.of_score(cell.model, cell.arm, cell.number.target, cell.number.own_split)
