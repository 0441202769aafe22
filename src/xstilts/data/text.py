"""Plain text for masked LM: one text a line; and translations, two tab-separated texts a line."""

from __future__ import annotations

from pathlib import Path

from xstilts.data.files import lines
from xstilts.errors import DataError


def read_text(path: Path) -> list[str]:
    """The lines that are not blank.

    Raises:
        DataError: there are none, or it is not UTF-8.
    """
    found = [line.strip() for _, line in lines(path) if line.strip()]
    if not found:
        raise DataError("no text in this file", where=str(path))
    return found


def read_translations(path: Path) -> list[tuple[str, str]]:
    """The pairs of a tab-separated file.

    Raises:
        DataError: a line is not two texts, or there are none.
    """
    found = []
    for number, line in lines(path):
        sides = tuple(side.strip() for side in line.split("\t"))
        if len(sides) != 2 or not all(sides):
            raise DataError(f"expected two texts with a tab between, found {line[:80]!r}", where=f"{path}:{number}")
        found.append((sides[0], sides[1]))
    if not found:
        raise DataError("no translations in this file", where=str(path))
    return found
