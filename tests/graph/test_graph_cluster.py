"""Ray: two machines of one CPU each (here, two Ray nodes) compute what one computes; whatever dies, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import toy_graph
from ray_driver import engine
from toy_graph import contents, leftovers, tree

from tiny_world import CLI, command, environment, run_command, tiny_study, write_study
from xstilts.errors import XstiltsError
from xstilts.graph.events import Event
from xstilts.graph.node import Graph
from xstilts.graph.run import Summary, run
from xstilts.graph.store import Store
from xstilts.journey import rows

pytest.importorskip("ray", reason="no ray: pip install 'xstilts[ray]'")

from ray.cluster_utils import Cluster

from xstilts.graph import cluster

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where toy nodes of the cluster note their start and end: its machines have the environment that they started with."""
    place = tmp_path_factory.mktemp("cluster") / "log.txt"
    place.touch()
    return place


@pytest.fixture(scope="module")
def machines(log: Path) -> Iterator[Cluster]:
    """A head that offers nothing and two machines of one CPU."""
    changed = {"TOY_LOG": str(log), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "7"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    found = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            found.add_node(**SMALL)
        yield found
    finally:
        cluster.disconnect()
        found.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def go(graph: Graph, store: Store, machines: Cluster, listen: Callable[[Event], None] = lambda event: None) -> Summary:
    return run(graph, store, engine(machines.address), listen=listen)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def local(graph: Graph, store: Store) -> dict[str, dict[str, str]]:
    """What the store holds after a run on this machine."""
    assert toy_graph.go(graph, store, slots=2).complete
    return contents(store)


def without_times(store: Store) -> dict[str, dict[str, str]]:
    """The contents but for the files that say how long a training took."""
    return {
        key: {name: digest for name, digest in of.items() if not name.startswith("training.json")}
        for key, of in contents(store).items()
    }


def test_two_machines_leave_what_one_leaves(machines: Cluster, tmp_path: Path, log: Path) -> None:
    graph, there = tree(3, 3, sleep=0.02), Store(tmp_path / "there")
    before = len(log.read_text().splitlines())
    assert go(graph, there, machines).complete
    workers = {line.split()[1] for line in log.read_text().splitlines()[before:]}
    assert contents(there) == local(graph, Store(tmp_path / "here"))
    assert leftovers(there) == []
    assert len(workers) == 2, "one process a place, for all of its nodes"
    assert {there.record(key)["attempt"]["threads_seen"] for key in there} == {"1"}, "as asked, whatever Ray says"


def test_a_killed_worker_and_a_machine_that_is_gone_cost_only_time(
    machines: Cluster, tmp_path: Path, log: Path
) -> None:
    graph, there = tree(3, 3, sleep=0.1), Store(tmp_path / "there")
    third = machines.add_node(**SMALL)
    seen: list[str] = []

    def hit(event: Event) -> None:
        seen.append(type(event).__name__)
        if seen[-1] == "NodeStarted" and seen.count("NodeStarted") == 3:
            busy = int(log.read_text().splitlines()[-1].split()[1])
            actor = psutil.Process(busy).parent()
            assert actor is not None
            actor.kill()
        if seen[-1] == "NodeDone" and seen.count("NodeDone") == 4:
            machines.remove_node(third)

    ended = go(graph, there, machines, hit)
    assert ended.complete, ended.failed
    assert "NodeElsewhere" in seen, "it was told that a node was begun again"
    assert contents(there) == local(graph, Store(tmp_path / "here"))
    assert there.failures() == []


def test_what_a_killed_run_had_begun_is_finished_without_it(machines: Cluster, tmp_path: Path, log: Path) -> None:
    there = Store(tmp_path / "there")
    script = Path(__file__).with_name("ray_driver.py")
    again = [sys.executable, str(script), str(there.root), machines.address, "2", "2", "0.5"]
    driver = subprocess.Popen(again)
    wait_for(lambda: len(there.claims()) == 2)
    begun = there.claims()
    driver.kill()
    driver.wait()
    wait_for(lambda: all(there.has(key) for key in begun))
    before = len(log.read_text().splitlines())
    assert subprocess.run(again, timeout=PATIENCE, check=False).returncode == 0
    redone = {line.split()[2] for line in log.read_text().splitlines()[before:]}
    assert not redone & set(begun), "what finished meanwhile counts"
    assert contents(there).keys() == tree(2, 2, sleep=0.5).by_key.keys(), "all are there, and whole"


def test_an_interrupted_run_releases_its_nodes(machines: Cluster, tmp_path: Path) -> None:
    there = Store(tmp_path / "there")

    def stop(event: Event) -> None:
        if type(event).__name__ == "NodeStarted":
            raise KeyboardInterrupt

    with pytest.raises(XstiltsError, match="stopped by SIGINT"):
        go(tree(2, 2, sleep=60.0), there, machines, stop)
    assert leftovers(there) == []
    assert there.failures() == []


def test_a_study_has_the_same_table(machines: Cluster, tmp_path: Path) -> None:
    fields = {"targets": ["pawsx"], "splits": ["test"], "arms": {"none": {}}}
    study = write_study(tmp_path, tiny_study(**fields))
    shown: dict[str, list[dict[str, Any]]] = {}
    for name, options in {"here": (), "there": ("--on", "ray", "--address", machines.address)}.items():
        store = tmp_path / name
        command(*run_command(study, store, *options))
        shown[name] = rows(Store(store))
    assert shown["here"] == shown["there"]
    assert without_times(Store(tmp_path / "here")) == without_times(Store(tmp_path / "there"))


def test_a_machine_that_does_not_see_the_store_is_named(machines: Cluster, tmp_path: Path) -> None:
    found = cluster.connect(machines.address)
    cluster.check(found, Store(tmp_path / "there"), [str(tmp_path)])
    assert list((tmp_path / "there").iterdir()) == [], "the marker is gone"
    with pytest.raises(XstiltsError, match=f"{found[0].host} does not see /no/such/data"):
        cluster.check(found, Store(tmp_path / "there"), ["/no/such/data"])


def test_joining_a_cluster_leaves_sigterm_as_it_was(machines: Cluster) -> None:
    cluster.disconnect()
    before = signal.getsignal(signal.SIGTERM)
    assert cluster.connect(machines.address)
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_cluster_is_one_clear_sentence(tmp_path: Path) -> None:
    asked = run_command(write_study(tmp_path, tiny_study()), tmp_path / "s", "--on", "ray", "--address", "127.0.0.1:1")
    ended = subprocess.run([*CLI, *map(str, asked)], capture_output=True, text=True, env=environment(), check=False)
    assert ended.returncode == 2
    assert "no Ray cluster answers" in ended.stderr
    assert "ray start --head" in ended.stderr
