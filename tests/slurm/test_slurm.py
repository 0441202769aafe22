"""Slurm: what is queued, jobs that are signalled, killed or cancelled, and a command that dies while it follows them.

There is no Slurm here: its commands are scripts that start the very jobs on this machine (``fake_slurm.sh``).
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from tiny_world import tiny_data, tiny_study, write_study
from xstilts import journey
from xstilts.errors import XstiltsError
from xstilts.graph.events import Event, Said
from xstilts.graph.store import Store
from xstilts.plan import Plan
from xstilts.report.show import show_run
from xstilts.slurm import follow
from xstilts.slurm.follow import run_jobs
from xstilts.slurm.jobs import OURS, Queue, ask, sbatch_options, without

PATIENCE = 60.0
GRAPH = Path(__file__).parents[1] / "graph"
DRIVER = (sys.executable, str(GRAPH / "toy_driver.py"))
TOOLS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Slurm whose commands are on the path."""
    home = tmp_path / "slurm"
    (home / "jobs").mkdir(parents=True)
    (home / "bin").mkdir()
    for tool in TOOLS:
        (home / "bin" / tool).symlink_to(Path(__file__).with_name("fake_slurm.sh"))
    monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    for name in ("FOLLOW_SECONDS", "ASK_SECONDS", "LATE_SECONDS"):
        monkeypatch.setattr(follow, name, 0.05)
    yield home
    for pid in home.glob("jobs/*/pid"):
        if psutil.pid_exists(int(pid.read_text())):
            kill(pid.parent, signal.SIGKILL)


def kill(job: Path, number: int) -> None:
    """All processes of a job, from the machine's own on: what the system does that has run out of memory."""
    root = psutil.Process(int((job / "pid").read_text()))
    for process in (root, *root.children(recursive=True)):
        process.send_signal(number)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ids(cluster: Path) -> list[str]:
    return sorted(p.name for p in (cluster / "jobs").iterdir())


def toy(store: Store, sleep: float) -> tuple[str, ...]:
    """A run of toy nodes, with a test's own names in its way."""
    return (*DRIVER, str(store.root), "1", str(sleep))


def test_what_is_queued(cluster: Path, store: Store) -> None:
    options = sbatch_options(
        ["partition=gpu", "time=240", "account=ours", "exclusive=", "mail-type=END"], ["cuda:0", "cuda:1+2"], 4
    )
    queue = Queue(store.root / "slurm", "xstilts-s-01")
    assert queue.fill(["true"], 2, options) == {"41_1", "41_2"}
    given = (cluster / "given").read_text().splitlines()
    assert given == [
        *("--parsable", "--job-name=xstilts-s-01", "--array=1-2", "--requeue", "--signal=B:USR1@120"),
        *(f"--output={store.root}/slurm/%x-%A_%a.out", "--open-mode=append", "--gpus-per-node=3", "--cpus-per-task=12"),
        *("--partition=gpu", "--time=240", "--account=ours", "--exclusive", "--mail-type=END"),
        f"{store.root}/slurm/xstilts-s-01.sh",
    ]
    wait_for(lambda: not queue.live())


@pytest.mark.parametrize("asked", ["gres=gpu:a100:1", "gpus_per_node=a100:1", "gpus=2", "gpus-per-task=1"])
def test_cards_are_those_that_the_user_asks_for(asked: str) -> None:
    name, _, value = asked.partition("=")
    assert sbatch_options([asked], ["cuda:0"]) == {name.replace("-", "_"): value}
    assert sbatch_options(["cpus_per_task=3"], ["cpu", "cpu"], 2) == {"cpus_per_task": "3"}
    assert sbatch_options([], ["cpu", "cpu"]) == {}


def test_what_would_break_a_job_or_its_name_is_refused(cluster: Path, store: Store) -> None:
    with pytest.raises(XstiltsError, match="'gpu' is not NAME=VALUE"):
        sbatch_options(["gpu"])
    with pytest.raises(
        XstiltsError, match="nodes cannot be set: a job is one run on one machine; --jobs says how many"
    ):
        sbatch_options(["nodes=2"])
    assert sbatch_options(["nodes=1"]) == {"nodes": "1"}
    with pytest.raises(XstiltsError, match="job_name cannot be set"):
        sbatch_options(["job-name=mine"])
    (cluster / "refuses").write_text("sbatch: error: invalid partition specified: gpu\n")
    with pytest.raises(XstiltsError, match="invalid partition specified: gpu"):
        Queue(store.root / "slurm", "n").fill(["true"], 1, {"partition": "gpu"})
    assert ids(cluster) == []


def test_without_slurm_it_says_what_is_missing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(XstiltsError, match=r"`squeue` cannot be started here: No such file"):
        Queue(store.root / "slurm", "n").fill(["true"], 1, {})


def test_no_name_can_be_mistaken_for_a_command(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = os.fsdecode(b"it's; $(touch ran) `touch ran` 100% \xff\n")
    here = tmp_path / odd
    here.mkdir()
    monkeypatch.chdir(here)
    queue = Queue(here / "store" / "slurm", "n")
    said = "import os, sys; print(ascii([os.getcwd(), *sys.argv[1:]]))"
    (job,) = queue.fill([sys.executable, "-c", said, odd, "--data=*", ""], 1, {})
    wait_for(lambda: not queue.live())
    assert queue.output(job).read_text() == ascii([str(here), odd, "--data=*", ""]) + "\n"
    assert list(here.rglob("ran")) == []


def test_the_command_of_a_job_is_the_users_own() -> None:
    typed = shlex.split("run s.yaml --on slurm --slurm=time=9 --slurm partition=p --jobs 2 --seeds 1 --json=-")
    assert without(typed, OURS) == ["run", "s.yaml", "--seeds", "1"]


def test_a_job_that_is_told_leaves_in_order_and_is_queued_again(cluster: Path, store: Store, log: Path) -> None:
    queue = Queue(store.root / "slurm", "n")
    (job,) = queue.fill(toy(store, 0.1), 1, {})
    here = cluster / "jobs" / job
    wait_for(lambda: len(list(store)) >= 2)
    os.kill(int((here / "pid").read_text()), signal.SIGUSR1)  # as Slurm does before the time is up
    wait_for(lambda: not queue.live())
    assert (here / "restarts").read_text() == "1\n"
    assert len(list(store)) == 3 + 9 + 9
    assert store.failures() == []
    assert store.claims() == []
    workers = {line.split()[1] for line in log.read_text().splitlines()}
    assert len(workers) == 2, "one before the signal, one when it was queued again"
    assert queue.ended({job}) == {job: "COMPLETED, exit status 0:0"}


def test_a_cancelled_job_fails_no_node_and_does_not_come_back(cluster: Path, store: Store, log: Path) -> None:
    queue = Queue(store.root / "slurm", "n")
    (job,) = queue.fill(toy(store, 60.0), 1, {})
    wait_for(lambda: "start" in log.read_text())
    ask("scancel", job)  # tells every process at once, workers too
    wait_for(lambda: not queue.live())
    assert queue.ended({job})[job].startswith(f"CANCELLED by {os.getuid()}, exit status 143")
    assert store.failures() == []
    assert store.claims() == []


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = {"targets": ["tatoeba"], "splits": ["test"], "arms": {"none": {}}}
    return write_study(tmp_path_factory.mktemp("study"), tiny_study(**fields))


def planned(study: Path, store: Store) -> Plan:
    return journey.plan_study(study, tiny_data(), store)


def typed(study: Path, store: Store) -> list[str]:
    return ["run", str(study), "--data", str(tiny_data()), "--store", str(store.root), "--threads", "1"]


def test_a_study_is_followed_to_its_end_also_by_a_second_command(cluster: Path, store: Store, study: Path) -> None:
    plan, events = planned(study, store), list[Event]()
    queue = Queue.of(plan, store)
    queue.fill((sys.executable, "-m", "xstilts", *typed(study, store)), 1, {})  # and the command that queued it died
    plan, ended = run_jobs(plan, store, [*typed(study, store), "--on", "slurm"], 1, {}, events.append)
    assert ids(cluster) == ["41_1"], "no other was queued"
    assert ended.complete
    assert (events[0].done, events[-1].done) == (0, len(plan.cells))
    assert ended.elsewhere == {cell.key for cell in plan.cells}
    with (said := Console(width=200)).capture() as words:
        show_run(journey.run_summary(plan, ended), "store", said)
    assert f"0 nodes were done before, 0 in this run, {len(plan.cells)} meanwhile in other runs" in words.get()
    assert {row["status"] for row in journey.rows(store)} <= {"ok", "chance", "collapsed"}
    _, again = run_jobs(plan, store, typed(study, store), 4, {}, events.append)
    assert again.complete
    assert ids(cluster) == ["41_1"], "what is done needs no job"


@pytest.fixture
def sleeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that do nothing for long."""
    script = tmp_path / "sleep.sh"
    script.write_text("#!/bin/bash\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def running(cluster: Path) -> list[Path]:
    return [p.parent for p in cluster.glob("jobs/*/state") if p.read_text() == "RUNNING\n"]


@pytest.mark.usefixtures("sleeping")
def test_a_job_that_is_killed_is_told_with_its_output_and_the_others_go_on(
    cluster: Path, store: Store, study: Path
) -> None:
    plan, told, counted = planned(study, store), list[str](), list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Said):
            (told if " ended: " in event.text else counted).append(event.text)
        elif len(alive := running(cluster)) == 2 - len(told) and alive:
            (alive[0] / "state").write_text("NODE_FAIL\n" if told else "OUT_OF_MEMORY\n")
            kill(alive[0], signal.SIGKILL)

    _, ended = run_jobs(plan, store, [], 2, {}, listen)
    queue = Queue.of(plan, store)
    how = [text.partition(" ended: ")[2] for text in told]
    assert how[0].startswith("OUT_OF_MEMORY, exit status 137:0; what it printed: ")
    assert how[1].startswith("NODE_FAIL")
    assert {text.rpartition(" ")[2] for text in told} == {str(queue.output(job)) for job in ids(cluster)}
    assert all(queue.output(job).is_file() for job in ids(cluster))
    assert not ended.complete
    assert set(ended.left) == {cell.key for cell in plan.cells}
    assert "jobs: 1 running" in counted, "how many there are is told when it changes"
    assert counted[-1] == f"no job is left; what they printed: {queue.output('*')}"


@pytest.mark.usefixtures("sleeping")
def test_ctrl_c_cancels_the_jobs_but_not_those_that_are_only_followed(cluster: Path, store: Store, study: Path) -> None:
    plan = planned(study, store)

    def stop(event: Event) -> None:
        if len(running(cluster)) == 2:
            raise KeyboardInterrupt

    Queue.of(plan, store).fill(("sleep", "600"), 1, {})
    with pytest.raises(XstiltsError, match="stopped; jobs cancelled: 2"):
        run_jobs(plan, store, [], 2, {}, stop)
    wait_for(lambda: not running(cluster))
    assert len(list(cluster.glob("jobs/*/cancelled"))) == 2
    Queue.of(plan, store).fill(("sleep", "600"), 2, {})
    with pytest.raises(XstiltsError, match="stopped following\n  the jobs go on"):
        run_jobs(plan, store, [], 0, {}, stop)
    assert len(running(cluster)) == 2


@pytest.mark.usefixtures("sleeping")
def test_a_slurm_that_is_silent_for_a_moment_is_asked_again(
    cluster: Path, store: Store, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, seen = planned(study, store), list[str]()

    def listen(event: Event) -> None:
        seen.append("")
        if len(seen) == 2:
            (cluster / "deaf").touch()
        if len(seen) == 6:
            (cluster / "deaf").unlink()
        if len(seen) == 8:
            (cluster / "deaf").touch()
            monkeypatch.setattr(follow, "SILENT_SECONDS", 0.0)

    with pytest.raises(XstiltsError, match=r"Socket timed out on send/recv operation\n  the jobs go on"):
        run_jobs(plan, store, [], 1, {}, listen)
    assert len(seen) >= 8
    assert len(running(cluster)) == 1
