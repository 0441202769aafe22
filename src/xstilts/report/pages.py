"""Pages on disk: where they may be written, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from xstilts.errors import XstiltsError
from xstilts.graph.disk import aside, guarded, write_synced

FORMATS = {".md": "Markdown", ".html": "HTML"}


def check_page(file: Path, *suffixes: str) -> None:
    """Raise ``XstiltsError`` where ``file`` ends in none of ``suffixes`` (.md by default), or its folder is not there."""
    allowed = suffixes or (".md",)
    if file.suffix not in allowed:
        what = f"the page is {FORMATS[allowed[0]]}" if len(allowed) == 1 else "the name says the format"
        ends = allowed[0] if len(allowed) == 1 else f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        raise XstiltsError(f"{what}: its name must end in {ends}", where=str(file))
    if not file.parent.is_dir() or file.is_dir():
        problem = "this is a folder, not a file" if file.is_dir() else "the folder of this file is not there"
        raise XstiltsError(f"cannot write the page: {problem}", where=str(file))


def write_whole(path: Path, content: str | bytes) -> None:
    """Write aside and rename; what was there is replaced.

    Raises:
        StoreError: the disk refuses.
    """
    fresh = aside(path)
    with guarded(path):
        try:
            write_synced(fresh, content)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
