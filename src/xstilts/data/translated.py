"""Rows that a machine translated: where `xstilts translate` puts them, and which files are known to hold such rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xstilts.data.files import load_json, place
from xstilts.errors import DataError

TRANSLATED = "translated"
"""Folder of a data folder: ``translated/LL/`` holds published layouts again, their rows translated to language LL."""

_PUBLISHED = {
    "XNLI-MT-1.0": "XNLI-MT-1.0 (Conneau et al. 2018)",
    "xtreme_translations": "XTREME's translate-train (Hu et al. 2020)",
}


def record_of(path: Path) -> Path:
    """Where the record of a translated file lies: beside it."""
    return path.with_name(f"{path.name}.translation.json")


def read_record(path: Path) -> dict[str, Any] | None:
    """The record that `xstilts translate` left beside ``path``; ``None`` if there is none.

    Raises:
        DataError: it is damaged.
    """
    record = record_of(path)
    if not record.is_file():
        return None
    found = load_json(record)
    if not _is_record(found):
        raise DataError("not a record of a translation", where=place(record), hint="translate the rows again")
    return dict(found)


def _is_record(found: Any) -> bool:
    if not isinstance(found, dict) or not all(isinstance(found.get(name), dict) for name in ("engine", "rows")):
        return False
    engine, rows = found["engine"], found["rows"]
    texts = (found.get("from"), found.get("to"), engine.get("name"), engine.get("version"))
    return all(isinstance(t, str) for t in texts) and all(type(rows.get(n)) is int for n in ("read", "written"))


def origin(path: Path) -> str:
    """How a machine translated the rows of ``path``, in a few words; empty where nothing says that one did."""
    if record := read_record(path):
        engine, rows = record["engine"], record["rows"]
        kept = f"{rows['written']:,} of {rows['read']:,} rows kept"
        return f"machine-translated from {record['from']} by {engine['name']} {engine['version']} ({kept})"
    for folder, title in _PUBLISHED.items():
        if folder in path.parts and not path.name.removesuffix(".gz").endswith(".en.tsv"):
            return f"machine-translated from en: {title}"
    if path.name.removesuffix(".gz") == "translated_train.tsv":
        return "machine-translated from en: PAWS-X (Yang et al. 2019)"
    return ""
