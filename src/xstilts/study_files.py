"""The input files of a study: which languages each target has, which files hold their rows, and what is left out and why.

Everything is asked of the disk once for each plan: arms and seeds ask the same again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from xstilts.data.translated import origin
from xstilts.errors import DataError
from xstilts.hyperparameters import HUB_TEXT, MaskedLM
from xstilts.model_source import TOKENIZER_FILES
from xstilts.study import Study
from xstilts.tasks import load, targets
from xstilts.tasks.folder import DataFolder
from xstilts.tasks.task import Task

FileEntry = dict[str, str]


class StudyFiles:
    """Names and digests of the rows a study needs.

    Args:
        study: the study file.
        data: the data folder with the study's overrides.
        digest: sha-256 of a file (cached by size, mtime and inode).
    """

    def __init__(self, study: Study, data: DataFolder, digest: Callable[[Path], str]) -> None:
        self.study, self.data, self.digest = study, data, digest
        self.places: dict[str, str] = {}  # sha-256 -> where the file lies
        self.left_out: dict[tuple[str, str], dict[str, str]] = {}
        self.translated: dict[str, str] = {}  # task.split.language -> how a machine translated its rows
        self.entries = cache(self._read_entries)
        self.needed = cache(self._read_needed)
        self.languages = cache(self._find_languages)
        self.overlaps = cache(self._find_overlaps)
        self.bucc_gold = cache(self._find_bucc_gold)
        self.rows = cache(self._find_rows)
        self.gold = cache(self._find_gold)  # one object for all arms and seeds, as are the others

    def _find_gold(self, target: str, split: str) -> dict[str, Any]:
        """The files of every language of a target with their gold."""
        return {lang: self.entries(target, split, lang, True) for lang in self.languages(target, split)}

    def _find_rows(self, target: str, split: str, languages: tuple[str, ...] | None) -> dict[str, Any]:
        """The files of these languages of a target, or of all that are evaluated, without their gold."""
        asked = self.languages(target, split) if languages is None else languages
        return {language: self.entries(target, split, language, False) for language in asked}

    def splits(self, target: Task) -> list[str]:
        """The splits of a target that are evaluated."""
        return [s for s in self.study.splits if s in target.files and self.languages(target.name, s)]

    def masked_lm(self, settings: MaskedLM, where: str) -> dict[str, dict[str, Any]]:
        """What masked LM learns from: ``text`` and ``bitext``, by language.

        Args:
            settings: which files, which languages.
            where: the settings stand in the study file.

        Raises:
            DataError: a language has no text, or there are no translations though a share of them is asked for.
        """
        text = {language: self._text(settings, language) for language in settings.languages}
        if missing := [language for language, entry in text.items() if entry is None]:
            raise DataError(
                f"no text for {', '.join(missing)}; looked for {settings.text}",
                where=str(self.data.root),
                hint=f"{where} says which files and which languages{self._from_the_hub(settings, where)}",
            )
        found = {code: self._file(settings.bitext, code) for code in settings.languages} if settings.bitext else {}
        bitext = {code: entry for code, entry in found.items() if entry is not None}
        if settings.translation and not bitext:
            raise DataError(
                f"a share of translations is asked for, but there is no bitext; looked for {settings.bitext}",
                where=str(self.data.root),
                hint=f"{where}.bitext names the files, translation: 0 does without",
            )
        return {"text": text, "bitext": bitext}

    def tokenizer(self, folder: Path, where: str) -> list[FileEntry]:
        """The tokenizer's files of a model folder.

        Raises:
            DataError: there are none.
        """
        found = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
        if not found:
            raise DataError(
                f"no tokenizer files in {str(folder)!r}", where=where, hint="name a model folder of its family"
            )
        return [self._entry(path) for path in found]

    def _from_the_hub(self, settings: MaskedLM, where: str) -> str:
        """How text comes from the hub, a line for a hint; nothing where the text is a task's rows."""
        if settings.text_of_task is not None:
            return ""
        fetch = f"xstilts data fetch STUDY --data {self.data.root}"
        if settings.hub is not None:
            return f"\n  get it from the hub, {settings.hub.dataset}: {fetch}"
        return f"\n  or name a source on the hub, {where}.hub: {HUB_TEXT}, and get it: {fetch}"

    def _text(self, settings: MaskedLM, language: str) -> dict[str, Any] | None:
        """The text of a language: a file, or rows of a task; ``None`` if there is none."""
        if settings.text_of_task is not None:
            name, split = settings.text_of_task
            there = self.data.files(load(name), split, language)
            overlap = self.overlaps(name, language) if there and self.study.data.drop_overlap else []
            return {"task": name, **self.entries(name, split, language, False), "overlap": overlap} if there else None
        return self._file(settings.text if isinstance(settings.text, str) else settings.text[language], language)

    def _file(self, pattern: str, language: str) -> FileEntry | None:
        path = self.data.root / pattern.replace("{language}", language)
        found = next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)
        return None if found is None else self._entry(found)

    def _known(self, task: Task) -> list[str]:
        """The languages a task can have here: its own, and those of the study that it has files for."""
        own = [lang for lang in self.study.own_languages if any(self._evaluated(task, lang))]
        return list(dict.fromkeys([*task.languages, *own]))

    def _evaluated(self, task: Task, language: str) -> list[str]:
        return [s for s in task.files if s != "train" and self.data.files(task, s, language)]

    def dev(self, task: Task, source: str) -> dict[str, Any]:
        """The dev rows, in the language that is learned, that choose a checkpoint."""
        if not self.data.files(task, "dev", source):
            raise DataError(
                f"{task.name} has no {source} dev rows to choose the checkpoint on{self._elsewhere(task, 'dev')}",
                where=str(self.data.root),
                hint=f"{self._source_of(task, source)}\n"
                f"  or say in the study file: training: {{{task.name}: {{selection: last}}}}",
            )
        return self.entries(task.name, "dev", source, True)

    def _find_languages(self, name: str, split: str) -> tuple[str, ...]:
        """The languages of a target that are evaluated, by the study's rule; test rows that must be there are demanded."""
        task, wish = load(name), self.study.languages
        known = self._known(task)
        there = [lang for lang in known if self.data.files(task, split, lang)]
        wanted = known if isinstance(wish, str) else [lang for lang in wish if lang in known]
        only_some = wish in ("available", "with_gold") or split != "test"
        missing = [lang for lang in wanted if lang not in there]
        if missing and (not only_some or not any(self._evaluated(task, lang) for lang in known)):
            raise DataError(
                f"{name} has no {split} files for {', '.join(missing)}; looked for "
                f"{' or '.join(self.data.missing(task, split, missing[0]))}",
                where=str(self.data.root),
                hint=f"{self._source_of(task, missing[0])}\n"
                "  or evaluate what is there, in the study file: languages: available",
            )
        for lang in missing:
            self._leave_out(name, split, lang, "no file")
        for lang in () if isinstance(wish, str) else (lang for lang in wish if lang not in known):
            self._leave_out(name, split, lang, "not one of its languages")
        found = [lang for lang in wanted if lang in there]
        if wish == "with_gold":
            for lang in [lang for lang in found if not self._has_gold(task, split, lang)]:
                self._leave_out(name, split, lang, "no gold")
                found.remove(lang)
        return tuple(found)

    def _source_of(self, task: Task, language: str) -> str:
        """How to get the rows of a language: of one that is the study's own, nobody has published any."""
        if language in self.study.own_languages:
            return f"get them: bring files of your own; the pocket study's are made by: xstilts data pocket {self.data.root}"
        fetch = f"xstilts data fetch STUDY --data {self.data.root}"
        return f"get them: {task.fetch}\n  or, if the Hugging Face hub has them: {fetch}"

    def _elsewhere(self, task: Task, split: str) -> str:
        """In which languages there are such rows, for an error about one in which there are none."""
        own = [language for language in self.study.own_languages if self.data.files(task, split, language)]
        found = dict.fromkeys([*self.data.languages(task, split), *own])
        return f" (there are some in: {', '.join(found)})" if found else ""

    def _leave_out(self, target: str, split: str, language: str, reason: str) -> None:
        key = {"target": target, "split": split, "language": language, "reason": reason}
        self.left_out[target, f"{split}-{language}"] = key

    def _has_gold(self, task: Task, split: str, language: str) -> bool:
        if self.data.gold_files(task, split, language):
            return True
        first = next(iter(task.read(self.data.files(task, split, language), language)), None)
        return first is not None and task.type.gold(first) is not None

    def _find_overlaps(self, rows_of: str, source: str) -> list[dict[str, Any]]:
        """Test files in the language learned whose rows must not be trained on: same shape, any target of the study.

        In XTREME's order, whatever the study's: the order in which targets are listed must not change a key.
        """
        found, order = [], [t.name for t in targets()]
        for target in sorted(map(load, self.study.targets), key=lambda t: ([*order, t.name].index(t.name), t.name)):
            same = type(target.type) is type(load(rows_of).type)
            if same and self.data.files(target, "test", source):
                found.append({"task": target.name, **self.entries(target.name, "test", source, False)})
        return found

    def _read_needed(self, name: str, split: str, language: str) -> dict[str, Any]:
        task = load(name)
        if not self.data.files(task, split, language):
            raise DataError(
                f"{task.name} has no {language} {split} files{self._elsewhere(task, split)}; looked for "
                f"{' or '.join(self.data.missing(task, split, language))}",
                where=str(self.data.root),
                hint=f"{self._source_of(task, language)}\n  or point the study at a stand-in: data: {{files: "
                f"{{{task.name}.{split}: FILE}}}}",
            )
        return self.entries(task.name, split, language, True)

    def _read_entries(self, task: str, split: str, language: str, gold: bool) -> dict[str, Any]:
        """Names and digests of the files of one split and language; identity is content, never the place."""
        texts = self.data.files(load(task), split, language)
        if not gold and load(task).group == "retrieval":
            texts = texts[:2]  # BUCC's third file is its gold: mining must not depend on it
        entries = {"files": [self._entry(p) for p in texts]}
        if how := next(filter(None, map(origin, texts)), ""):
            self.translated[f"{task}.{split}.{language}"] = how
        if gold:
            entries["gold"] = [self._entry(p) for p in self.data.gold_files(load(task), split, language)]
        return entries

    def _entry(self, path: Path) -> FileEntry:
        sha256 = self.digest(path)
        self.places[sha256] = str(path)
        return {"name": path.name, "sha256": sha256}

    def _find_bucc_gold(self) -> dict[str, dict[str, Any]]:
        bucc = load("bucc2018")
        there = [lang for lang in self._known(bucc) if self.data.files(bucc, "dev", lang)]
        return {lang: self.entries(bucc.name, "dev", lang, True) for lang in there if self._has_gold(bucc, "dev", lang)}
