"""Slurm: what is queued, a job that is signalled and queued again, and what following it tells."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tiny_world import tiny_data, tiny_study, write_study
from xstilts import journey
from xstilts.errors import XstiltsError
from xstilts.graph.events import Event
from xstilts.graph.store import Store
from xstilts.slurm import StudyJob, run_jobs, sbatch_options, submit, without

submitit = pytest.importorskip("submitit", reason="no submitit: pip install 'xstilts[slurm]'")
PATIENCE = 60.0


def slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> Path:
    """A ``sbatch`` and an ``srun`` on the path; the first keeps what it is given."""
    folder.mkdir()
    given = folder / "given"
    (folder / "sbatch").write_text(f'#!/bin/sh\ncat "$1" >> {given}\n{says}\n')
    (folder / "srun").write_text("#!/bin/sh\n")
    for name in ("sbatch", "srun"):
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return given


def test_what_is_queued(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = slurm(tmp_path / "bin", monkeypatch, 'echo "Submitted batch job 41"')
    options = sbatch_options(["partition=gpu", "time=240", "gpus_per_node=1", "account=ours"])
    jobs = submit(store, ["run", "s.yaml"], 3, options)
    assert [str(job.job_id) for job in jobs] == ["41_0", "41_1", "41_2"]
    text = given.read_text()
    for line in ("--partition=gpu", "--time=240", "--gpus-per-node=1", "--account=ours", "--signal=USR2@120"):
        assert f"#SBATCH {line}\n" in text
    assert "#SBATCH --array=0-2" in text
    assert str(store.root / "slurm") in text


def test_slurm_says_no(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm(tmp_path / "bin", monkeypatch, "echo 'invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(XstiltsError, match="invalid partition specified: gpu"):
        submit(store, ["run"], 1, {"partition": "gpu"})
    with pytest.raises(XstiltsError, match="partitoin"):
        submit(store, ["run"], 1, {"partitoin": "gpu"})
    with pytest.raises(XstiltsError, match="'gpu' is not NAME=VALUE"):
        sbatch_options(["gpu"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(XstiltsError, match="srun"):
        submit(store, ["run"], 1, {})


def test_the_command_of_a_job_is_the_users_own() -> None:
    typed = [
        "run",
        "s.yaml",
        "--on",
        "slurm",
        "--slurm=time=9",
        "--slurm",
        "partition=p",
        "--jobs",
        "2",
        "--seeds",
        "1",
    ]
    assert without(typed, ("--on", "--jobs", "--slurm")) == ["run", "s.yaml", "--seeds", "1"]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore")  # submitit leaves files open
def test_a_signalled_job_leaves_in_order_and_is_queued_again(store: Store, log: Path) -> None:
    driver = Path(__file__).with_name("graph") / "toy_driver.py"
    executor = submitit.AutoExecutor(folder=store.root / "slurm" / "%j", cluster="local")
    executor.update_parameters(timeout_min=2)
    job = executor.submit(StudyJob((sys.executable, str(driver), str(store.root), "1", "0.1")))
    wait_for(lambda: len(list(store)) >= 2)
    (task,) = psutil.Process(int(job.job_id)).children()
    task.send_signal(signal.SIGUSR2)  # as Slurm does before the time is up
    assert job.result() == 0
    assert len(list(store)) == 3 + 9 + 9
    assert store.failures() == []
    workers = {line.split()[1] for line in log.read_text().splitlines()}
    assert len(workers) == 2, "one before the signal, one when it was queued again"
    assert store.claims() == []


@pytest.mark.filterwarnings("ignore")
def test_a_study_is_followed_to_its_end(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"targets": ["tatoeba"], "splits": ["test"], "arms": {"none": {}}}
    study = write_study(tmp_path, tiny_study(**fields))
    planned = journey.plan_study(study, tiny_data(), store)
    typed = [
        "run",
        str(study),
        "--data",
        str(tiny_data()),
        "--store",
        str(store.root),
        "--threads",
        "1",
        "--on",
        "slurm",
    ]
    events: list[Event] = []
    planned, ended = run_jobs(planned, store, typed, 1, {}, events.append, cluster="local")
    assert ended.complete
    assert (events[0].done, events[-1].done) == (0, len(planned.cells))
    assert ended.elsewhere == {cell.key for cell in planned.cells}
    assert {row["status"] for row in journey.rows(store)} <= {"ok", "chance", "collapsed"}
