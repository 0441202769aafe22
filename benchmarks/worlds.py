"""Small studies that are run again and again while something is done to them (``benchmarks.chaos``)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).parents[1] / "tests"
LOSE_MACHINE = "kill machine"
REFUSALS = ("ENOSPC", "EIO")
DAMAGES = ("truncate", "flip")
FAULTS = ("kill driver", "kill worker", "SIGTERM", *REFUSALS, *DAMAGES)
TOY_SLEEP = 0.01
MACHINE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
RAY_SLEEP = 0.2


@dataclass(frozen=True)
class World:
    """A study that can be run again and again.

    Args:
        command: gives the command that runs it in a store.
        table: what came out, from a store.
        workers: the processes that nodes run in, of the driver with this process number.
        kinds: of faults that may meet it.
        lose_machine: kill all of a machine at once, and let a new one join.
        seconds: that it took undisturbed: moments are drawn within.
    """

    command: Callable[[Path], Sequence[str]]
    table: Callable[[Path], Any]
    workers: Callable[[int], Sequence[psutil.Process]]
    kinds: tuple[str, ...] = FAULTS
    lose_machine: Callable[[random.Random], None] | None = None
    seconds: float = 1.0


def children(word: str) -> Callable[[int], list[psutil.Process]]:
    """Processes that the driver started and whose command line has this word."""

    def found(driver: int) -> list[psutil.Process]:
        return [p for p in psutil.Process(driver).children() if word in " ".join(p.cmdline())]

    return found


@contextmanager
def tiny(home: Path) -> Iterator[World]:
    """Two arms and two targets of the tests' tiny world, through the real command line."""
    sys.path.insert(0, str(TESTS))
    from tiny_world import CLI, run_command, tiny_study, write_study

    study = write_study(home, tiny_study(targets=["pawsx", "tatoeba"], splits=["test"], languages=["en", "de", "fr"]))

    def table(store: Path) -> Any:
        done = subprocess.run([*CLI, "results", "--store", str(store), "--json", "-"], capture_output=True, check=True)
        return json.loads(done.stdout)

    yield World(lambda store: [*CLI, *map(str, run_command(study, store))], table, children("xstilts.execute"))


@contextmanager
def toy(home: Path) -> Iterator[World]:
    """The graph of 21 small nodes that the tests kill, on two workers: it trains nothing, so a run takes a second."""
    driver = _toy("toy_driver.py")
    yield World(lambda store: [*driver, str(store), "2", str(TOY_SLEEP)], _scores(TOY_SLEEP), children("toy_worker"))


@contextmanager
def ray(home: Path) -> Iterator[World]:
    """The same graph on a Ray cluster of two machines, which are Ray nodes of one CPU here. Machines are killed, too; no disk
    refuses, because machines have the environment that they were started with.
    """
    driver = _toy("ray_driver.py")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["TOY_LOG"] = str(home / "log.txt")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MACHINE["object_store_memory"]}
    machines = Cluster(initialize_head=True, head_node_args=head)

    def lose(chance: random.Random) -> None:
        gone = chance.choice(sorted(machines.worker_nodes, key=lambda each: each.unique_id))
        machines.remove_node(gone, allow_graceful=False)
        machines.add_node(**MACHINE)

    def workers(_: int) -> list[psutil.Process]:
        own = psutil.Process().children(recursive=True)  # a worker has a session, not a parent, of its own
        return [p for p in own if "toy_worker" in " ".join(p.cmdline())]

    try:
        for _ in range(2):
            machines.add_node(**MACHINE)
        kinds = (LOSE_MACHINE, *(kind for kind in FAULTS if kind not in REFUSALS))
        shape = ("3", "3", str(RAY_SLEEP))
        yield World(
            lambda store: [*driver, str(store), machines.address, *shape], _scores(RAY_SLEEP), workers, kinds, lose
        )
    finally:
        machines.shutdown()


def _toy(script: str) -> list[str]:
    sys.path[:0] = [str(TESTS), str(TESTS / "graph")]
    return [sys.executable, str(TESTS / "graph" / script)]


def _scores(sleep: float) -> Callable[[Path], Any]:
    """What the score nodes of a toy store hold."""
    from toy_driver import graph

    from xstilts.graph.store import Store

    keys = [node.key for node in graph(sleep) if node.kind == "score"]

    def scores(root: Path) -> Any:
        store = Store(root)
        for key in keys:
            store.verify(key)
        return {key: {n: f["sha256"] for n, f in store.files(key).items() if n != "node.json"} for key in keys}

    return scores


WORLDS: dict[str, Callable[[Path], AbstractContextManager[World]]] = {"tiny": tiny, "toy": toy, "ray": ray}
