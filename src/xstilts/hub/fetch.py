"""Bring what a study lacks from the hub into the data folder; afterwards it runs without a network.

Every file is written aside, read back by the task's own reader, noted in ``hub.json`` and only then renamed to its place:
a file that is there is whole. What is there already, from wherever, is left alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xstilts.errors import DataError
from xstilts.graph.disk import digest_file, guarded
from xstilts.hub.declared import REFUSED, Copy, copies
from xstilts.hub.download import Hub, Say
from xstilts.hub.ledger import Ledger, Origin, address, load_ledger, save_ledger
from xstilts.hub.needs import Need, needs
from xstilts.hub.writing import Row
from xstilts.study import Study
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples


@dataclass
class Fetched:
    """What a fetch did. ``refused`` are rows the study cannot do without and the hub cannot give; ``passed_over`` those
    it can do without, or that nobody has published."""

    files: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    there: int = 0
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
        data: the data folder; made if it is not there.
        say: told of progress.
        update: look branches up again, and bring files anew that came from the hub.

    Raises:
        DataError: a dataset cannot be had, or is not what is declared; what was complete before stays.
        ModelError: a model cannot be had.
    """
    with guarded(data):
        data.mkdir(parents=True, exist_ok=True)
    fetcher = _Fetcher(data, Hub(say), load_ledger(data), update)
    fetcher.rows(needs(study))
    fetcher.models(study)
    return fetcher.done


class _Fetcher:
    def __init__(self, data: Path, hub: Hub, ledger: Ledger, update: bool) -> None:
        self.data, self.hub, self.ledger, self.update = data, hub, ledger, update
        self.folder = DataFolder(data)
        self.done = Fetched()
        self._looked_up: set[str] = set()
        self._written: set[str] = set()
        self._mixed: dict[str, dict[str | None, list[Row]]] = {}

    def rows(self, wanted: Iterable[Need]) -> None:
        """Every need whose files are not there; those the hub cannot give are put down with the reason."""
        without: dict[tuple[str, str, str, bool], list[str]] = defaultdict(list)
        for need in sorted(wanted):  # the rows of one split, which may hold all languages, one after the other
            task = load(need.task)
            declared = copies(need.task, need.split, need.language)
            if self.folder.files(task, need.split, need.language) and not self._renewed(declared):
                self.done.there += 1
            elif declared:
                self._bring(need, declared)
            else:
                reason = REFUSED.get(need.task, "the hub has no such rows")
                # As in the plan: languages may lack dev rows, but nothing runs without training rows.
                spared = need.optional or (need.task not in REFUSED and need.split == "dev")
                without[need.task, need.split, reason, spared].append(need.language)
        for (name, split, reason, spared), languages in without.items():
            told = {"task": name, "split": split, "languages": languages, "reason": reason, "get": load(name).fetch}
            (self.done.passed_over if spared else self.done.refused).append(told)

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
            self._note(models={address(choice): sha})
            self.done.models.append({"name": name, "id": choice.id, "revision": sha, "asked": choice.revision})

    def _renewed(self, declared: Sequence[Copy]) -> bool:
        """Whether these files came from the hub and are to be brought anew."""
        return self.update and any(c.path in self.ledger.files and c.path not in self._written for c in declared)

    def _bring(self, need: Need, declared: Sequence[Copy]) -> None:
        """Write one need's missing files aside, read them as the task does, and move them to their places."""
        missing = [c for c in declared if not (self.data / c.path).exists() or self._renewed([c])]
        with guarded(self.data), tempfile.TemporaryDirectory(prefix=".fetching-", dir=self.data) as scratch:
            fresh = {c.path: self._write(c, need.language, Path(scratch)) for c in missing}
            paths = [Path(scratch) / c.path if c.path in fresh else self.data / c.path for c in declared]
            try:
                read_examples(load(need.task), paths, need.language)
            except DataError as error:
                where = error.where.replace(f"{scratch}/", "")
                raise DataError(
                    f"the hub's rows cannot be read as {need.task}: {error.what}",
                    where=f"{where} ({declared[0].address})",
                    hint="nothing of it was kept; the dataset may have changed: pin an older revision in hub.json",
                ) from error
            self._note(files=fresh)  # before the renames: a file from the hub is never without its origin
            for path, origin in fresh.items():
                place = self.data / path
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(Path(scratch) / path, place)
                self._written.add(path)
                self.done.files.append(origin.model_dump(mode="json"))

    def _write(self, copy: Copy, language: str, scratch: Path) -> Origin:
        revision = self._revision(copy)
        path = scratch / copy.path
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = self._rows(copy, revision, language)
        try:
            with path.open("w", encoding="utf-8", newline="") as out:
                counts = copy.write(rows, out)
        except DataError as error:
            where = error.where or f"{copy.address} at {revision[:12]}"
            raise DataError(error.what, where=where, hint=error.hint) from error
        if not counts["rows"]:
            raise DataError(f"no rows of language {language!r}", where=f"{copy.address} at {revision[:12]}")
        changes = {what: n for what, n in counts.items() if n and what != "rows"}
        self.hub.say(f"{copy.path}: {counts['rows']:,} rows of {copy.address} at {revision[:12]}")
        return Origin(
            path=copy.path,
            dataset=copy.dataset,
            config=copy.config,
            split=copy.split,
            revision=revision,
            rows=counts["rows"],
            sha256=digest_file(path),
            differs=copy.differs,
            changes=changes,
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
        key = f"{copy.dataset}@{copy.branch}"
        if key not in self.ledger.datasets or (self.update and key not in self._looked_up):
            sha = self.hub.commit("dataset", copy.dataset, copy.branch)
            self._note(datasets={key: sha})
        self._looked_up.add(key)
        return self.ledger.datasets[key]

    def _note(self, **changes: dict[str, Any]) -> None:
        """Add to the ledger as it stands now: another fetch may have added to it, too."""
        now = load_ledger(self.data)
        self.ledger = now.model_copy(update={name: {**getattr(now, name), **new} for name, new in changes.items()})
        save_ledger(self.data, self.ledger)


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
    told.append(f"{done.there} of what the study needs was there already")
    for what, items in (("left out", done.passed_over), ("NOT FETCHED", done.refused)):
        for item in items:
            place = f"{item['task']} {item['split']} ({', '.join(item['languages'])})"
            told.append(f"{what}: {place}: {item['reason']}")
            told.append(f"  get them yourself: {item['get']}")
    return told
