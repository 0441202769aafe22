"""Follow the jobs of a study until it is done, they are gone, or Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xstilts.graph.disk import SAFE
from xstilts.graph.events import Event, Said
from xstilts.graph.run import Summary
from xstilts.graph.store import Store
from xstilts.plan import Plan
from xstilts.plan.retries import with_retries
from xstilts.slurm.jobs import OURS, Queue, SlurmError, ask, without

FOLLOW_SECONDS = 5.0
"""Between two looks at the store."""
ASK_SECONDS = 30.0
"""Between two questions to Slurm, which serves everybody."""
SILENT_SECONDS = 600.0
"""For how long Slurm may give no answer."""
LATE_SECONDS = 15.0
"""How long a network file system may take to show what the last job left."""
GO_ON = "the jobs go on; the same command with --jobs 0 follows them again"


class StoppedError(SlurmError):
    """Ctrl-C."""

    @property
    def exit_code(self) -> int:
        """As of any run that it stops."""
        return 128 + signal.SIGINT


@dataclass
class Watch:
    """Which jobs are left, asked now and then.

    Args:
        queue: of them.
        known: those that were there when this began.
        say: told how many wait and run, whenever that changes, and of each that ended in another way than well.
    """

    queue: Queue
    known: set[str]
    say: Callable[[str], None]
    _untold: set[str] = field(default_factory=set)
    _said: str = ""
    _asked: float = -float("inf")
    _answered: float = field(default_factory=time.monotonic)
    _empty_since: float = float("inf")

    def any_left(self) -> bool:
        """Whether a job is left, or the last one ended just now.

        Raises:
            SlurmError: Slurm gives no answer for long.
        """
        now = time.monotonic()
        if now - self._asked >= ASK_SECONDS:
            self._asked = now
            try:
                states = self.queue.live()
            except SlurmError as error:
                if now - self._answered > SILENT_SECONDS:
                    raise SlurmError(error.what, where=error.where, hint=GO_ON) from error
                return True
            self._answered, self._empty_since = now, float("inf") if states else min(now, self._empty_since)
            self._untold = (self._untold | self.known) - states.keys()
            self.known = set(states)
            self._tell(states)
        return now - self._empty_since < LATE_SECONDS

    def _tell(self, states: Mapping[str, str]) -> None:
        counts = ", ".join(f"{count} {state.lower()}" for state, count in sorted(Counter(states.values()).items()))
        said = f"jobs: {counts}" if counts else f"no job is left; what they printed: {self.queue.output('*')}"
        if said != self._said:
            self._said = said
            self.say(said)
        ended = self.queue.ended(self._untold) if self._untold else {}
        for job, how in sorted(ended.items()):
            if not how.startswith("COMPLETED"):
                self.say(f"job {job} ended: {how}; what it printed: {self.queue.output(job)}")
        self._untold -= ended.keys()


def run_jobs(
    planned: Plan,
    store: Store,
    arguments: Sequence[str],
    count: int,
    options: Mapping[str, str],
    listen: Callable[[Event], None],
) -> tuple[Plan, Summary]:
    """Let there be so many jobs for a study, and follow it until it is done or no job is left.

    Args:
        planned: the study.
        store: on a file system of all machines; ``slurm/`` in it holds the jobs' script and output.
        arguments: the command line that asks for this; the jobs' is the same without ``OURS``.
        count: how many jobs, with those that are queued or run already; 0 only follows.
        options: see ``sbatch_options``.
        listen: told how far it is.

    Returns:
        the plan with all that was begun anew, and how it ended.

    Raises:
        SlurmError: the jobs cannot be queued or followed.
        StoppedError: Ctrl-C: it cancels the jobs, and their trainings save; with ``count`` 0 they go on.
    """
    started = time.monotonic()
    before = {key for key in _cells(planned) if store.has(key)}
    queue = Queue.of(planned, store)

    def look() -> Event:
        cells = _cells(with_retries(planned, store))
        return Event(sum(map(store.has, cells)), len(cells), None)

    def say(text: str) -> None:
        listen(Said(seen.done, seen.total, None, text))

    try:
        listen(seen := look())
        command = (sys.executable, "-m", "xstilts", *without(arguments, OURS))
        watch = Watch(queue, queue.fill(command, count, options) if seen.done < seen.total else set(), say)
        while seen.done < seen.total and watch.any_left():
            time.sleep(FOLLOW_SECONDS)
            listen(seen := look())
    except KeyboardInterrupt as error:
        raise _interrupted(queue, cancel=count > 0) from error
    planned = with_retries(planned, store)
    return planned, _summary(planned, store, before, time.monotonic() - started)


def _interrupted(queue: Queue, *, cancel: bool) -> StoppedError:
    """What Ctrl-C came to."""
    if not cancel:
        return StoppedError("stopped following", hint=GO_ON)
    try:
        if live := queue.live():
            ask("scancel", *live)
    except SlurmError as error:
        return StoppedError(f"stopped, but the jobs go on: {error.what}", hint=f"scancel --name={queue.name}")
    return StoppedError(f"stopped; jobs cancelled: {len(live)}", hint=SAFE)


def _cells(planned: Plan) -> set[str]:
    """What is waited for; measurements are of the machine that a job runs on, which this one's plan does not name."""
    return {cell.key for cell in planned.cells}


def _summary(planned: Plan, store: Store, before: set[str], seconds: float) -> Summary:
    """How it ended, as the store tells."""
    cells = _cells(planned)
    missing = [node.key for node in planned.graph if not store.has(node.key)]
    failed = {key: str(failure["text"]) for key in missing if (failure := store.failure(key))}
    done = {key for key in cells if store.has(key)}
    left = tuple(key for key in missing if key in cells and key not in failed)
    return Summary(len(before), elsewhere=frozenset(done - before), failed=failed, left=left, seconds=seconds)
