"""Translate the rows of a task: read, translate what is not yet translated, drop what is lost, write, say what was done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts import __version__, tasks
from xstilts.data.translated import read_record, record_of
from xstilts.errors import DataError, TranslationError
from xstilts.graph.disk import aside, digest_file, guarded, write_json, write_synced
from xstilts.rows import choose_rows
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.tasks.task import Task
from xstilts.translation.engine import Engine, Translation
from xstilts.translation.ledger import Ledger
from xstilts.translation.spans import RULE
from xstilts.translation.texts import Rebuilding, texts_of
from xstilts.translation.writing import place_of, render_of

MOST_UNTRANSLATED = 0.5
Progress = Callable[[int, int], None]
"""Called with (texts translated, texts in all) at the start and after each batch."""


@dataclass(frozen=True)
class Job:
    """Which rows are translated, from where to where.

    Args:
        task: its name.
        data: the data folder that holds the rows.
        out: a data folder to write into; it may be the same.
        source, target: languages.
        split: ``train``, or ``dev`` of an intermediate task.
        rows: at most so many, chosen as ``limits.train_rows`` chooses them; ``None`` is all.
        most_untranslated: a row with a larger share of untranslated words is dropped.
    """

    task: str
    data: Path
    out: Path
    source: str
    target: str
    split: str = "train"
    rows: int | None = None
    most_untranslated: float = MOST_UNTRANSLATED

    @property
    def place(self) -> Path:
        """The file that will hold the translated rows."""
        return self.out / place_of(tasks.load(self.task), self.split, self.target)


def translate(job: Job, engine: Engine, progress: Progress) -> dict[str, Any]:
    """Do ``job``, or go on with it where it was killed; the record, which also lies beside the translated file.

    Raises:
        MissingNameError: no such task or split.
        DataError: the rows are not there or cannot be read.
        TranslationError: the task cannot be translated, the engine fails, no row is left, or other work is in the way.
    """
    task, place = tasks.load(job.task), job.place
    if job.source == job.target:
        raise TranslationError(f"from {job.source} to {job.target} there is nothing to do", where="--to")
    folder = DataFolder(job.data)
    files = folder.files(task, job.split, job.source)
    if not files:
        tried = " or ".join(folder.missing(task, job.split, job.source))
        raise DataError(
            f"{task.name} has no {job.source} {job.split} files; looked for {tried}",
            where=str(job.data),
            hint=f"get them: {task.fetch}",
        )
    what = _identity(job, engine, files)
    if place.exists():
        found = _already(place, {**what, "most_untranslated": job.most_untranslated})
        ledger_of(place).unlink(missing_ok=True)  # of a process that was killed when it had written the rows
        return found
    chosen = choose_rows(read_examples(task, files, job.source), job.rows)
    examples = _not_tested(chosen, task, folder, job.source)
    texts = list(dict.fromkeys(text for example in examples for text in texts_of(example)))
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    with guarded(place), Ledger(ledger_of(place), {**what, "texts": digest}) as ledger:
        _translate(texts, engine, ledger, progress)
        translated = {text: ledger.done[n] for n, text in enumerate(texts)}
        rebuilding = Rebuilding(translated, job.target, job.most_untranslated)
        if tested := len(chosen) - len(examples):
            rebuilding.dropped["in a test set"] = tested
        kept = rebuilding.all(examples)
        if not kept:
            raise TranslationError(
                f"no row is left of {len(examples)}: {dict(rebuilding.dropped)}",
                where=str(place),
                hint=_hint(rebuilding),
            )
        counts = _counts(task, rebuilding, chosen, kept, texts)
        record = {**what, "most_untranslated": job.most_untranslated, **counts}
        record = _write(place, render_of(task)(kept), record)
        ledger.path.unlink()
    return record


def _not_tested(examples: list[Any], task: Task, folder: DataFolder, source: str) -> list[Any]:
    """Rows that no test set in the folder has: once they are translated, nobody can tell."""
    for target in tasks.targets():
        files = folder.files(target, "test", source) if type(target.type) is type(task.type) else ()
        tested = {target.type.fingerprint(e) for e in target.read(files, source)} if files else set()
        examples = [e for e in examples if task.type.fingerprint(e) not in tested]
    return examples


def ledger_of(place: Path) -> Path:
    """Where translations are kept while a file is not whole."""
    return place.with_name(f"{place.name}.translating")


def _identity(job: Job, engine: Engine, files: Sequence[Path]) -> dict[str, Any]:
    """Everything that decides the translations, without what is dropped afterwards."""
    return {
        "task": job.task,
        "split": job.split,
        "from": job.source,
        "to": job.target,
        "engine": {"name": engine.name, "version": engine.version, **engine.settings},
        "sources": [{"name": path.name, "sha256": digest_file(path)} for path in files],
        "asked_rows": job.rows,
    }


def _translate(texts: Sequence[str], engine: Engine, ledger: Ledger, progress: Progress) -> None:
    waiting = [n for n in range(len(texts)) if n not in ledger.done]
    progress(len(texts) - len(waiting), len(texts))
    for start in range(0, len(waiting), engine.batch):
        numbers = waiting[start : start + engine.batch]
        found: list[Translation] = engine.translate([texts[n] for n in numbers])
        ledger.add(zip(numbers, found, strict=True))
        progress(len(ledger.done), len(texts))


def _counts(
    task: Task, rebuilding: Rebuilding, examples: Sequence[Any], kept: Sequence[Any], texts: Sequence[str]
) -> dict[str, Any]:
    marked = any(t.unknown is not None for t in rebuilding.translated.values())
    spans = {"rule": RULE, "answers": dict(rebuilding.spans)} if task.type.name == "span" else None
    return {
        "rows": {"read": len(examples), "written": len(kept), "dropped": dict(rebuilding.dropped)},
        "texts": len(texts),
        "untranslated": {
            "words": rebuilding.words,
            "untranslated": rebuilding.untranslated,
            "counted": "words the engine marks" if marked else "words that stand in the original as well",
        },
        **({"spans": spans} if spans else {}),
        "xstilts": __version__,
    }


def _hint(rebuilding: Rebuilding) -> str:
    if rebuilding.dropped["untranslated"]:
        return "is this the right pair of languages? --max-untranslated 1 keeps what is not translated"
    return "look at what the engine writes"


def _write(place: Path, text: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record first: rows never lie there without it. The rows appear whole, by one rename."""
    fresh = aside(place)
    try:
        write_synced(fresh, text)
        record = {**record, "file": {"name": place.name, "sha256": digest_file(fresh)}}
        write_json(record_of(place), record)
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)
    return record


def _already(place: Path, what: dict[str, Any]) -> dict[str, Any]:
    """The record of what is there, if it is what is asked for."""
    record = read_record(place)
    if record is None:
        raise TranslationError(
            "there are rows already, and no record says that they were translated", where=str(place), hint="move them"
        )
    if other := [name for name, value in what.items() if record.get(name) != value]:
        raise TranslationError(
            f"there is a translation already, with another {' and '.join(other)}",
            where=str(place),
            hint="nothing is overwritten: remove it, or name another folder with --out",
        )
    if record["file"]["sha256"] != digest_file(place):
        raise TranslationError("the rows were changed after they were translated", where=str(place))
    return record
