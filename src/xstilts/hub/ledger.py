"""``DIR/hub.json``: which files of a data folder came from the hub, from which commit, and how they differ from XTREME's.

It also holds the commits themselves, so that a branch which moves on changes nothing until ``--update``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from xstilts.errors import DataError, StoreError
from xstilts.graph.disk import guarded, read_json, write_json
from xstilts.hyperparameters import Frozen
from xstilts.model_choice import ModelChoice
from xstilts.model_source import ModelSource

NAME = "hub.json"


class Origin(Frozen):
    """Where one file came from.

    Args:
        path: under the data folder.
        dataset, config, split, revision: where its rows are on the hub; the revision is a commit.
        rows: in the file.
        sha256: of the file as it came.
        differs: how the hub's copy differs from XTREME's.
        changes: counts what the rows needed to be readable (words cleaned, answers moved, empty texts left out).
        column, lines: of a file of text, where the texts stood and how many were taken at most.
        licence: of a file of text, as the dataset's card says.
    """

    path: str
    dataset: str
    config: str | None
    split: str
    revision: str
    rows: int
    sha256: str
    differs: str = ""
    changes: dict[str, int] = Field(default_factory=dict)
    column: str | None = None
    lines: int | None = None
    licence: str = ""

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if not path or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError("a file of the data folder lies under it")
        return path


class Ledger(Frozen):
    """The ledger of one data folder: commits by ``id@branch``, files by their path under the folder.

    ``coming`` are files on their way to their places (see ``landing``): empty unless a fetch was killed just then.
    """

    datasets: dict[str, str] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)
    files: dict[str, Origin] = Field(default_factory=dict)
    coming: dict[str, Origin] = Field(default_factory=dict)

    def with_changes(self, **fields: Mapping[str, Any]) -> Ledger:
        """The same ledger with other fields."""
        return self.model_copy(update=fields)

    def used(self, digests: Collection[str]) -> list[Origin]:
        """The origins of files whose content is among ``digests``: a file that was changed has none."""
        found = {o.path: o for o in (*self.coming.values(), *self.files.values()) if o.sha256 in digests}
        return [found[path] for path in sorted(found)]

    def pinned(self, choice: ModelChoice) -> ModelChoice:
        """The model at the commit that was fetched, whatever its branch says now."""
        sha = self.models.get(address(choice)) if choice.id is not None else None
        return choice if sha is None else choice.model_copy(update={"revision": sha})


def address(choice: ModelChoice) -> str:
    """``id@revision`` as the study says it."""
    return f"{choice.id}@{choice.revision or 'main'}"


def load_ledger(data: Path) -> Ledger:
    """The ledger of a data folder; an empty one where nothing was fetched."""
    try:
        return Ledger.model_validate(read_json(data / NAME))
    except FileNotFoundError:
        return Ledger()
    except (StoreError, ValidationError) as error:
        raise DataError(
            f"the record of what came from the hub is damaged: {error}".splitlines()[0],
            where=str(data / NAME),
            hint="put it back from a copy; without it nobody can say where the fetched files came from",
        ) from None


def save_ledger(data: Path, ledger: Ledger) -> None:
    """Replace the ledger, whole or not at all. The caller holds the folder's lock (``landing.locked``)."""
    with guarded(data / NAME):
        write_json(data / NAME, ledger.model_dump(mode="json"))


def origins(
    ledger: Ledger, digests: Collection[str], choices: Mapping[str, ModelChoice], found: Iterable[ModelSource]
) -> dict[str, Any]:
    """What a study's record keeps of the hub: the files and the models it used, with their commits."""
    models = {
        m.name: {"id": choices[m.name].id, "revision": m.revision, "asked": choices[m.name].revision}
        for m in found
        if choices[m.name].id is not None
    }
    return {"files": [o.model_dump(mode="json") for o in ledger.used(digests)], "models": models}


def notes(record: Mapping[str, Any], *models: str) -> list[str]:
    """What a table of these models must say of the hub, from what ``origins`` recorded."""
    groups: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for origin in record.get("files", ()):
        folder, says = origin["path"].partition("/")[0], origin["differs"]
        if origin.get("lines") is not None:
            says = f"text, at most {origin['lines']:,} lines of each language; licence: {origin['licence']}"
        groups[origin["dataset"], origin["revision"], says].add(folder)
    told = []
    for (dataset, revision, says), folders in sorted(groups.items(), key=lambda g: sorted(g[1])):
        which = f"Rows of {', '.join(sorted(folders))} come from the hub, {dataset} at {revision[:12]}"
        told.append(f"{which}: {says}." if says else f"{which}.")
    for model, source in record.get("models", {}).items():
        if model in models:
            pinned = source["asked"] == source["revision"]
            hint = "" if pinned else f" To pin it, in the study file: revision: {source['revision']}"
            told.append(f"{model} is {source['id']} at {source['revision'][:12]}.{hint}")
    return told
