"""Where a study runs: on this machine, on those of a Ray cluster, or in jobs of Slurm: for command line and Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from xstilts import journey
from xstilts.engines import check_precision, local_engine, ray_engine
from xstilts.graph.disk import guarded, write_whole
from xstilts.graph.events import Event
from xstilts.graph.log import Tracker
from xstilts.graph.node import Resources
from xstilts.graph.run import Summary
from xstilts.graph.store import Store
from xstilts.plan import Plan
from xstilts.slurm.follow import run_jobs
from xstilts.slurm.jobs import Queue, sbatch_options
from xstilts.study_source import recorded_study

On = Literal["here", "ray", "slurm"]
PLACES: tuple[On, ...] = ("here", "ray", "slurm")


@dataclass(frozen=True)
class Where:
    """Where nodes run.

    Args:
        on: this machine, a Ray cluster, or jobs of Slurm.
        address: of the cluster's head; ``None``: the one that this machine is part of.
        jobs: how many there shall be; 0 only follows those that are there.
        slurm: ``NAME=VALUE`` each, for ``sbatch``.
    """

    on: On = "here"
    address: str | None = None
    jobs: int = 1
    slurm: Sequence[str] = ()


def run_where(
    where: Where,
    planned: Plan,
    store: Store,
    slots: Sequence[Resources],
    devices: Sequence[str],
    threads: int | None,
    command: Callable[[], Sequence[str]],
    listen: Callable[[Event], None],
    trackers: Sequence[Tracker] = (),
) -> tuple[Plan, Summary]:
    """Compute what a study lacks, there.

    Args:
        where: see ``Where``.
        planned: the study.
        store: where it goes.
        slots: of this machine; what they have in common holds anywhere.
        devices: of the workers, of one machine or job.
        threads: CPU threads of each; ``None``: shared evenly.
        command: gives the command line of a job (``xstilts`` left out).
        listen: told how far it is.
        trackers: get the logs; those of jobs are in their command.

    Returns:
        the plan with all that was begun anew, and how it ended.
    """
    if where.on == "slurm":
        check_precision(planned, devices)
        options = sbatch_options(where.slurm, devices, threads)
        return run_jobs(planned, store, command(), where.jobs, options, listen)
    if where.on == "ray":
        with ray_engine(planned, store, slots[0], devices, threads, where.address) as engine:
            return journey.run_study(planned, store, engine, listen, trackers)
    return journey.run_study(planned, store, local_engine(slots), listen, trackers)


def job_command(
    planned: Plan, store: Store, data: Path, common: Resources, devices: Sequence[str], options: Mapping[str, object]
) -> list[str]:
    """The command line that computes a study made in Python; its file lies beside the jobs' script.

    Args:
        planned: the study, its models where they lie.
        store: of the jobs.
        data: the data folder.
        common: what every worker runs with.
        devices: of the workers of one job.
        options: name -> value of further ones; ``None`` where one is not given.

    Raises:
        StoreError: the disk refuses the file.
    """
    queue = Queue.of(planned, store)
    file = queue.folder / f"{queue.name}.yaml"
    said = recorded_study(planned.study.model_dump(mode="json")).model_dump(mode="json", exclude_defaults=True)
    with guarded(file, store.root):
        write_whole(file, yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
    given: list[tuple[str, object]] = [("data", data), ("store", store.root)]
    given += [("device", device) for device in devices]
    given += [("micro-batch-tokens", common.micro_batch_tokens), ("stream", common.stream)]
    given += [("task-file", task) for task in common.task_files]
    given += [(name, value) for name, value in options.items() if value is not None]
    switches = ["--gradient-checkpointing"] * common.gradient_checkpointing
    switches += ["--no-memory-check"] * (not common.memory_check)
    return ["run", str(file), *(word for name, value in given for word in (f"--{name}", str(value))), *switches]
