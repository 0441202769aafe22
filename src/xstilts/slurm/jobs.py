"""Jobs of Slurm: what is queued, what Slurm says of it.

A job is a shell script in the store, ``slurm/NAME.sh``. Its name is made of the study and what it reads, so whoever gives the
same command again finds the jobs that are there already.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xstilts.device import members
from xstilts.errors import XstiltsError
from xstilts.graph.disk import guarded, write_whole
from xstilts.graph.node import canonical, sha256_text
from xstilts.graph.stopping import STOPPED
from xstilts.graph.store import Store
from xstilts.plan import Plan

SIGNAL_SECONDS = 120
"""How long before its time is up a job is told."""
RESTARTS = 1000
"""How often a job may run out of time and be queued again."""
ANSWER_SECONDS = 60.0

OURS = ("--on", "--jobs", "--slurm", "--json")
"""Options of the command that queues the jobs, which theirs lacks."""
CARDS = frozenset({"gres", "gpus", "gpus_per_node", "gpus_per_socket", "gpus_per_task"})
SIZES = ("nodes", "ntasks", "ntasks_per_node")
ONE_RUN = "a job is one run on one machine; --jobs says how many there are"
REFUSED = {
    "job_name": "jobs are found again by their names",
    **dict.fromkeys(("array", *SIZES), ONE_RUN),
    **dict.fromkeys(("signal", "parsable", "wait", "wrap", "test_only"), "the jobs could not be followed"),
}
"""Options of ``sbatch`` that are not the user's, and why."""
OVER = (
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "CANCELLED",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "BOOT_FAIL",
    "DEADLINE",
    "PREEMPTED",
)
"""What ``sacct`` calls the states of a job that has ended; a word on who did it may follow."""

# USR1 comes before the time is up, to this shell alone. TERM says that the job is cancelled or preempted: then Slurm decides
# whether it comes back. It may reach the run from here and from Slurm; told twice, it saves all the same.
SCRIPT = """#!/bin/bash
# A job of Slurm, written by `xstilts run --on slurm`.
cd -- {folder} || exit
told= again=
trap 'told=yes again=yes; kill -TERM "$run"' USR1
trap 'told=yes again=; kill -TERM "$run"' TERM
{command} &
run=$!
wait "$run"; status=$?
while [ "$told" ]; do told=; wait "$run"; status=$?; done
if [ "$again" ] && [ "$status" -eq {stopped} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


class SlurmError(XstiltsError):
    """Slurm is not there, refuses or gives no answer."""


def ask(tool: str, *arguments: str | Path) -> str:
    """What one of Slurm's commands prints.

    Raises:
        SlurmError: with what it says of the matter itself.
    """
    command = [tool, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except OSError as error:
        raise SlurmError(
            f"`{tool}` cannot be started here: {error.strerror}",
            where="--on slurm",
            hint="give the command on a machine from which jobs are queued",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"`{tool}` gives no answer for {ANSWER_SECONDS:.0f} s", where="--on slurm") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise SlurmError(f"{tool}: {said}", where="--on slurm", hint=f"the command was: {shlex.join(command)}")
    return done.stdout.decode(errors="replace")


@dataclass
class Queue:
    """The jobs of one name.

    Args:
        folder: holds their script and their output.
        name: as Slurm lists them.
    """

    folder: Path
    name: str

    @staticmethod
    def of(planned: Plan, store: Store) -> Queue:
        """Where jobs for this very study over these very inputs are, in this store."""
        read = [planned.study.model_dump(mode="json"), sorted(planned.files), sorted(planned.models), str(store.root)]
        return Queue(store.root / "slurm", f"xstilts-{planned.study.name}-{sha256_text(canonical(read))[:8]}")

    def fill(self, command: Sequence[str], count: int, options: Mapping[str, str]) -> set[str]:
        """Let there be at least so many jobs, each of which runs ``command`` in this folder; gives all that there are.

        Args:
            command: a program and its arguments.
            count: what is missing is queued whole or not at all.
            options: of ``sbatch`` (see ``sbatch_options``).

        Raises:
            SlurmError: it refuses them.
            StoreError: the disk refuses the script.
        """
        live = self.live()
        missing = count - sum(state != "COMPLETING" for state in live.values())
        if missing <= 0:
            return set(live)
        script = self.folder / f"{self.name}.sh"
        line = shlex.join(command)
        text = SCRIPT.format(folder=shlex.quote(str(Path.cwd())), command=line, stopped=STOPPED, restarts=RESTARTS)
        with guarded(script):
            write_whole(script, os.fsencode(text))
        given = {**options}
        seconds = given.pop("signal_delay_s", str(SIGNAL_SECONDS))
        output = str(self.folder).replace("%", "%%") + "/%x-%A_%a.out"
        said = ask(
            "sbatch",
            *(
                "--parsable",
                f"--job-name={self.name}",
                f"--array=1-{missing}",
                "--requeue",
                f"--signal=B:USR1@{seconds}",
            ),
            *(f"--output={output}", "--open-mode=append"),
            *(f"--{name.replace('_', '-')}" + (f"={value}" if value else "") for name, value in given.items()),
            script,
        )
        number = said.strip().partition(";")[0]
        if not number.isdecimal():
            raise SlurmError(f"sbatch gives no job's number but {said.strip()!r}", where="--on slurm")
        return {*live, *(f"{number}_{k}" for k in range(1, missing + 1))}

    def live(self) -> dict[str, str]:
        """Job -> state of all that have not ended."""
        listed = ask(
            "squeue", f"--user={os.getuid()}", "--noheader", "--array", f"--name={self.name}", "--format=%i %T"
        )
        return dict(line.split(maxsplit=1) for line in listed.splitlines() if line.strip())

    def ended(self, jobs: set[str]) -> dict[str, str]:
        """How jobs ended, of those of which Slurm knows: ``OUT_OF_MEMORY, exit status 0:9``."""
        try:
            listed = ask("sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={','.join(sorted(jobs))}",
                         "--format=JobID,State,ExitCode")  # fmt: skip
        except SlurmError:  # not every cluster keeps accounts
            return {}
        rows = [line.split("|") for line in listed.splitlines()]
        states = {row[0]: (row[1], row[2]) for row in rows if len(row) == 3 and row[0] in jobs}
        return {
            job: f"{state}, exit status {status}" for job, (state, status) in states.items() if state.startswith(OVER)
        }

    def output(self, job: str) -> Path:
        """What a job prints."""
        return self.folder / f"{self.name}-{job}.out"


def sbatch_options(given: Sequence[str], devices: Sequence[str] = (), threads: int | None = None) -> dict[str, str]:
    """Options of ``sbatch`` for a job: what its workers take, and then what the user says.

    Args:
        given: ``NAME=VALUE`` each, the name with ``_`` or ``-``; without a value where the option has none.
        devices: of the workers of one job. A card each, unless the user asks for some.
        threads: of each; ``None``: they share what CPUs the job gets.

    Raises:
        XstiltsError: one is not NAME=VALUE, or not the user's.
    """
    for text in given:
        if "=" not in text:
            raise XstiltsError(f"{text!r} is not NAME=VALUE", where="--slurm")
    options = {name.replace("-", "_"): value for name, _, value in (text.partition("=") for text in given)}
    for name in sorted(options.keys() & REFUSED):
        if name in SIZES and options[name] == "1":
            continue
        raise XstiltsError(f"{name} cannot be set: {REFUSED[name]}", where="--slurm")
    every = [each for device in devices for each in members(device)]
    cards = len({each for each in every if each.startswith("cuda")})
    wanted: dict[str, str] = {}
    if cards and not options.keys() & CARDS:
        wanted["gpus_per_node"] = str(cards)
    if threads and "cpus_per_gpu" not in options:
        wanted["cpus_per_task"] = str(threads * len(every))
    return wanted | options


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
