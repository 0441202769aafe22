"""Claims that counting rows settles, by the library's own readers."""

from __future__ import annotations

from xstilts.checking.reading import read_part
from xstilts.claims.claim import Evidence, Finding
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder

SOURCE = "en"


def training_rows(name: str, claimed: int, evidence: Evidence) -> Finding:
    """Whether the published training files of a task hold ``claimed`` rows.

    Fewer rows are a sample or another release, and a part of a file says nothing about the whole.
    """
    task = load(name)
    missing = f"{claimed:,} rows to download: {task.fetch}"
    if evidence.data is None:
        return Finding("not measured here", "no data folder was given", f"--data DIR; {missing}")
    folder = DataFolder(evidence.data)
    files = folder.files(task, "train", SOURCE)
    if not files:
        seen = f"the data folder has no training files (first looked for: {folder.missing(task, 'train', SOURCE)[0]})"
        return Finding("not measured here", seen, missing)
    reading = read_part(task, files, folder.gold_files(task, "train", SOURCE), SOURCE)
    names = ", ".join(path.name for path in files)
    seen = f"{reading.rows:,} rows in {names}"
    if reading.bad_rows:
        return Finding("not measured here", f"{seen}, and {len(reading.bad_rows)} that cannot be read", missing)
    if reading.rows == claimed:
        return Finding("holds", seen)
    if reading.rows > claimed:
        return Finding("contradicted", f"{seen}: more than {claimed:,}")
    return Finding("not measured here", f"{seen} of {claimed:,}: a sample of a file is not the file", missing)


def languages_here(evidence: Evidence) -> str:
    """How many languages of each target the data folder has test files for; empty without a folder."""
    if evidence.data is None:
        return ""
    folder = DataFolder(evidence.data)
    found = []
    for name in evidence.recipe.targets:
        task = load(name)
        found.append(f"{name} {len(folder.languages(task, 'test'))} of {len(task.languages)}")
    return "test files in the data folder, by target: " + ", ".join(found)
