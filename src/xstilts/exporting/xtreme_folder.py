"""An XTREME submission put together from a study's score nodes: nine folders, one file for each language.

A submission is of one model, arm and seed, on whole test splits. What lacks is listed with the reason, and every file that
is written is read again by the readers that ``xstilts score`` uses.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xstilts import tasks
from xstilts.errors import MissingNameError, PredictionError, StudyError
from xstilts.exporting.whole import check_place, whole_folder
from xstilts.graph.node import Graph, Node
from xstilts.graph.status import status
from xstilts.graph.store import Store
from xstilts.submission_files import check_alone, file_of
from xstilts.tasks.task import Task

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Lacking:
    """A language of a task that the submission has no file for, and why."""

    task: str
    language: str
    reason: str


@dataclass(frozen=True)
class Submission:
    """What was written.

    Args:
        folder: whole.
        model, arm, seed: whose answers these are.
        files: how many files each task has.
        lacking: the languages without a file.
        notes: files whose number of rows is not the published one.
    """

    folder: Path
    model: str
    arm: str
    seed: int
    files: dict[str, int]
    lacking: tuple[Lacking, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "folder": str(self.folder)}


def export_xtreme(
    store: Store,
    study: str,
    to: Path,
    *,
    model: str | None = None,
    arm: str | None = None,
    seed: int | None = None,
    partial: bool = False,
) -> Submission:
    """Write the submission folder of one model, arm and seed to ``to``, whole or not at all.

    Args:
        store: holds the study's finished nodes.
        study: its name there.
        to: a new folder.
        model, arm, seed: may be left out where the study has one.
        partial: write what is there, instead of refusing what is not complete.

    Raises:
        MissingNameError: no such study, model, arm or seed.
        StudyError: one of them is not named, and the study has several.
        PredictionError: a language lacks and ``partial`` is not said, there is nothing at all, or a file is not of its form.
        StoreError: ``to`` is there already or cannot be written; a node is damaged.
    """
    check_place(to)
    studies = store.studies()
    if study not in studies:
        raise MissingNameError("study", study, studies, where=str(store.root))
    payload = studies[study]
    model = _chosen("model", model, payload["study"]["models"])
    arm = _chosen("arm", arm, payload["study"]["arms"])
    number = int(_chosen("seed", seed, payload["study"]["seeds"]))
    cells = {
        cell["target"]: cell
        for cell in payload["cells"]
        if (cell["model"], cell["arm"], cell["seed"], cell["split"]) == (model, arm, number, "test")
    }
    there, lacking = _found(store, payload, cells)
    if lacking and (not partial or not there):
        raise _incomplete(there, lacking, partial)
    files = {task.name: sum(of is task for of, _, _ in there) for task in tasks.targets()}
    notes = []
    with whole_folder(to) as out:
        for task, language, path in there:
            goal = file_of(out, task, language)
            goal.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, goal)
            rows, published = check_alone(goal, task), task.counts.get("test", {}).get(language)
            if published and getattr(task.type, "mode", "") != "mined" and rows != published:
                notes.append(f"{task.name} {language}: {rows:,} rows answered; published are {published:,}")
    return Submission(to, model, arm, number, {k: n for k, n in files.items() if n}, tuple(lacking), tuple(notes))


def _chosen(kind: str, name: Any, names: Sequence[Any] | Mapping[str, Any]) -> Any:
    known = [str(each) for each in names]
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        what = f"the study has {len(known)} {kind}s, and a submission is of one"
        raise StudyError(what, where=f"--{kind}", hint=f"known: {', '.join(known)}")
    if str(name) not in known:
        raise MissingNameError(kind, str(name), known, where=f"--{kind}")
    return name


def _found(
    store: Store, payload: Mapping[str, Any], cells: Mapping[str, Cell]
) -> tuple[list[tuple[Task, str, Path]], list[Lacking]]:
    """The files there are, in XTREME's order, and the languages without one."""
    nodes = {record["key"]: Node.from_json(record) for record in payload["nodes"]}
    states = status(Graph(payload["study"]["name"], tuple(nodes.values())), store)
    there: list[tuple[Task, str, Path]] = []
    lacking = []
    for task in tasks.targets():
        cell = cells.get(task.name)
        whole = _why_none(payload, task, cell, nodes, states)
        if cell is not None and not whole:
            store.verify_once(cell["key"])
        for language in task.languages:
            path = None
            if cell is not None and not whole and language not in payload["study"].get("own_languages", {}):
                path = store.path(cell["key"]) / "submission" / file_of(Path(), task, language).name
            if path is not None and path.is_file():
                there.append((task, language, path))
            else:
                reason = whole or _why_not(payload, task, language, nodes[cell["key"]] if cell else None)
                lacking.append(Lacking(task.name, language, reason))
    return there, lacking


def _why_none(
    payload: Mapping[str, Any], task: Task, cell: Cell | None, nodes: Mapping[str, Node], states: Mapping[str, str]
) -> str:
    """Why a task has no file at all; empty where it may have some."""
    if task.name not in payload["study"]["targets"]:
        return "not a target of this study"
    if cell is None:
        return "its test split is not in this study"
    if states[cell["key"]] != "done":
        return f"not run yet ({states[cell['key']]}): `xstilts status` says more"
    rows = nodes[cell["key"]].spec.get("rows")
    return f"limited to {rows:,} rows a language: a submission answers whole test splits" if rows is not None else ""


def _why_not(payload: Mapping[str, Any], task: Task, language: str, node: Node | None) -> str:
    """Why one language of a task has no file."""
    if language in payload["study"].get("own_languages", {}):
        return "this code is a language of the study's own, not XTREME's"
    for left in payload["left_out"]:
        if (left["target"], left["split"], left["language"]) == (task.name, "test", language):
            return f"left out of the study: {left['reason']}"
    if node is None or language not in node.spec["languages"]:
        return "not one of the study's languages"
    if task.name == "bucc2018":
        return "mined, but there is no threshold: no dev pairs of this language to set it on"
    return "its node has no submission file: it was made by an older version; run the study again"


def _incomplete(there: Sequence[Any], lacking: Sequence[Lacking], partial: bool) -> PredictionError:
    total = sum(len(task.languages) for task in tasks.targets())
    what = f"this is no complete submission: {len(lacking)} of {total} files are missing"
    what += "".join(f"\n  {line}" for line in lacking_lines(lacking))
    hint = "write what is there with --partial" if there and not partial else ""
    return PredictionError(what, hint=hint or "there is not one file to write")


def lacking_lines(lacking: Sequence[Lacking]) -> Iterator[str]:
    """``task: languages: reason``, one line for each task and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in lacking:
        groups.setdefault((each.task, each.reason), []).append(each.language)
    for (task, reason), languages in groups.items():
        every = len(languages) == len(tasks.load(task).languages)
        yield f"{task} ({f'all {len(languages)}' if every else ', '.join(languages)}): {reason}"
