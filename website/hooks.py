"""What mkdocs calls while it builds the site: pages that are made join the written ones, and links lead to pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from mkdocs.structure.files import File

from website import command_line, expected, library, places, records

log = logging.getLogger("mkdocs.hooks.website")
_ASKED = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]+)"')

MADE: dict[str, Callable[[], str]] = {
    "expected-scores.md": expected.page,
    "records/index.md": records.index,
    "reference/command-line.md": command_line.page,
    "reference/library.md": library.page,
}
"""Pages without a file: the place of each and what writes it."""


def on_files(files: Any, config: Any) -> Any:
    """Add what lies outside docs/ or is made; a written page of the same name would be lost, so that is an error."""
    made = {place: write() for place, write in MADE.items()} | library.pages()
    for place, text in made.items():
        assert files.get_file_from_path(place) is None, f"docs/{place} is in the way of a page that is made"
        files.append(File.generated(config, place, content=text))
    for place, path in places.made_of_files().items():
        files.append(File.generated(config, place, content=path.read_text(encoding="utf-8")))
    for name in places.copied():
        files.append(File.generated(config, places.page_of(name), abs_src_path=str(places.ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between files of the project become links between pages."""
    return places.with_links_of_the_site(markdown, page.file.src_uri)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Pages are read without a network: whatever would ask one is named, and the strict build stops."""
    for asked in _ASKED.findall(output):
        log.warning("%s asks the network for %s", page.file.src_uri, asked)
    return output
