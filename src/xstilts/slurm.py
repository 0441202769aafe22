"""A study as jobs of Slurm: each is an ordinary run of the same command, and they meet in the store.

There is no driver to keep alive: a job takes what nobody else has claimed. Before its time is up, or when it makes room for
others, Slurm signals it; its trainings save, it leaves, and it is queued again until the study is done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.errors import XstiltsError
from xstilts.graph.events import Event
from xstilts.graph.run import Summary
from xstilts.graph.store import Store
from xstilts.plan import Plan
from xstilts.plan.retries import with_retries

SIGNAL_SECONDS = 120
"""How long before its time is up a job is told."""
TIMEOUTS = 1000
"""How often a job may run out of time and be queued again."""
FOLLOW_SECONDS = 5.0
OURS = ("--on", "--jobs", "--slurm", "--json")
"""Options of the command that queues the jobs, which theirs lacks."""


@dataclass
class StudyJob:
    """What a job does; submitit writes it into the job's folder and calls it on the machine.

    Args:
        command: the run, as one would type it there.
    """

    command: Sequence[str]
    _run: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run until the study is done; ends with the run's own exit status."""
        self._run = subprocess.Popen(list(self.command))
        if status := self._run.wait():
            raise SystemExit(status)
        return 0

    def checkpoint(self) -> Any:
        """Let the run save and leave; gives what is queued again. submitit calls it when the job is signalled."""
        from submitit.helpers import DelayedSubmission

        if self._run is not None:
            os.kill(self._run.pid, signal.SIGTERM)
            # This interrupts ``wait`` above, which holds a lock: Popen itself must not be asked.
            os.waitid(os.P_PID, self._run.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(StudyJob(self.command))


def submit(
    store: Store, command: Sequence[str], jobs: int, options: Mapping[str, str], *, cluster: str = "slurm"
) -> list[Any]:
    """Queue a study.

    Args:
        store: on a file system of all machines; ``slurm/`` in it holds the jobs' output.
        command: what follows ``xstilts``: the run.
        jobs: how many machines' worth.
        options: of ``sbatch``, by submitit's names: ``partition``, ``time`` (minutes), ``gpus_per_node``, ``account`` ...
        cluster: ``slurm``, or ``local`` for processes of this machine.

    Returns:
        submitit's jobs.

    Raises:
        XstiltsError: submitit or Slurm is not there, or refuses an option.
    """
    try:
        import submitit
    except ImportError as error:
        raise XstiltsError("submitit is not installed here", hint="pip install 'xstilts[slurm]'") from error
    try:
        executor = submitit.AutoExecutor(store.root / "slurm" / "%j", cluster, slurm_max_num_timeout=TIMEOUTS)
        given = {f"slurm_{name}": int(text) if text.isdecimal() else text for name, text in options.items()}
        executor.update_parameters(name="xstilts", **{"slurm_signal_delay_s": SIGNAL_SECONDS, **given})
        job = StudyJob((sys.executable, "-m", "xstilts", *command))
        with executor.batch():
            return [executor.submit(job) for _ in range(jobs)]
    except (ValueError, RuntimeError, NameError, OSError, submitit.core.utils.FailedSubmissionError) as error:
        raise XstiltsError(f"Slurm does not take the jobs: {error}", where="--slurm") from error


def run_jobs(
    planned: Plan,
    store: Store,
    arguments: Sequence[str],
    count: int,
    options: Mapping[str, str],
    listen: Callable[[Event], None],
    *,
    cluster: str = "slurm",
) -> tuple[Plan, Summary]:
    """Queue a study and follow it until it is done or no job is left.

    Args:
        planned: the study.
        store: see ``submit``.
        arguments: the command line that asks for this; the jobs' is the same without ``OURS``.
        count: how many jobs; with 0 it only follows, until the study is done.
        options: see ``submit``.
        listen: told how far it is.
        cluster: see ``submit``.

    Returns:
        the plan with all that was begun anew, and how it ended.

    Raises:
        XstiltsError: the jobs cannot be queued, or following was interrupted; the jobs go on.
    """
    started = time.monotonic()
    before = {key for key in _cells(planned) if store.has(key)}
    jobs = submit(store, without(arguments, OURS), count, options, cluster=cluster) if count else []
    try:
        while not _told(with_retries(planned, store), store, listen) and not (jobs and all(job.done() for job in jobs)):
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt as error:
        ids = " ".join(str(job.job_id) for job in jobs)
        raise XstiltsError(
            "stopped following; the jobs go on",
            hint=f"--jobs 0 follows them again, `scancel {ids}` stops them; logs: {store.root / 'slurm'}",
        ) from error
    planned = with_retries(planned, store)
    return planned, _summary(planned, store, before, time.monotonic() - started)


def _cells(planned: Plan) -> set[str]:
    """What is waited for; measurements are of the machine that a job runs on, which this one's plan does not name."""
    return {cell.key for cell in planned.cells}


def _told(planned: Plan, store: Store, listen: Callable[[Event], None]) -> bool:
    cells = _cells(planned)
    done = sum(map(store.has, cells))
    listen(Event(done, len(cells), None))
    return done == len(cells)


def _summary(planned: Plan, store: Store, before: set[str], seconds: float) -> Summary:
    """How it ended, as the store tells."""
    cells = _cells(planned)
    missing = [node.key for node in planned.graph if not store.has(node.key)]
    failed = {key: str(failure["text"]) for key in missing if (failure := store.failure(key))}
    done = {key for key in cells if store.has(key)}
    left = tuple(key for key in missing if key in cells and key not in failed)
    return Summary(len(before), elsewhere=frozenset(done - before), failed=failed, left=left, seconds=seconds)


def sbatch_options(given: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` of each.

    Raises:
        XstiltsError: one is not.
    """
    for text in given:
        if "=" not in text:
            raise XstiltsError(f"{text!r} is not NAME=VALUE", where="--slurm")
    return dict(text.partition("=")[::2] for text in given)


def without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """A command line without some of its options, each of which has a value."""
    kept: list[str] = []
    left = iter(arguments)
    for word in left:
        if word in options:
            next(left, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept
