"""From values to one HTML file. Templates escape every text; the script is named by its digest, and no other runs."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xstilts.report.pages import check_page, write_whole
from xstilts.webpage.content import Figure, Page

UNSEEN = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), 127, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Control signs, and those that turn the direction of text."""


def html(page: Page) -> str:
    """The whole file."""
    style, script = (Markup(_source(name)) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _templates().get_template("page.html").render(page=page, style=style, script=script, script_digest=digest)


def write_page(page: Page, file: Path) -> None:
    """Write it whole or not at all.

    Raises:
        XstiltsError: ``file`` does not end in .html, or its folder is not there.
        StoreError: the disk refuses.
    """
    check_page(file, ".html")
    write_whole(file, html(page))


def drawing(figure: Figure) -> Markup:
    """A figure's markup: drawn by our own canvas, which escapes its texts."""
    return Markup(figure.svg.translate(UNSEEN))


def _visible(value: Any) -> Any:
    """A text without signs that are not seen: those that turn its direction would turn what stands around it, too."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else value.translate(UNSEEN)


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("xstilts.webpage"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["drawing"] = drawing
    return found


def _source(name: str) -> str:
    loader = _templates().loader
    assert loader is not None
    return loader.get_source(_templates(), name)[0]
