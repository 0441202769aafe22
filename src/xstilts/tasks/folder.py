"""The data folder: which files belong to a task, a split and a language, and the examples in them with their gold.

Each task declares alternative layouts (published names, XTREME's names); the first that is complete wins. A study may
point a split at other files instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.data.gold import (
    attach_answers,
    attach_labels,
    attach_neighbours,
    attach_pairs,
    attach_tags,
    refuse_identity,
)
from xstilts.data.shared import languages_in
from xstilts.data.translated import TRANSLATED
from xstilts.errors import DataError
from xstilts.languages import LANGUAGES
from xstilts.metrics.checks import refuse_one_label
from xstilts.task_types import Classification, Retrieval, Span, Tagging
from xstilts.tasks.task import Task

_SOURCE = "en"
_GOLD_SUFFIXES = (".tsv", ".json")


class DataFolder:
    """A folder in the layout of XTREME's download, with each data set's published files beside it.

    Args:
        root: the folder.
        overrides: ``task.split`` or ``task.split.language`` -> files, relative to ``root`` or absolute. ``{language}`` in
            a name is replaced; without it, and without a language in the key, a file counts for English, or for the
            languages it names itself. Gold of an overridden split is in its own files.
    """

    def __init__(self, root: Path, overrides: Mapping[str, Sequence[Path]] | None = None) -> None:
        self.root = Path(root)
        self.overrides = dict(overrides or {})

    def files(self, task: Task, split: str, language: str) -> tuple[Path, ...]:
        """The files of the first complete layout, in its order; empty when none is complete.

        Raises:
            DataError: an overridden file is not there.
        """
        chosen = self._override(task, split, language)
        if chosen is not None:
            return chosen
        for layout in task.files.get(split, ()):
            found = [self._match(pattern, language) for pattern in layout]
            if all(found) and self._holds(layout, [p for paths in found for p in paths], language):
                return tuple(path for paths in found for path in paths)
        return self._translated(task, split, language)

    def gold_files(self, task: Task, split: str, language: str) -> tuple[Path, ...]:
        """``labels/TASK/test-LL.*`` for a test split whose text files are not themselves that file."""
        if split != "test" or self._override(task, split, language) is not None:
            return ()
        texts = self.files(task, split, language)
        for ending in _GOLD_SUFFIXES:
            found = self._match(f"labels/{task.name}/test-{language}{ending}", language)
            if found and texts and found[0] not in texts:
                return found[:1]
        return ()

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """The task's languages that have files for a split, in its order; where rows are learned, then others of the 40."""
        known = dict.fromkeys([*task.languages, *(LANGUAGES if _learned(task, split) else ())])
        return tuple(language for language in known if self.files(task, split, language))

    def missing(self, task: Task, split: str, language: str) -> list[str]:
        """The patterns that were tried, filled in for the language: one string a layout."""
        filled = ([fill(pattern, language) for pattern in layout] for layout in task.files.get(split, ()))
        return [" + ".join(p for p in layout if p) for layout in filled if all(layout)]

    def _translated(self, task: Task, split: str, language: str) -> tuple[Path, ...]:
        """The files of a layout under ``translated/LANGUAGE/``: only rows to learn from, never rows that are scored."""
        folder = f"{TRANSLATED}/{language}"
        if not _learned(task, split) or not (self.root / folder).is_dir():
            return ()
        for layout in task.files.get(split, ()):
            found = [self._match(f"{folder}/{pattern}", language) for pattern in layout]
            if all(found):
                return tuple(path for paths in found for path in paths)
        return ()

    def _override(self, task: Task, split: str, language: str) -> tuple[Path, ...] | None:
        """The files of an override; ``()`` if there is one that says nothing about this language."""
        exact = self.overrides.get(f"{task.name}.{split}.{language}")
        names = exact if exact is not None else self.overrides.get(f"{task.name}.{split}")
        if names is None:
            return None
        paths = [self.root / (fill(str(name), language) or str(name)) for name in names]
        absent = [p for p in paths if not p.is_file()]
        per_language = exact is None and any("{" in str(name) for name in names)
        if absent and per_language:
            return ()
        if absent:
            raise DataError(
                "the study points at a file that is not there",
                where=str(absent[0]),
                hint=f"data.files: {task.name}.{split}",
            )
        if exact is None and not per_language and not self._single(paths, language):
            return ()
        return tuple(paths)

    def _holds(self, layout: Sequence[str], paths: Sequence[Path], language: str) -> bool:
        """Whether files named without a language hold this one."""
        return any("{" in pattern for pattern in layout) or self._single(paths, language)

    @staticmethod
    def _single(paths: Sequence[Path], language: str) -> bool:
        named = [languages_in(path) for path in paths]
        if all(n is None for n in named):
            return language == _SOURCE
        return any(n is not None and language in n for n in named)

    def _match(self, pattern: str, language: str) -> tuple[Path, ...]:
        """Existing files for one pattern, sorted by name; ``NAME.gz`` stands in for ``NAME``."""
        name = fill(pattern, language)
        if name is None:
            return ()
        if "*" not in name and "[" not in name:
            plain = self.root / name
            return next(((p,) for p in (plain, Path(f"{plain}.gz")) if p.is_file()), ())
        found = {p for p in self.root.glob(name) if p.is_file()}
        found |= {p for p in self.root.glob(name + ".gz") if p.is_file() and p.with_suffix("") not in found}
        return tuple(sorted(found, key=lambda p: (p.name, str(p))))


def _learned(task: Task, split: str) -> bool:
    """Whether the rows of a split are learned from: train, and an intermediate task's dev, which chooses checkpoints."""
    return split == "train" or (split == "dev" and task.role == "intermediate")


def fill(pattern: str, language: str) -> str | None:
    """The pattern for one language; ``None`` if it needs a code or a name that an unlisted language does not have."""
    known = LANGUAGES.get(language)
    if known is None and ("{iso3}" in pattern or "{name}" in pattern):
        return None
    pattern = pattern.replace("{language}", language)
    if known is not None:
        pattern = pattern.replace("{iso3}", known.iso3).replace("{name}", known.name.lower())
    return pattern


def read_examples(task: Task, paths: Sequence[Path], language: str, gold_paths: Sequence[Path] = ()) -> list[Any]:
    """The examples of these files, their gold attached from ``gold_paths`` if any.

    Gold is attached by order (labels, tags, Tatoeba's line numbers) or by id (questions, BUCC's pairs).

    Raises:
        DataError: a bad row, or no rows of this language.
        GoldError: another number of gold rows than of text rows, unknown labels, placeholders.
    """
    examples = list(task.read(tuple(paths), language))
    texts = ", ".join(map(str, paths))
    if not examples:
        raise DataError(f"no rows of language {language!r}", where=texts)
    for path in gold_paths:
        examples = _attach(task, examples, path, language, texts)
    _refuse_placeholders(task, examples, ", ".join(map(str, gold_paths)) or texts)
    return examples


def count_rows(examples: Sequence[Any]) -> int:
    """Rows as published counts name them: examples; for bitexts the gold pairs, or the queries without gold."""
    if examples and hasattr(examples[0], "queries"):
        return sum(len(e.queries) if e.gold is None else len(e.gold) for e in examples)
    return len(examples)


def _attach(task: Task, examples: list[Any], path: Path, language: str, texts: str) -> list[Any]:
    match task.type:
        case Classification(labels=labels):
            return list[Any](attach_labels(examples, path, labels, texts))
        case Tagging(labels=labels):
            return list[Any](attach_tags(examples, path, labels, texts))
        case Span():
            return list[Any](attach_answers(examples, path, language, texts))
        case Retrieval(mode="nearest"):
            return [attach_neighbours(examples[0], path, texts)]
        case Retrieval():
            return [attach_pairs(examples[0], path)]
    raise DataError(f"gold files are not read for tasks of type {task.type.name}", where=str(path))


def _refuse_placeholders(task: Task, examples: Sequence[Any], where: str) -> None:
    golds = [task.type.gold(example) for example in examples]
    if any(gold is None for gold in golds):
        return
    if isinstance(task.type, Classification):
        refuse_one_label(golds, where)
    elif isinstance(task.type, Tagging):
        refuse_one_label([tag for tags in golds for tag in tags], where)
    elif isinstance(task.type, Retrieval) and task.type.mode == "nearest":
        refuse_one_label(examples[0].gold, where)
        refuse_identity(examples[0], where)
