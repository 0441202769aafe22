"""A study in Python: planned, run, read and reported as on the command line; and the results of a whole store."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from xstilts import journey
from xstilts.errors import MissingNameError, StudyError
from xstilts.graph.log import Tracker
from xstilts.graph.store import Store
from xstilts.interface.running import PLACES, On, Where, job_command, run_where
from xstilts.interface.shown import Ended, Planned, Tables
from xstilts.interface.words import check_numbers, check_stream, files_of, in_python
from xstilts.memory.plan import memory_plan
from xstilts.plan import Plan
from xstilts.report.results import study_results
from xstilts.report.table import as_grid
from xstilts.study import Study, parse_study
from xstilts.study_source import chosen_study, read_study, recipes, recorded_study
from xstilts.tracking import tracker


@in_python
def open_study(
    source: str | Path | Mapping[str, Any] | Study,
    *,
    data: str | Path = "data",
    store: str | Path = "store",
    model: Mapping[str, str | Path] | None = None,
    device: str | Sequence[str] = "cpu",
    seeds: Sequence[int] | None = None,
    threads: int | None = None,
    task_file: str | Path | Sequence[str | Path] = (),
) -> OpenStudy:
    """A study, to plan, run and read. Nothing is computed, and neither data nor models are looked at, before it is planned.

    Args:
        source: a study file, the name of a recipe or of a study that ``store`` holds, or the fields of a study as a mapping
            (its relative folders start in the current one).
        data: the folder with the published files.
        store: the folder with finished results; made by the first run.
        model: folders of models that lie elsewhere than the study says.
        device: ``cpu`` or ``cuda:N``; a sequence of them for several workers.
        seeds: others than the study's. What is done is not done again.
        threads: CPU threads of each worker; by default the cores are shared evenly.
        task_file: the file of a task of your own, or several. They are run as code.

    Raises:
        StudyError: a field that cannot be; it is named with its path.
        MissingNameError: no such study; the nearest names are listed.
    """
    placed = {name: Path(folder) for name, folder in (model or {}).items()}
    study = chosen_study(_study(source, Path(store)), placed, seeds)
    devices = (device,) if isinstance(device, str) else tuple(device) or ("cpu",)
    return OpenStudy(study, Path(data).absolute(), Path(store).absolute(), devices, threads, files_of(task_file))


def _study(source: str | Path | Mapping[str, Any] | Study, store: Path) -> Path | Study:
    if isinstance(source, Study):
        return source
    if isinstance(source, Mapping):
        return parse_study(dict(source))
    if not str(source).strip():
        raise StudyError(
            "no study is named", hint=f"give a file, a mapping of its fields, or a recipe: {', '.join(recipes())}"
        )
    kept = Store(store).studies() if store.is_dir() else {}
    try:
        read_study(Path(source))
    except MissingNameError:
        if str(source) not in kept:
            raise MissingNameError(
                "recipe, study file or study of the store", str(source), [*recipes(), *kept]
            ) from None
        return recorded_study(kept[str(source)]["study"])
    return Path(source)


class OpenStudy:
    """A study, and where its data, its results and its workers are: what ``open_study`` gives.

    Args:
        study: its fields, checked.
        data, store, devices, threads, task_files: see ``open_study``.
    """

    def __init__(
        self,
        study: Study,
        data: Path,
        store: Path,
        devices: tuple[str, ...] = ("cpu",),
        threads: int | None = None,
        task_files: tuple[Path, ...] = (),
    ) -> None:
        self.study, self.data, self.store = study, data, store
        self.devices, self.threads, self.task_files = devices, threads, task_files

    def __repr__(self) -> str:
        of = self.study
        size = f"{len(of.models)} models x {len(of.arms)} arms x {len(of.targets)} targets x {len(of.seeds)} seeds"
        return f"<study {of.name}: {size}; data in {self.data}, results in {self.store}>"

    @property
    def name(self) -> str:
        """What the store calls it."""
        return self.study.name

    def _planned(self, store: Store) -> Plan:
        return journey.plan_study(
            self.study, self.data, store, None, self.devices, self.task_files, threads=self.threads
        )

    @in_python
    def plan(self, *, memory: bool = False, room: float | None = None, micro_batch_tokens: int = 4096) -> Planned:
        """What it would compute and what of it is done; everything is checked, nothing is computed. Loads no torch.

        Args:
            memory: also what every node will hold, and on which device it fits.
            room: with ``memory``: GiB of each device, instead of asking those that are here.
            micro_batch_tokens: with ``memory``: sub-words in one forward pass.

        Raises:
            StudyError, MissingNameError, DataError, ModelError: a field, name, file or model that cannot be used.
        """
        with journey.open_store(self.store) as store:
            planned = self._planned(store)
            summary = journey.plan_summary(planned, store)
            if memory:
                summary["memory"] = memory_plan(planned, self.devices, micro_batch_tokens, room)
            return Planned(summary)

    @in_python
    def run(
        self,
        *,
        micro_batch_tokens: int = 4096,
        gradient_checkpointing: bool = False,
        memory_check: bool = True,
        stream: Literal["auto", "always", "never"] = "auto",
        on: On = "here",
        address: str | None = None,
        jobs: int = 1,
        slurm: Mapping[str, object] | None = None,
        progress: bool = True,
        track: str | Tracker | None = None,
    ) -> Ended:
        """Compute what is missing, in worker processes. Interrupt it at any time: the same call goes on.

        Args:
            micro_batch_tokens: sub-words in one forward pass.
            gradient_checkpointing: train in less memory and more time, with equal results.
            memory_check: refuse a node that would not fit before it runs.
            stream: leave weights in their files and read a layer at a time; ``auto``: where they do not fit into memory.
            on: ``here``, on the machines of a Ray cluster, or in jobs of Slurm (docs/many-machines.md).
            address: on Ray: HOST:PORT of its head; by default the cluster this machine is part of.
            jobs: on Slurm: how many there shall be; 0 only follows those that are there.
            slurm: on Slurm: options of ``sbatch``, as ``{"partition": "gpu", "time": 240}`` (``None``: no value).
            progress: show how far it is on standard error: a bar on a terminal, a line a minute elsewhere.
            track: ``trackio``, or a function that gets every record of the run's logs (docs/tracking.md). One that fails is
                warned of once and harms nothing.

        Returns:
            how it ended. A node that fails does not end the run: look at ``complete`` and ``failed``.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; every finished node is kept.
            StudyError, MissingNameError, DataError, ModelError: as ``plan``; arguments that do not go together.
            XstiltsError: Ray, Slurm or a tracker is not there, or refuses.
        """
        from xstilts.graph.progress import Display

        check_stream(stream)
        where = _where(on, address, jobs, slurm, track)
        how = {"gradient_checkpointing": gradient_checkpointing, "memory_check": memory_check, "stream": stream}
        with journey.open_store(self.store) as store:
            planned = self._planned(store)
            slots = journey.resources(planned, self.devices, self.threads, micro_batch_tokens, self.task_files, **how)
            trackers = [tracker(track, self.name) if isinstance(track, str) else track] if track else []

            def command() -> list[str]:
                more = {"threads": self.threads, "track": track}
                return job_command(planned, store, self.data, slots[0], self.devices, more)

            console = Console(file=sys.stderr, highlight=False, quiet=not progress)
            with Display(console, len(planned.graph.nodes)) as display:
                planned, ended = run_where(
                    where, planned, store, slots, self.devices, self.threads, command, display, trackers
                )
        return Ended(journey.run_summary(planned, ended), str(self.store), ended.complete)

    def results(self, *, by_language: bool | None = None, layers: bool = False) -> Tables:
        """Its tables and rows: see ``results``."""
        return results(self.store, self.name, by_language=by_language, layers=layers)

    @in_python
    def report(self, out: str | Path = "report.html", *, data: bool = True) -> Path:
        """One self-contained HTML page: scores, languages, layers, speed, claims, and where every number comes from.

        Args:
            out: the file to write.
            data: whether claims may look at the data folder.

        Raises:
            XstiltsError: the file cannot be written there.
        """
        from xstilts.webpage.build import write_report

        return write_report(self.store, Path(out), self.name, self.data if data and self.data.is_dir() else None)


def _where(
    on: On, address: str | None, jobs: int, slurm: Mapping[str, object] | None, track: str | Tracker | None
) -> Where:
    """Where a run is to be; arguments that would say nothing there are refused."""
    if on not in PLACES:
        raise MissingNameError("place to run", str(on), PLACES, where="on")
    given: tuple[tuple[str, On, bool], ...] = (
        ("address", "ray", address is not None),
        ("slurm", "slurm", slurm is not None),
        ("jobs", "slurm", jobs != 1),
    )
    for name, place, said in given:
        if said and on != place:
            raise StudyError(f"{name} says nothing of on={on!r}", where=name, hint=f"it belongs to on={place!r}")
    check_numbers(jobs=(jobs, 0))
    if on == "slurm" and not isinstance(track, str | None):
        raise StudyError(
            "a function cannot be told what happens in other processes",
            where="track",
            hint='with on="slurm" give a name',
        )
    return Where(
        on, address, jobs, tuple(f"{name}={'' if value is None else value}" for name, value in (slurm or {}).items())
    )


@in_python
def results(
    store: str | Path = "store", study: str | None = None, *, by_language: bool | None = None, layers: bool = False
) -> Tables:
    """The zero-shot tables of a store, and one mapping a number (its fields: ``docs/tables.md``).

    Args:
        store: the folder with finished results.
        study: one study; by default all of the store.
        by_language: tables by language, too; by default where the study declares distances.
        layers: retrieval by layer instead: by the rule, at the fixed and at the best layer.

    Raises:
        StoreError: there is no store, or a node of it is damaged.
        MissingNameError: no such study.
    """
    with journey.open_store(Path(store), must_exist=True) as opened:
        if layers:
            return Tables(tuple(journey.layer_tables(opened, study)), journey.layer_rows(opened, study))
        found = [study_results(opened, name) for name in journey.studies(opened, study)]
        tables = (table for of in found for table in journey.study_tables(opened, of, by_language))
        return Tables(tuple(map(as_grid, tables)), [row for of in found for row in of.rows])
