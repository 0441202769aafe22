"""The whole way: a study file in, a plan, a run, results out. What the command line calls, and what a notebook can call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts import tasks
from xstilts.device import fingerprint, worker_threads
from xstilts.errors import DataError, MissingNameError, StoreError, StudyError
from xstilts.graph.log import RunLog, Tracker
from xstilts.graph.node import Graph, Node, Resources
from xstilts.graph.status import status
from xstilts.graph.store import Level, Store
from xstilts.hub import ledger
from xstilts.model_source import find_model
from xstilts.models.precision import resolve_precision
from xstilts.naming import check_names
from xstilts.plan import Plan, make_plan
from xstilts.plan.retries import retries_declared, run_with_retries, with_retries
from xstilts.report.flaws import flaw_notes
from xstilts.report.grid import Grid
from xstilts.report.languages import declares_distances, language_tables
from xstilts.report.masked_lm import masked_lm_notes
from xstilts.report.random_weights import marked
from xstilts.report.results import Results, result_rows, study_results
from xstilts.report.retries import retry_notes
from xstilts.report.retrieval_steps import study_grids, study_rows
from xstilts.report.sources import translated_notes
from xstilts.report.table import Table, zero_shot_table
from xstilts.study import Study
from xstilts.study_source import RECIPES as RECIPES
from xstilts.study_source import chosen_study
from xstilts.study_source import read_study as read_study
from xstilts.tasks.folder import DataFolder

if TYPE_CHECKING:
    from xstilts.graph.engine import Engine
    from xstilts.graph.events import Event
    from xstilts.graph.run import Summary
    from xstilts.hub.fetch import Fetched


@contextmanager
def open_store(root: Path, *, must_exist: bool = False, level: Level = "digests") -> Iterator[Store]:
    """A store; its digest cache is saved at the end."""
    if not root.is_dir() and (must_exist or root.exists()):
        raise StoreError("no store here", where=str(root), hint="name it with --store DIR; xstilts run makes one")
    store = Store(root, level=level)
    yield store
    store.digests.save()


def plan_study(
    source: Path | Study,
    data: Path,
    store: Store,
    model_folders: Mapping[str, Path] | None = None,
    devices: Sequence[str] = ("cpu",),
    task_files: Sequence[Path] = (),
    seeds: Sequence[int] | None = None,
    threads: int | None = None,
) -> Plan:
    """Plan a study: names, files, models and precision are checked before anything is computed.

    Args:
        source: the study, its file, or a recipe's name.
        data: the data folder.
        store: keeps the digests of large files.
        model_folders: of models that lie elsewhere than the study says.
        devices: where it will run; ``auto`` precision is bf16 when all of them have it natively.
        task_files: tasks from outside the package.
        seeds: other ones than the study's.
        threads: CPU threads of each worker (see ``resources``): a measurement is of a number of threads.
    """
    for path in task_files:
        tasks.load_file(path)
    study = chosen_study(source, model_folders or {}, seeds)
    check_names(study, source if isinstance(source, Path) else None)
    _make_pocket_world(data)
    if not data.is_dir():
        raise DataError("no such data folder", where=str(data), hint="name it with --data DIR")
    folder = DataFolder(data.absolute(), stand_ins(study))
    fetched = ledger.load_ledger(data)
    choices = {
        name: fetched.pinned(choice) for name, choice in study.models.items() if not (choice.pretrain or choice.shape)
    }
    models = [find_model(name, choice, store.digests.digest) for name, choice in choices.items()]
    resolved = {resolve_precision(study.precision, device) for device in devices}
    if len(resolved) > 1:
        raise StudyError(
            "the devices do not agree on a precision",
            where="precision",
            hint="say it in the study file: precision: fp32",
        )
    (precision,) = resolved
    measured_on = None
    if study.measurements:
        found = [
            fingerprint(device, worker_threads(devices, threads)[1], precision) for device in dict.fromkeys(devices)
        ]
        if any(other != found[0] for other in found):
            raise StudyError(
                f"{' and '.join(of['name'] for of in found)} are not one device, and a measurement is of one",
                where="measurements",
                hint="run a study with measurements with one --device, or with several of the same kind",
            )
        measured_on = found[0]
    planned = make_plan(study, folder, models, precision=precision, digest=store.digests.digest, device=measured_on)
    return with_retries(replace(planned, hub=ledger.origins(fetched, planned.files, study.models, models)), store)


def _make_pocket_world(data: Path) -> None:
    """``--data pocket`` is made where it is not there: a newcomer's first study needs no data.

    Raises:
        DataError: there is one, but another version of the generator made it.
    """
    if data.name != "pocket" and not (data / "pocket.json").is_file():
        return
    from xstilts.pocket import is_current, make_world

    if not data.exists():
        make_world(data)
    elif (data / "pocket.json").is_file() and not is_current(data, None):
        raise DataError(
            "this pocket world was made by another version of xstilts, so its rows are not those of the recipe",
            where=str(data),
            hint=f"remove it ({data} is made anew), or name another folder: --data elsewhere/pocket",
        )


def fetch_study(
    file: Path, data: Path, say: Callable[[str], None], *, update: bool = False, task_files: Sequence[Path] = ()
) -> Fetched:
    """Bring what a study lacks from the hub into the data folder (see ``xstilts.hub.fetch``)."""
    from xstilts.hub.fetch import fetch

    for path in task_files:
        tasks.load_file(path)
    study = read_study(file)
    check_names(study, file)
    return fetch(study, data, say, update=update)


def stand_ins(study: Study) -> dict[str, list[Path]]:
    """The study's ``data.files`` as the data folder takes them: it alone puts relative names under its root."""
    return {key: [Path(name) for name in names] for key, names in study.data.files.items()}


def read_stand_ins(file: Path) -> dict[str, list[Path]]:
    """The stand-ins of a study file whose names are in order; its models need not be there."""
    study = read_study(file)
    check_names(study, file)
    return stand_ins(study)


def resources(
    planned: Plan,
    devices: Sequence[str] = ("cpu",),
    threads: int | None = None,
    micro_batch_tokens: int = 4096,
    task_files: Sequence[Path] = (),
    **how: Any,
) -> list[Resources]:
    """One slot a device; the CPU's cores are shared evenly. ``how`` are further fields of ``Resources``."""
    share, every = worker_threads(devices, threads)
    paths = tuple(str(p.resolve()) for p in task_files)
    return [
        Resources(planned.files, planned.models, device, share, every, micro_batch_tokens, task_files=paths, **how)
        for device in devices
    ]


def run_study(
    planned: Plan,
    store: Store,
    engine: Engine,
    listen: Callable[[Event], None],
    trackers: Sequence[Tracker] = (),
) -> tuple[Plan, Summary]:
    """Record the study and compute what its table lacks; the plan with all that was begun anew, and how it ended.

    ``trackers`` get what the logs of the store get (``xstilts.graph.log``).
    """
    from xstilts.graph.run import run  # of all that is here, only this needs workers

    with RunLog(store, planned.study.name, trackers) as log:

        def tell(event: Event) -> None:
            log(event)
            listen(event)

        def compute(graph: Graph, wanted: set[str]) -> Summary:
            return run(graph, store, engine, listen=tell, wanted=wanted)

        return run_with_retries(planned, store, compute)


def run_summary(planned: Plan, summary: Summary) -> dict[str, Any]:
    """How a run ended, as plain data."""
    by_key = planned.graph.by_key
    return {
        "study": planned.study.name,
        "cells": len(planned.cells),
        "found": summary.found,
        "ran": len(summary.done),
        "elsewhere": len(summary.elsewhere),
        "failed": [{"key": k, "title": by_key[k].title, "message": m} for k, m in summary.failed.items()],
        "blocked": len(summary.blocked),
        "left": len(summary.left),
        "left_measurements": sum(by_key[key].kind == "measure" for key in summary.left),
        "seconds": round(summary.seconds, 1),
    }


def plan_summary(planned: Plan, store: Store) -> dict[str, Any]:
    """What a plan holds: nodes by kind and state, cells, precision, what was left out, and where input lies."""
    states = status(planned.graph, store)
    kinds: dict[str, Counter[str]] = {}
    for node in planned.graph:
        kinds.setdefault(node.kind, Counter())[states[node.key]] += 1
    return {
        "study": planned.study.name,
        "nodes": len(planned.graph.nodes),
        "done": sum(s == "done" for s in states.values()),
        "kinds": {kind: dict(counts) for kind, counts in kinds.items()},
        "cells": len(planned.cells),
        "measurements": len(planned.measured),
        "retries": retries_declared(planned),
        "random": planned.random,
        "precision": planned.precision,
        "input_files": len(planned.files),
        "languages": _languages(planned.graph),
        "layer_chosen_on": _layer_chosen_on(planned.graph),
        "left_out": list(planned.left_out),
        "hub": ledger.notes(planned.hub, *planned.study.models),
        "translated": planned.translated,
        "stand_ins": {key: list(names) for key, names in planned.study.data.files.items()},
        "titles": [{"key": n.key, "title": n.title, "state": states[n.key]} for n in planned.graph],
    }


def _languages(graph: Iterable[Node]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for node in graph:
        if node.kind == "score":
            found.setdefault(node.spec["task"], {})[node.spec["split"]] = list(node.spec["languages"])
    return found


def _layer_chosen_on(graph: Iterable[Node]) -> list[str]:
    """Languages whose BUCC dev pairs choose the retrieval layer."""
    sweeps = {n.key: n for n in graph if n.kind == "retrieve"}
    rules = [n for n in graph if n.kind == "calibrate" and n.spec.get("layer_from") != "fixed"]
    asked = [sweeps[n.parents["bucc_dev"]] for n in rules if "bucc_dev" in n.parents]
    return sorted({language for sweep in asked for language in sweep.spec["languages"]})


def rows(store: Store, study: str | None = None) -> list[dict[str, Any]]:
    """One row per number (see ``xstilts.report.results.FIELDS``)."""
    return result_rows(store, study)


def tables(store: Store, study: str | None = None, by_language: bool | None = None) -> list[Table]:
    """The zero-shot tables of each study (see ``study_tables``)."""
    every = (study_results(store, name) for name in studies(store, study))
    return [table for results in every for table in study_tables(store, results, by_language)]


def study_tables(store: Store, results: Results, by_language: bool | None = None) -> list[Table]:
    """The zero-shot tables of a study: one for each model and split that has scores.

    ``by_language`` adds those by language; by default where the study declares distances, which is what they show.
    """
    payload, study, scored = results.payload, results.study, results.main
    declared = payload.get("targets", {})
    found = []
    for model in study["models"]:
        for split in ("test", "dev"):
            if any(r["model"] == model and r["split"] == split for r in scored):
                table = zero_shot_table(scored, study, model, split, declared, results.guesses)
                more = (*retry_notes(payload, scored, model), *flaw_notes(results.rows, model, split))
                more += (*translated_notes(payload), *masked_lm_notes(store, payload, model))
                more += tuple(ledger.notes(payload.get("hub", {}), model))
                shown = [replace(table, notes=(*table.notes, *more))]
                if by_language or (by_language is None and declares_distances(study)):
                    shown += language_tables(scored, study, model, split, declared, results.guesses)
                found += [marked(each, payload, model) for each in shown]
    return found


def layer_tables(store: Store, study: str | None = None) -> list[Grid]:
    """Retrieval by layer, as tables: each arm's readings and curves, also at the checkpoints it kept."""
    return [grid for name, of in studies(store, study).items() for grid in study_grids(store, name, of)]


def layer_rows(store: Store, study: str | None = None) -> list[dict[str, Any]]:
    """Retrieval by layer, one row a number: the readings of each arm and checkpoint, then all layers and poolings."""
    return [{"study": name, **row} for name, of in studies(store, study).items() for row in study_rows(store, name, of)]


def clean_store(store: Store, node: str | None, remove: bool, logs: bool = False) -> list[dict[str, Any]]:
    """What may be removed (and is, with ``remove``): see ``xstilts.graph.clean``."""
    from xstilts.graph import clean as cleaning

    items = cleaning.removable(store, logs=logs) if node is None else cleaning.removable_node(store, node)
    if remove:
        cleaning.remove(store, items)
    return [{"what": i.what, "key": i.key, "path": str(i.path), "bytes": i.bytes, "why": i.why} for i in items]


def studies(store: Store, study: str | None) -> dict[str, dict[str, Any]]:
    """What the store records of one study, or of all.

    Raises:
        MissingNameError: it has no such study.
    """
    found = store.studies()
    if study is None:
        return found
    if study not in found:
        raise MissingNameError("study", study, list(found), where=str(store.root))
    return {study: found[study]}
