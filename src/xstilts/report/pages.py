"""Pages on disk: where they may be written, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from xstilts.errors import XstiltsError
from xstilts.graph.disk import aside, guarded, write_synced

FORMATS = {".md": "Markdown", ".html": "HTML"}


def check_page(file: Path, suffix: str = ".md") -> None:
    """Raise ``XstiltsError`` where ``file`` does not end in ``suffix``, or its folder is not there."""
    if file.suffix != suffix:
        raise XstiltsError(f"the page is {FORMATS[suffix]}: its name must end in {suffix}", where=str(file))
    if not file.parent.is_dir() or file.is_dir():
        problem = "this is a folder, not a file" if file.is_dir() else "the folder of this file is not there"
        raise XstiltsError(f"cannot write the page: {problem}", where=str(file))


def write_whole(path: Path, text: str) -> None:
    """Write aside and rename; what was there is replaced.

    Raises:
        StoreError: the disk refuses.
    """
    fresh = aside(path)
    with guarded(path):
        try:
            write_synced(fresh, text)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
