"""The engines a study can run on: whoever starts workers knows them by the command that starts one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xstilts.device import check_cards
from xstilts.errors import StudyError
from xstilts.graph.engine import Engine
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Resources
from xstilts.graph.store import Store
from xstilts.plan import Plan

SERVE = ("-m", "xstilts.execute")
"""What Python is told to become a process that runs nodes."""


def local_engine(slots: Sequence[Resources]) -> Engine:
    """Processes of this machine, one a slot.

    Raises:
        ModelError: a slot's GPU is not here.
    """
    check_cards([slot.device for slot in slots])
    return LocalEngine(slots, (sys.executable, *SERVE))


def check_precision(planned: Plan, devices: Sequence[str]) -> None:
    """Refuse to ask this machine what the GPUs of others compute fast.

    Raises:
        StudyError: the study's precision is ``auto``.
    """
    if any(device.startswith("cuda") for device in devices) and planned.study.precision == "auto":
        raise StudyError(
            "auto is what this machine's device computes fast, and the study runs on others",
            where="precision",
            hint="say it in the study file: precision: bf16",
        )


@contextmanager
def ray_engine(
    planned: Plan,
    store: Store,
    common: Resources,
    devices: Sequence[str] = ("cpu",),
    threads: int | None = None,
    address: str | None = None,
) -> Iterator[Engine]:
    """A Ray cluster, joined and checked: every machine sees the store, the data and the models.

    Args:
        planned: what will run.
        store: on a file system of all machines.
        common: what every worker runs with, whatever its device and threads.
        devices: ``cpu`` for one worker a machine, twice for two; ``cuda`` for one a GPU.
        threads: CPU threads of each worker (see ``xstilts.graph.places.spread``).
        address: of the cluster's head.

    Raises:
        StudyError: the precision is this machine's, and it has no GPU to ask.
        XstiltsError: ray or the cluster is not there, or a machine lacks something.
    """
    from xstilts.graph import cluster
    from xstilts.graph.places import placing, spread
    from xstilts.memory.plan import node_needs

    check_precision(planned, devices)
    machines = cluster.connect(address)
    try:
        folders = [path for path in planned.models.values() if Path(path).is_absolute()]
        cluster.check(machines, store, [*planned.files.values(), *folders, *common.task_files])
        places = spread(machines, devices, threads, common)
        needs = node_needs(planned, places[0].resources.device, common.micro_batch_tokens)
        yield cluster.RayEngine(places, SERVE, placing(places, needs))
    finally:
        cluster.disconnect()
