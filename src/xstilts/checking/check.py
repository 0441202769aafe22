"""Look through a data folder: what is there, whether it can be read, how much of it, and what is in two places."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xstilts.checking.findings import BadRow, File, Missing, Part, Report
from xstilts.checking.overlap import Fingerprints, find_overlaps
from xstilts.checking.reading import Reading, read_part, unlabelled_rows
from xstilts.errors import DataError, XstiltsError
from xstilts.pocket.identity import VERSION, Made, read_made
from xstilts.tasks.folder import DataFolder
from xstilts.tasks.task import Task

SOURCE = "en"
_SPLITS = ("train", "dev", "test")


def check_folder(
    root: Path, tasks: Sequence[Task], overrides: Mapping[str, Sequence[str | Path]] | None = None
) -> Report:
    """Everything there is to say about the files of ``tasks`` under ``root``.

    A pocket world is known by its ``pocket.json``: its own languages are looked for, and nothing is published about it.

    Args:
        root: a folder in the layout of XTREME's download and of the intermediate tasks' published files.
        tasks: what to look for.
        overrides: a study's ``data.files``: ``{"mnli.train": ...}``.

    Raises:
        DataError: ``root`` is not a folder, or its ``pocket.json`` is not a pocket world's.
    """
    if not root.is_dir():
        raise DataError("not a folder", where=str(root), hint="give the data folder: --data DIR")
    start = time.monotonic()
    made = read_made(root)
    if made:
        tasks = [_constructed(task, made) for task in tasks]
    folder = DataFolder(root, {name: [Path(p) for p in paths] for name, paths in (overrides or {}).items()})
    checker = _Checker(root, folder, set(overrides or {}))
    parts: list[Part] = []
    missing: list[Missing] = []
    fingerprints: list[Fingerprints] = []
    for task in tasks:
        for split in sorted(task.files, key=lambda s: _SPLITS.index(s) if s in _SPLITS else len(_SPLITS)):
            absent: list[str] = []
            for language in checker.languages(task, split):
                part, reading = checker.part(task, split, language)
                parts.append(part)
                if reading:
                    hashes = (reading.fingerprints, reading.questions)
                    fingerprints.append(Fingerprints(task, split, language, *hashes))
                elif not part.bad_rows:
                    absent.append(language)
            missing.extend(checker.missing(task, split, absent))
    overlaps = find_overlaps(fingerprints, SOURCE)
    seconds = round(time.monotonic() - start, 2)
    return Report(str(root), tuple(parts), tuple(missing), overlaps, seconds, _said_of(made) if made else "")


def _constructed(task: Task, made: Made) -> Task:
    """The task as a pocket world has it: other rows in other languages, without published counts or terms."""
    codes = made.codes if SOURCE in task.languages else made.codes[1:]  # retrieval finds translations of the source
    return replace(
        task,
        languages=codes if task.role == "target" else task.languages,
        counts={},
        licence="constructed",
        address="none, it is constructed",
        fetch="xstilts data pocket DIR",
    )


def _said_of(made: Made) -> str:
    """One line about a pocket world."""
    other = "" if made.version == VERSION else f", not this one's ({VERSION}): make it anew with xstilts data pocket"
    return (
        f"A pocket world (seed {made.seed}, languages {' '.join(made.codes)}): constructed, so no published count is "
        f"about it. Made by version {made.version} of the generator{other}."
    )


class _Checker:
    def __init__(self, root: Path, folder: DataFolder, overridden: set[str]) -> None:
        self.root, self.folder, self.overridden = root, folder, overridden
        self.digests: dict[Path, str] = {}  # one file can belong to several tasks

    def languages(self, task: Task, split: str) -> Iterator[str]:
        """The languages looked for, and any others that are there.

        Training rows are looked for in the source language; dev and test rows in every language of the task, except where
        a published count of 0 says that there are none.
        """
        published = task.counts.get(split) or {}
        try:
            there = self.folder.languages(task, split)
        except (
            XstiltsError
        ):  # a damaged file, or an override that names none: said with its place when the part is read
            there = ()
        wanted = {SOURCE} | {*published} if split == "train" else {*task.languages}
        wanted = {language for language in wanted if published.get(language) != 0} | {*there}
        yield from (language for language in task.languages if language in wanted)
        yield from sorted(wanted - {*task.languages})

    def part(self, task: Task, split: str, language: str) -> tuple[Part, Reading | None]:
        """One part, and what was read of it."""
        named = {f"{task.name}.{split}", f"{task.name}.{split}.{language}"} & self.overridden
        common: dict[str, Any] = {
            "task": task.name,
            "split": split,
            "language": language,
            "licence": task.licence,
            "published": (task.counts.get(split) or {}).get(language),
            "overridden": bool(named),
        }
        try:
            files = self.folder.files(task, split, language)
            gold_files = self.folder.gold_files(task, split, language) if files else ()
        except XstiltsError as error:
            return Part(**common, bad_rows=(BadRow(self.relative(error.where), error.what),)), None
        if not files:
            return Part(**common), None
        reading = read_part(task, files, gold_files, language)
        part = Part(
            **common,
            files=tuple(self.file(p) for p in files),
            gold_files=tuple(self.file(p) for p in gold_files),
            rows=reading.rows,
            with_gold=reading.with_gold,
            dropped=0 if reading.bad_rows else unlabelled_rows(task, files),
            bad_rows=tuple(BadRow(self.relative(b.where), b.what) for b in reading.bad_rows),
        )
        return part, reading

    def missing(self, task: Task, split: str, languages: Sequence[str]) -> Iterator[Missing]:
        """Where to get the files of these languages."""
        if languages:
            looked_for = tuple(str(name) for name in self.folder.missing(task, split, languages[0]))
            yield Missing(task.name, split, tuple(languages), looked_for, task.address, task.licence, task.fetch)

    def relative(self, where: str) -> str:
        """A place with its file's name relative to the folder."""
        return where.removeprefix(f"{self.root}/")

    def file(self, path: Path) -> File:
        """What identifies a file."""
        if path not in self.digests:
            with path.open("rb") as file:
                self.digests[path] = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        return File(self.relative(str(path)), self.digests[path], path.stat().st_size, path.suffix == ".gz")
