"""Bring what a study lacks from the hub into the data folder; afterwards it runs without a network.

Every file is written aside, read back by the reader of its task or of text, noted in ``hub.json`` and put in its place: a
file that is there is whole. What is there already is left alone, unless it is exactly what was fetched before and its
dataset's commit is another now.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from xstilts.data.files import lines
from xstilts.errors import DataError
from xstilts.graph.disk import digest_file, settle
from xstilts.hub import landing
from xstilts.hub.declared import REFUSED, Copy, copies
from xstilts.hub.download import Hub, Say
from xstilts.hub.ledger import Ledger, Origin, address, load_ledger
from xstilts.hub.needs import Need, Text, needs, texts
from xstilts.hub.texts import as_asked, text_copies
from xstilts.hub.writing import Row
from xstilts.hyperparameters import HUB_TEXT
from xstilts.study import Study
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples

_MAKE = "bring files of your own; the world of the pocket study, rows and texts, is made by: xstilts data pocket {data}"


@dataclass
class Fetched:
    """What a fetch did. ``refused`` is what the study cannot do without and the hub cannot give; ``passed_over`` are rows
    it can do without, or that nobody has published; ``changed`` files came from the hub once and are not what came;
    ``otherwise`` are texts that came from another place on the hub than the study names now."""

    files: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    there: int = 0
    changed: list[str] = field(default_factory=list)
    otherwise: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    passed_over: list[dict[str, Any]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything that the study needs is there now."""
        return not self.refused

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"complete": self.complete}


def fetch(study: Study, data: Path, say: Say, *, update: bool = False) -> Fetched:
    """Bring the rows and the models that ``study`` needs and that are not there.

    Args:
        study: its names are in order.
        data: the data folder; made when the first file comes.
        say: told of progress.
        update: look branches up again, and bring files anew that came from the hub and were not changed since.

    Raises:
        DataError: a dataset cannot be had, or is not what is declared; what was complete before stays.
        ModelError: a model cannot be had.
    """
    if data.exists() and not data.is_dir():
        raise DataError("the data folder is a file", where=str(data), hint="name a folder with --data")
    learned = texts(study)
    from_hub = list(text_copies(learned))  # two sources of one file are found out before anything is brought
    fetcher = _Fetcher(data, Hub(say), landing.tidy(data), update)
    fetcher.rows(needs(study))
    for language, copy in from_hub:
        fetcher.text(language, copy)
    fetcher.absent_texts(learned)
    fetcher.models(study)
    return fetcher.done


class _Fetcher:
    def __init__(self, data: Path, hub: Hub, ledger: Ledger, update: bool) -> None:
        self.data, self.hub, self.ledger, self.update = data, hub, ledger, update
        self.folder = DataFolder(data)
        self.done = Fetched()
        self._commits: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._written: set[str] = set()
        self._mixed: dict[str, dict[str | None, list[Row]]] = {}

    def rows(self, wanted: Collection[Need]) -> None:
        """Every need whose files are not there; those the hub cannot give are put down with the reason."""
        without: dict[tuple[str, str, str, str, bool], list[str]] = defaultdict(list)
        has_rows = {n.language for n in wanted if n.own and self._files(n)}
        for need in sorted(wanted):  # the rows of one split, which may hold all languages, one after the other
            declared = () if need.own else copies(need.task, need.split, need.language)
            if self._files(need) and not self._outdated(declared):
                self.done.there += 1
            elif declared:
                self._bring(need.task, need.language, declared, partial(self._read_rows, need, declared))
            elif need.own and need.language not in load(need.task).languages and need.language in has_rows:
                continue  # as in the plan: an own language counts for the targets that have rows of it
            else:
                reason, get = self._refusal(need)
                without[need.task, need.split, reason, get, need.optional].append(need.language)
        for (name, split, reason, get, spared), languages in without.items():
            told = {"task": name, "split": split, "languages": languages, "reason": reason, "get": get}
            (self.done.passed_over if spared else self.done.refused).append(told)

    def text(self, language: str, copy: Copy) -> None:
        """Bring one file of text; one that is there is left alone, and if it came from elsewhere on the hub, that is said."""
        there = _present(self.data / copy.path) is not None
        if not self.update and self._is_as_fetched(copy) and not as_asked(self.ledger.files[copy.path], copy):
            self.done.otherwise.append(copy.path)
        elif not there or self._outdated([copy]):
            self._bring(f"text for {language}", language, [copy], lambda places: _read_lines(places[copy.path]))

    def absent_texts(self, wanted: Collection[Text]) -> None:
        """Look for everything that masked LM learns from; put down what is not there and has no source on the hub."""
        for text in wanted:
            names = {language: text.pattern.replace("{language}", language) for language in text.languages}
            absent = [language for language, name in names.items() if _present(self.data / name) is None]
            self.done.there += len(names) - len(absent) - len(self._written & set(names.values()))
            if absent and not (text.one_is_enough and len(absent) < len(names)):
                told = {"task": text.where, "split": text.what, "languages": absent}
                named = f"name a source on the hub, {text.where}.hub: {HUB_TEXT}, or " if text.what == "text" else ""
                reason = f"the study names no source of it on the hub; looked for {text.pattern}"
                self.done.refused.append(told | {"reason": reason, "get": named + _MAKE.format(data=self.data)})

    def models(self, study: Study) -> None:
        """The study's models that are named by id, at the commit of the first fetch."""
        for name, choice in study.models.items():
            if choice.id is None:
                continue
            known = None if self.update else self.ledger.models.get(address(choice))
            if known and self.hub.has_model(choice.id, known):
                self.done.there += 1
                continue
            sha = self.hub.model(choice.id, known or self.hub.commit("model", choice.id, choice.revision or "main"))
            self.ledger = landing.note(self.data, models={address(choice): sha})
            self.done.models.append({"name": name, "id": choice.id, "revision": sha, "asked": choice.revision})

    def _files(self, need: Need) -> tuple[Path, ...]:
        return self.folder.files(load(need.task), need.split, need.language)

    def _refusal(self, need: Need) -> tuple[str, str]:
        """Why the hub cannot give these rows, and how to get them."""
        if need.own:
            return "a language of the study's own: the hub has no rows of it", _MAKE.format(data=self.data)
        return REFUSED.get(need.task, "the hub has no such rows"), load(need.task).fetch

    def _outdated(self, declared: Sequence[Copy]) -> bool:
        """Whether to bring one need's files anew: not if one was changed, for a bitext's two sides stay together."""
        changed = [c.path for c in declared if self._is_as_fetched(c) is False]
        self.done.changed += [path for path in changed if path not in self.done.changed]
        return not changed and any(map(self._is_outdated, declared))

    def _is_outdated(self, copy: Copy) -> bool:
        """Whether the file is what was fetched once, and its dataset's commit is another now (or is looked up again)."""
        if copy.path in self._written or not self._is_as_fetched(copy):
            return False
        pinned = self.ledger.datasets.get(_branch(copy))
        return self.update or pinned not in (None, self.ledger.files[copy.path].revision)

    def _is_as_fetched(self, copy: Copy) -> bool | None:
        """Whether the file's bytes are those that were fetched; ``None`` for one never fetched, or not there."""
        origin, place = self.ledger.files.get(copy.path), self.data / copy.path
        if origin is None or not place.is_file():
            return None
        if copy.path not in self._digests:
            self._digests[copy.path] = digest_file(place)
        return self._digests[copy.path] == origin.sha256

    def _bring(
        self, what: str, language: str, declared: Sequence[Copy], read: Callable[[Mapping[str, Path]], None]
    ) -> None:
        """Write the missing files of a need or a text aside, ``read`` all of it back, and put them in their places."""
        anew = self._outdated(declared)
        there = {c.path: place for c in declared if (place := _present(self.data / c.path))}
        missing = [c for c in declared if c.path not in there or (anew and self._is_outdated(c))]
        replaced = {c.path: self._digests[c.path] if c.path in there else None for c in missing}
        with landing.scratch(self.data) as scratch:
            fresh = {c.path: self._write(c, language, scratch) for c in missing}
            try:
                read({**there, **{path: scratch / path for path in fresh}})
            except DataError as error:
                where = error.where.replace(f"{scratch}/", "")
                raise DataError(
                    f"the hub's rows cannot be read as {what}: {error.what}",
                    where=f"{where} ({declared[0].address})",
                    hint="nothing of it was kept; the dataset may have changed: pin an older revision in hub.json",
                ) from error
            commits = {_branch(c): self._commits[_branch(c)] for c in missing}
            ledger = landing.land(self.data, scratch, fresh, replaced, commits)
        if ledger is None:
            raise DataError(
                f"files of {what} were written by somebody else during the fetch, and are left as they are",
                where=str(self.data / missing[0].path),
                hint="if that was another fetch, run the same command again: it goes on from there",
            )
        self.ledger = ledger
        self._written |= fresh.keys()
        self._digests |= {path: origin.sha256 for path, origin in fresh.items()}
        self.done.files += [origin.model_dump(mode="json") for origin in fresh.values()]

    @staticmethod
    def _read_rows(need: Need, declared: Sequence[Copy], places: Mapping[str, Path]) -> None:
        """As the task's own reader does."""
        read_examples(load(need.task), [places[c.path] for c in declared], need.language)

    def _write(self, copy: Copy, language: str, scratch: Path) -> Origin:
        revision = self._revision(copy)
        path = scratch / copy.path
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = self._rows(copy, revision, language)
        place = f"{copy.address} at {revision[:12]}"
        try:
            with path.open("w", encoding="utf-8", newline="") as out:
                counts = copy.write(rows, out)
        except DataError as error:
            raise DataError(error.what, where=error.where or place, hint=error.hint) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"its rows are not of the form that is declared: {type(error).__name__}: {error}"
            raise DataError(what, where=place, hint="nothing of it was kept; the dataset may have changed") from error
        if not counts["rows"]:
            raise DataError(f"no rows of language {language!r}", where=place)
        changes = {what: n for what, n in counts.items() if n and what != "rows"}
        said = [f"{n:,} {what}" for what, n in changes.items()] if copy.lines else []
        said += [f"stopped at lines: {copy.lines}"] if counts["rows"] == copy.lines else []
        cut = f" ({'; '.join(said)})" if said else ""
        self.hub.say(f"{copy.path}: {counts['rows']:,} rows of {place}{cut}")
        return Origin(
            path=copy.path,
            dataset=copy.dataset,
            config=copy.config,
            split=copy.split,
            revision=revision,
            rows=counts["rows"],
            sha256=settle(path)["sha256"],
            differs=copy.differs,
            changes=changes,
            column=copy.columns[0] if copy.lines else None,
            lines=copy.lines,
            licence=self.hub.licence(copy.dataset, revision) if copy.lines else "",
        )

    def _rows(self, copy: Copy, revision: str, language: str) -> Iterator[Row]:
        """The split's rows; of a split that mixes languages those of one, parted in one pass for all of them."""
        if copy.belongs is None:
            return self.hub.rows(copy, revision)
        if copy.address not in self._mixed:
            self._mixed.clear()  # one table at a time in memory
            parted: dict[str | None, list[Row]] = defaultdict(list)
            for row in self.hub.rows(copy, revision):
                parted[copy.belongs(row)].append(row)
            self._mixed[copy.address] = parted
        return iter(self._mixed[copy.address].get(language, ()))

    def _revision(self, copy: Copy) -> str:
        """The commit in the ledger; the first time, and once with ``update``, the one the branch names now."""
        branch = _branch(copy)
        if branch not in self._commits:
            known = None if self.update else load_ledger(self.data).datasets.get(branch)
            self._commits[branch] = known or self.hub.commit("dataset", copy.dataset, copy.branch)
        return self._commits[branch]


def _branch(copy: Copy) -> str:
    """What the ledger pins."""
    return f"{copy.dataset}@{copy.branch}"


def _read_lines(path: Path) -> None:
    """As text is read."""
    for _ in lines(path):
        pass


def _present(path: Path) -> Path | None:
    """The file, or the compressed one that stands in for it."""
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


def summary(done: Fetched) -> list[str]:
    """What a fetch did, in lines for people."""
    told = []
    by_dataset = Counter((f["dataset"], f["revision"][:12]) for f in done.files)
    rows = Counter[tuple[str, str]]()
    for f in done.files:
        rows[f["dataset"], f["revision"][:12]] += f["rows"]
    for (dataset, revision), count in sorted(by_dataset.items()):
        told.append(f"{dataset} at {revision}: {count} files, {rows[dataset, revision]:,} rows")
    for differs in sorted({f["differs"] for f in done.files} - {""}):
        folders = sorted({f["path"].partition("/")[0] for f in done.files if f["differs"] == differs})
        told.append(f"not as in XTREME's copy: {', '.join(folders)}: {differs}")
    for model in done.models:
        hint = "" if model["asked"] == model["revision"] else f"; to pin it: revision: {model['revision']}"
        told.append(f"model {model['name']}: {model['id']} at {model['revision'][:12]}{hint}")
    for licence in sorted({f["licence"] for f in done.files} - {""}):
        named = sorted({f["dataset"] for f in done.files if f["licence"] == licence})
        told.append(f"licence, as the dataset's card says: {', '.join(named)}: {licence}")
    for path in done.otherwise:
        told.append(
            f"left alone: {path} came from another place on the hub than the study names; --update brings it anew"
        )
    for path in done.changed:
        told.append(f"left alone: {path} came from the hub once, and was changed since")
    told.append(f"{done.there} of what the study needs was there already")
    for what, items in (("left out", done.passed_over), ("NOT FETCHED", done.refused)):
        for item in items:
            place = f"{item['task']} {item['split']} ({', '.join(item['languages'])})"
            told.append(f"{what}: {place}: {item['reason']}")
            told.append(f"  get them yourself: {item['get']}")
    return told
