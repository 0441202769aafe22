"""Files that hold several languages: XNLI's 19 columns, TyDiQA's single file. Which languages are in them?"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from xstilts.data.files import lines, suffix
from xstilts.data.squad import id_language, question_ids


def languages_in(path: Path) -> frozenset[str] | None:
    """The languages of the rows of ``path``, or ``None`` if the format does not say (then it holds one language)."""
    stat = path.stat()
    return _languages_in(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _languages_in(path: Path, size: int, modified: int) -> frozenset[str] | None:
    if suffix(path) == ".json":
        named = {id_language(identity) for identity in question_ids(path)}
        return frozenset(n for n in named if n) if None not in named else None
    if suffix(path) not in (".tsv", ".txt"):
        return None
    reading = lines(path)
    if next(reading)[1].split("\t", 1)[0] != "language":
        return None
    return frozenset(line.partition("\t")[0] for _, line in reading)
