"""Whatever is killed, whenever: the same command goes on, and the final store is the same."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from toy_driver import graph, saving
from toy_graph import contents, found, go, leftovers

from xstilts.graph.owner import birth
from xstilts.graph.run import status
from xstilts.graph.store import Store

DRIVER = [sys.executable, str(Path(__file__).with_name("toy_driver.py"))]
PATIENCE = 60.0
SLEEP = 0.02
GRAPH = graph(SLEEP)


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(store: Store, log: Path) -> Iterator[Start]:
    """Starts drivers on the store: (slots, seconds that a node sleeps), or as ``toy_driver`` says."""
    with ExitStack() as ending:

        def begin(slots: int = 2, sleep: float = SLEEP, *saving: object) -> subprocess.Popen[bytes]:
            command = [*DRIVER, str(store.root), str(slots), str(sleep), *map(str, saving)]
            driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            ending.callback(driver.communicate)
            ending.callback(driver.kill)
            return driver

        yield begin


def end(driver: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Exit status and what it said."""
    said, _ = driver.communicate(timeout=PATIENCE)
    return driver.returncode, said.decode()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def ended(log: Path) -> int:
    return log.read_text().count("end ")


def started(log: Path) -> list[str]:
    return [line.split()[2] for line in log.read_text().splitlines() if line.startswith("start")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What the store holds after a run that nothing disturbed."""
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    assert go(GRAPH, store, slots=2).complete
    return contents(store)


def kill_driver(driver: subprocess.Popen[bytes], log: Path, target: int, pause: float) -> None:
    """Kill it ``pause`` seconds after the ``target``-th node ended; its workers must follow by themselves."""
    wait_for(lambda: ended(log) >= min(target, len(GRAPH.nodes) - 1) or driver.poll() is not None)
    time.sleep(pause)
    workers = psutil.Process(driver.pid).children() if driver.poll() is None else []
    driver.kill()
    end(driver)
    wait_for(lambda: not any(birth(w.pid) for w in workers))


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_of_the_driver_and_again(
    store: Store, log: Path, start: Start, expected: dict[str, dict[str, str]], seed: int
) -> None:
    moment = random.Random(seed)
    for _ in range(2):
        kill_driver(start(), log, ended(log) + moment.randrange(1, 8), moment.random() * 0.03)
        finished = contents(store)
        assert finished.items() <= expected.items(), "what is there is whole and right"
    before, log_length = set(store), len(started(log))
    code, said = end(start())
    assert code == 0, said
    assert sorted(started(log)[log_length:]) == sorted(set(expected) - before), "only what was missing"
    assert contents(store) == expected
    assert store.claims() == []


def test_kill_9_of_a_worker_fails_its_node_and_the_next_run_mends_it(
    store: Store, log: Path, start: Start, expected: dict[str, dict[str, str]]
) -> None:
    driver = start(1)
    wait_for(lambda: ended(log) >= 3 and len(started(log)) > ended(log))
    victim = int(log.read_text().splitlines()[-1].split()[1])
    psutil.Process(victim).kill()
    code, said = end(driver)
    assert code == 1, said
    failed = store.failures()
    assert failed
    failure = store.failure(failed[0])
    assert failure is not None
    assert failure["text"].startswith("worker died, signal 9 (SIGKILL)")
    assert end(start())[0] == 0
    assert contents(store) == expected
    assert store.failures() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 140)])
def test_ctrl_c_and_sigterm_leave_nothing_behind(
    store: Store, log: Path, start: Start, expected: dict[str, dict[str, str]], number: int, code: int
) -> None:
    driver = start()
    wait_for(lambda: ended(log) >= 4)
    workers = psutil.Process(driver.pid).children()
    assert len(workers) == 2
    driver.send_signal(number)
    status, said = end(driver)
    assert status == code, said
    assert "run the same command again" in said
    assert not any(birth(w.pid) for w in workers)
    assert leftovers(store) == []
    assert store.failures() == []
    assert contents(store).items() <= expected.items()
    before, log_length = set(store), len(started(log))
    assert end(start())[0] == 0
    assert sorted(started(log)[log_length:]) == sorted(set(expected) - before)
    assert contents(store) == expected


@pytest.mark.parametrize("device", ["cpu", "cpu+cpu"])
def test_told_twice_from_all_sides_trainings_save_once_and_go_on(
    store: Store, log: Path, start: Start, device: str
) -> None:
    """What Slurm does that cancels a job: it tells all its processes, and its script tells the run once more."""
    (made,) = saving(0.5)
    driver = start(1, 0.0, device, 0.5)
    processes = len(device.split("+"))
    wait_for(lambda: found(store.root, "work/*/*/*/defers") and len(started(log)) == processes)
    time.sleep(0.2)  # the others of a group are there, too
    for worker in psutil.Process(driver.pid).children():
        worker.terminate()
    driver.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    driver.send_signal(signal.SIGTERM)
    status, said = end(driver)
    assert status == 143, said
    assert store.failures() == []
    assert store.leases.has_checkpoints(made.key)
    assert store.owner(made.key) is None
    assert end(start(1, 0.0, device, 0.5))[0] == 0
    assert len(started(log)) == 2 * processes, "once more, to its end"
    assert leftovers(store) == []


def test_a_worker_that_somebody_tells_to_stop_fails_no_node(store: Store, log: Path, start: Start) -> None:
    (made,) = saving(0.0)
    driver = start(1, 0.0, "cpu", 0.0)
    wait_for(lambda: found(store.root, "work/*/*/*/defers"))
    (worker,) = psutil.Process(driver.pid).children()
    worker.terminate()
    code, said = end(driver)
    assert code == 0, said
    assert started(log) == [made.key, made.key]
    assert store.failures() == []


def test_two_drivers_one_killed(store: Store, log: Path, start: Start, expected: dict[str, dict[str, str]]) -> None:
    one, two = start(), start()
    wait_for(lambda: ended(log) >= 5)
    one.kill()
    end(one)
    code, said = end(two)
    assert code == 0, said
    assert contents(store) == expected
    assert store.claims() == []


def test_a_half_written_node_is_never_taken(store: Store, start: Start) -> None:
    slow = graph(60.0)
    driver = start(1, 60.0)
    wait_for(lambda: found(store.root, "work/*/*/*/out/result.txt"))
    assert list(status(slow, store).values()).count("running") == 1
    driver.kill()
    end(driver)
    (half,) = store.claims()
    assert half == slow.nodes[0].key
    assert not store.has(half)
    assert list(store) == []
    wait_for(lambda: set(status(slow, store).values()) == {"waiting"})  # its worker dies a moment later


def test_ctrl_c_does_not_wait_for_the_node(store: Store, start: Start) -> None:
    driver = start(2, 600.0)
    wait_for(lambda: len(found(store.root, "work/*/*/*/out/result.txt")) == 2)
    driver.send_signal(signal.SIGINT)
    assert end(driver)[0] == 130
    assert leftovers(store) == []
    assert store.failures() == []


def test_a_claim_that_outlived_its_finished_node_is_dropped(store: Store) -> None:
    made = GRAPH.nodes[0]
    assert go(GRAPH, store, wanted=[made.key]).complete
    (store.work(made.key) / "0001" / "id" / "out").mkdir(parents=True)  # the driver died just after the rename
    assert go(GRAPH, store, wanted=[made.key]).complete
    assert list((store.root / "work").iterdir()) == []
