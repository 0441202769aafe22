"""Where a file of the project stands on the site, and links between files as links between pages.

Texts are written to be read in the repository: their links name files beside them. On the site some of these files are pages
elsewhere, others are copied for download. A link to anything else is left as it is, and the strict build names it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDS = "benchmarks/results/"
COPIED = ("CITATION.cff", "LICENSE", "examples/*.yaml", "benchmarks/results/*.json*")
"""Files that are not pages, and are on the site for download."""
_TEXTS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/NOTES.md": "records/notes.md",
}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def page_of(file: str) -> str:
    """The place on the site of a file of the project, both relative to their roots."""
    if file in _TEXTS:
        return _TEXTS[file]
    if file.startswith(RECORDS) and file.endswith(".md"):
        return f"records/{file.removeprefix(RECORDS)}"
    return file.removeprefix("docs/") if file.startswith("docs/") else f"files/{file}"


def file_of(page: str) -> str:
    """The file of the project that a page is made of; a page that is made of none counts as a file of docs/."""
    back = {place: file for file, place in _TEXTS.items()}
    if page in back:
        return back[page]
    if page.startswith("records/") and (ROOT / RECORDS / page.removeprefix("records/")).is_file():
        return f"{RECORDS}{page.removeprefix('records/')}"
    return f"docs/{page}"


def records() -> list[Path]:
    """The records that are texts, newest first, by name within a day."""
    return sorted((ROOT / RECORDS).glob("*.md"), key=lambda path: (path.name[:10], path.name), reverse=True)


def copied() -> Iterator[str]:
    """Names of the files for download."""
    for pattern in COPIED:
        yield from sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


def made_of_files() -> dict[str, Path]:
    """Page -> the text that it is made of, for texts that lie outside docs/."""
    return {page_of(str(path.relative_to(ROOT))): path for path in (*map(ROOT.joinpath, _TEXTS), *records())}


def with_links_of_the_site(markdown: str, page: str) -> str:
    """``markdown`` of ``page`` with every link to a file of the project turned into one to its page."""
    here = posixpath.dirname(file_of(page))

    def turned(found: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(here, found[1]))
        if not (ROOT / file).is_file():
            return found[0]
        return posixpath.relpath(page_of(file), posixpath.dirname(page) or ".") + (found[2] or "")

    return _LINK.sub(turned, markdown)
