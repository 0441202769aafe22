"""The Ray engine beside the local one: ``python -m benchmarks.engines PART [--out STEM] [--data DIR] [--scratch DIR]``.

Parts, each added to the record of the day:

- ``overhead``: wall time per node over 1,000 nodes that only write a line, one worker, local and Ray;
- ``speedup``: sixteen independent nodes of one thread and equal work, by one and two local workers, on one and two machines;
- ``pocket``: the pocket study, one thread a node, by two local workers and on two machines: are all rows and files equal?

The machines of the cluster are Ray nodes of one CPU each on this machine, so that speed is bound by its two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from xstilts.graph.engine import Engine
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Graph, Node, Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress, serve

TRIVIAL = 1000
INDEPENDENT = 16
WORK = 150
"""Products of two matrices of 512 x 512 a node: somewhat less than a second of one core."""
ROUNDS = 3
ONE_THREAD = Resources(threads=1, cores=1)
TIMED = ("training.json", "training.jsonl")
"""Files that hold times beside what was computed."""


def execute(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress
) -> dict[str, Any]:
    """A node of the first two parts: ``work`` products of two matrices, then one line."""
    total = 0.0
    if node.spec["work"]:
        import numpy as np

        matrix = np.random.default_rng(0).standard_normal((512, 512)) / 32
        found = matrix
        for _ in range(node.spec["work"]):
            found = np.tanh(found @ matrix)
        total = float(found.sum())
    (out / "line.txt").write_text(f"{total}\n")
    return {}


def nodes(count: int, work: int) -> Graph:
    """Independent nodes."""
    return Graph("flat", tuple(Node("score", {"number": k, "work": work}, {}, {"task": str(k)}) for k in range(count)))


@contextmanager
def cluster_of(machines: int) -> Iterator[str]:
    """The address of a Ray cluster: a head that offers nothing, and machines of one CPU."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    from xstilts.graph.cluster import disconnect

    size = 100 * 2**20
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": size}
    )
    for _ in range(machines):
        found.add_node(num_cpus=1, object_store_memory=size)
    try:
        yield found.address
    finally:
        disconnect()
        found.shutdown()


def ray_places(address: str, command: tuple[str, ...], common: Resources) -> Engine:
    """An engine with a worker of one thread on each machine."""
    from xstilts.graph import cluster
    from xstilts.graph.places import placing, spread

    places = spread(cluster.connect(address), ["cpu"], 1, common)
    return cluster.RayEngine(places, command, placing(places, {}))


def seconds(graph: Graph, engine: Engine) -> float:
    """From the start of the first node to the end of the last, in a new store: the start of workers is left out."""
    from xstilts.graph.run import run

    with TemporaryDirectory(dir=os.environ.get("BENCH_SCRATCH")) as folder:
        store = Store(folder)
        ended = run(graph, store, engine, listen=lambda event: None)
        assert ended.complete, ended.failed
        records = [store.record(node.key)["attempt"] for node in graph]
        first = min(record["started"] for record in records)
        last = max(record["finished"] for record in records)
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


WORKER = (str(Path(__file__).resolve()), "worker")


def local(workers: int) -> Engine:
    """Processes of this machine."""
    return LocalEngine([ONE_THREAD] * workers, (sys.executable, *WORKER))


def ray_seconds(graph: Graph, address: str) -> float:
    """The same on a cluster."""
    return seconds(graph, ray_places(address, WORKER, ONE_THREAD))


def overhead() -> dict[str, Any]:
    """Milliseconds per node, the median of the rounds."""
    graph = nodes(TRIVIAL, 0)
    with cluster_of(1) as address:
        found = rounds(
            {
                "local": lambda: seconds(graph, local(1)),
                "ray": lambda: seconds(graph, ray_places(address, WORKER, ONE_THREAD)),
            }
        )
    return {name: [round(each / TRIVIAL * 1000, 2) for each in times] for name, times in found.items()}


def speedup() -> dict[str, Any]:
    """Seconds of independent nodes of equal work."""
    graph = nodes(INDEPENDENT, WORK)
    found = rounds(
        {"local, 1 worker": lambda: seconds(graph, local(1)), "local, 2 workers": lambda: seconds(graph, local(2))}
    )
    for machines in (1, 2):
        with cluster_of(machines) as address:
            found |= rounds({f"ray, {machines} of 1 CPU": partial(ray_seconds, graph, address)})
    return {name: [round(each, 2) for each in times] for name, times in found.items()}


def rounds(measured: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each by turns."""
    found: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(ROUNDS):
        for name, measure in measured.items():
            found[name].append(measure())
    return found


def pocket(study: Path, data: Path, scratch: Path) -> dict[str, Any]:
    """Whether both engines leave the same rows and files; it goes on where it was stopped."""
    from xstilts import journey
    from xstilts.engines import SERVE

    stores = {name: scratch / f"{study.stem}-{name}" for name in ("local", "ray")}
    for name, folder in stores.items():
        with journey.open_store(folder) as store:
            planned = journey.plan_study(study, data, store, threads=1)
            (common,) = journey.resources(planned, threads=1)
            if name == "local":
                engine: Engine = LocalEngine([replace(common, threads=1, cores=1)] * 2, (sys.executable, *SERVE))
                _, ended = journey.run_study(planned, store, engine, lambda event: None)
            else:
                with cluster_of(2) as address:
                    _, ended = journey.run_study(planned, store, ray_places(address, SERVE, common), lambda event: None)
            assert ended.complete, (ended.failed, ended.left)
    return {"study": study.stem, **compared(*map(Store, stores.values()))}


def compared(one: Store, two: Store) -> dict[str, Any]:
    """What differs between two stores of one study."""
    from xstilts import journey

    rows = journey.rows(one), journey.rows(two)
    files = [
        {(key, name): f["sha256"] for key in store for name, f in store.files(key).items() if name != "node.json"}
        for store in (one, two)
    ]
    differ = sorted(
        {
            name
            for key, name in files[0].keys() | files[1].keys()
            if files[0].get((key, name)) != files[1].get((key, name))
        }
    )
    return {
        "nodes": [len(list(one)), len(list(two))],
        "rows": [len(each) for each in rows],
        "rows_equal": rows[0] == rows[1],
        "files": [len(each) for each in files],
        "names_of_files_that_differ": differ,
        "differ_though_they_hold_no_times": [name for name in differ if Path(name).name not in TIMED],
    }


def page(record: Mapping[str, Any]) -> str:
    """The record as people read it."""
    lines = [f"# The Ray engine beside the local one ({record['date']})", "", "```", (__doc__ or "").strip(), "```", ""]
    lines += [
        f"{record['environment']['cpu']}, ray {metadata.version('ray')}, commit {record['environment']['commit']}."
    ]
    for part, unit in (("overhead", "ms a node"), ("speedup", "seconds")):
        if part in record:
            lines += ["", f"| {part} | median, {unit} | rounds |", "|---|---:|---|"]
            lines += [f"| {name} | {median(times)} | {times} |" for name, times in record[part].items()]
    if "speedup" in record:
        one, two = (median(times) for name, times in record["speedup"].items() if name.startswith("ray"))
        lines += ["", f"Two machines over one: {one / two:.2f} times as fast."]
    if "pocket" in record:
        lines += ["", "| pocket, local and on Ray | |", "|---|---|"]
        lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in record["pocket"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure one part and add it to the record."""
    from benchmarks.measure import environment

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("overhead", "speedup", "pocket"))
    parser.add_argument("--out", default=f"benchmarks/results/{datetime.now(UTC).date()}-engines")
    parser.add_argument("--study", type=Path, default=Path("pocket"))
    parser.add_argument("--data", type=Path, default=Path("pocket"))
    parser.add_argument("--scratch", type=Path, default=Path())
    asked = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "overhead": overhead,
        "speedup": speedup,
        "pocket": lambda: pocket(asked.study, asked.data, asked.scratch),
    }
    found = parts[asked.part]()
    path = Path(f"{asked.out}.json")
    record = json.loads(path.read_text()) if path.is_file() else {}
    record |= {"date": str(datetime.now(UTC).date()), "environment": environment(), asked.part: found}
    path.write_text(json.dumps(record, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(record))
    print(json.dumps({asked.part: found}, indent=1))


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        serve(execute)
    else:
        main()
