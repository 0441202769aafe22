"""Studies that are killed, whose disk refuses and whose files are damaged: the same command again ends in the same table.

    python -m benchmarks.chaos --seeds 0-49 --out STEM [--world toy | --world ray]

Each run is a study of a small world in a fresh store. Three faults, drawn with the run's seed, meet it one after the
other, each in a run of the very same command: kill -9 of the driver, of a worker or (on Ray) of everything on a machine,
SIGTERM, a disk that is full or reports an I/O error at some change, a file of the store that loses its end or has a bit
flipped. Then the command is given once more. The run has survived if that ends with exit status 0 and the table, to the
last digit, is that of a run that nothing disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.worlds import DAMAGES, FAULTS, LOSE_MACHINE, REFUSALS, WORLDS, World

FAULTS_A_RUN = 3
FURTHEST = {"ENOSPC": 60, "EIO": 90}
"""Changes of the store, counted in each process, among which the one that fails is drawn."""
INJECTOR = Path(__file__).parent / "faults"
PATIENCE = 300.0
STATUSES = {"kill driver": (0, 1, -9), "kill worker": (0, 1, 2), "SIGTERM": (0, 143, -15), LOSE_MACHINE: (0, 1, 2)}
"""With which the run may end that a signal meets."""
JOINING = 15
"""Ray's own word for SIGTERM, while a driver joins a cluster."""


@dataclass
class Run:
    """What one run met.

    Args:
        seed: all that was drawn follows from it, but for the moments at which the machine was where.
        injected: kind of fault -> how often it really came.
        problems: what was not as promised; empty for a run that survived.
        seconds: wall time.
    """

    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def disturbed(world: World, expected: Any, seed: int, home: Path) -> Run:
    """One run with its faults."""
    run, chance, started = Run(seed), random.Random(seed), time.monotonic()
    store = home / "store"
    kinds = chance.sample(world.kinds, FAULTS_A_RUN)
    for kind in sorted(kinds, key=DAMAGES.__contains__):  # last: before it harms anything, the study is finished
        if kind in DAMAGES:
            _finish(_start(world, store), run, (0,))
            damage(store, kind, chance, run)
        elif kind in REFUSALS:
            refuse(world, store, kind, chance, run, home)
        else:
            strike(world, store, kind, chance, run)
    said = _finish(_start(world, store), run, (0,))
    if not run.problems:
        try:
            if world.table(store) != expected:
                run.problems.append("the table is another one")
        except Exception as error:
            run.problems.append(f"no table: {error}; the last run said: {said[-400:]}")
    run.seconds = round(time.monotonic() - started, 1)
    return run


def strike(world: World, store: Path, kind: str, chance: random.Random, run: Run) -> None:
    """Send a signal to the driver or a worker, or kill a machine, at some moment."""
    driver = _start(world, store)
    moment = time.monotonic() + chance.uniform(0.3, 0.9) * world.seconds
    while driver.poll() is None and time.monotonic() < moment:
        time.sleep(0.005)
    if driver.poll() is None and _hit(world, driver, kind, chance):
        run.injected[kind] += 1
    _finish(driver, run, (*STATUSES[kind], JOINING) if kind == "SIGTERM" and world.lose_machine else STATUSES[kind])


def _hit(world: World, driver: subprocess.Popen[bytes], kind: str, chance: random.Random) -> bool:
    """Whether there was something to hit."""
    if kind == LOSE_MACHINE:
        assert world.lose_machine is not None
        world.lose_machine(chance)
        return True
    target: psutil.Process | subprocess.Popen[bytes] = driver
    if kind == "kill worker":
        if not (workers := world.workers(driver.pid)):
            return False
        target = chance.choice(workers)
    target.send_signal(signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL)
    return True


def refuse(world: World, store: Path, code: str, chance: random.Random, run: Run, home: Path) -> None:
    """Let the disk refuse: the run must stop with the place, the code and the free space, and blame nobody else."""
    mark = home / f"{code}.{len(run.injected)}"
    fault = f"{code}:{chance.randint(1, FURTHEST[code])}:{store}:{mark}"
    said = _finish(_start(world, store, XSTILTS_FAULT=fault), run, (0, 1, 2))
    if mark.exists():
        run.injected[code] += 1
        if "Traceback" in said:
            run.problems.append(f"{code}: a traceback: {said[-600:]}")
        elif code == "ENOSPC" and "ENOSPC" in said and " free" not in said:
            run.problems.append(f"{code}: no word of the free space: {said[-400:]}")


def damage(store: Path, kind: str, chance: random.Random, run: Run) -> None:
    """Cut the end off some file of the store, or flip one of its bits."""
    files = sorted(p for p in store.rglob("*") if p.is_file() and p.stat().st_size and ".lock" not in p.name)
    path = chance.choice([p for p in files if p.relative_to(store).parts[0] != "damaged"])
    content = bytearray(path.read_bytes())
    if kind == "truncate":
        del content[chance.randrange(len(content)) :]
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    run.injected[kind] += 1


def _start(world: World, store: Path, **more: str) -> subprocess.Popen[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("XSTILTS_")}
    paths = [str(INJECTOR)] * bool(more) + [kept.get("PYTHONPATH", "")]
    environment = {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(paths), **more}
    return subprocess.Popen(world.command(store), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _finish(driver: subprocess.Popen[bytes], run: Run, statuses: Sequence[int]) -> str:
    """Wait for its end; gives what it said."""
    try:
        said = driver.communicate(timeout=PATIENCE)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        driver.kill()
        said = driver.communicate()[0].decode(errors="replace")
        run.problems.append(f"did not end in {PATIENCE:.0f} s: {said[-400:]}")
    if driver.returncode not in statuses:
        run.problems.append(f"exit status {driver.returncode}: {said[-1200:]}")
    return said


def calm(world: World, home: Path) -> Any:
    """The table of a run that nothing disturbs."""
    run = Run(-1)
    said = _finish(_start(world, home / "calm"), run, (0,))
    if run.problems:
        raise RuntimeError(f"the undisturbed run fails: {said}")
    return world.table(home / "calm")


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Faults injected and survived, by kind."""
    survived = [run for run in runs if not run.problems]
    injected: Counter[str] = sum((run.injected for run in runs), Counter())
    met = [kind for kind in (LOSE_MACHINE, *FAULTS) if injected[kind]]
    lived: Counter[str] = sum((run.injected for run in survived), Counter())
    return {
        "runs": len(runs),
        "survived": len(survived),
        "faults": {kind: {"injected": injected[kind], "survived": lived[kind]} for kind in met},
        "injected": injected.total(),
        "survived_faults": lived.total(),
        "seconds": round(sum(run.seconds for run in runs), 1),
    }


def markdown(found: dict[str, Any], runs: Sequence[Run], world: str) -> str:
    """The record for people."""
    rows = [f"| {kind} | {of['injected']} | {of['survived']} |" for kind, of in found["faults"].items()]
    bad = [f"- seed {run.seed}: {problem}" for run in runs for problem in run.problems]
    return "\n".join(
        [
            f"# Disturbed studies ({time.strftime('%Y-%m-%d')})",
            "",
            *(__doc__ or "").splitlines()[2:],
            "",
            f"World: {world}. {(WORLDS[world].__doc__ or '').strip()}",
            "",
            f"{found['survived']} of {found['runs']} runs ended in the undisturbed table, in {found['seconds']:.0f} s.",
            "",
            "| fault | injected | survived |",
            "|---|---:|---:|",
            *rows,
            f"| all | {found['injected']} | {found['survived_faults']} |",
            "",
            *bad,
        ]
    )


def main() -> None:
    """Run the seeds; print what came of each and the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="0-49", help="FIRST-LAST")
    parser.add_argument("--out", type=Path, help="stem of the record: .jsonl (runs are added) and .md")
    parser.add_argument("--world", choices=WORLDS, default="tiny")
    options = parser.parse_args()
    first, last = map(int, options.seeds.split("-"))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as home, WORLDS[options.world](Path(home)) as world:
        started = time.monotonic()
        expected = calm(world, Path(home))
        world = replace(world, seconds=time.monotonic() - started)
        for seed in range(first, last + 1):
            place = Path(home) / f"seed-{seed}"
            place.mkdir()
            runs.append(disturbed(world, expected, seed, place))
            shutil.rmtree(place)
            line = {**runs[-1].__dict__, "injected": dict(runs[-1].injected)}
            print(json.dumps(line), flush=True)
            if options.out:
                with options.out.with_suffix(".jsonl").open("a") as out:
                    out.write(json.dumps(line) + "\n")
    if options.out:
        lines = [json.loads(line) for line in options.out.with_suffix(".jsonl").read_text().splitlines()]
        runs = [Run(of["seed"], Counter(of["injected"]), of["problems"], of["seconds"]) for of in lines]
        options.out.with_suffix(".md").write_text(markdown(summary(runs), runs, options.world) + "\n", encoding="utf-8")
    print(json.dumps(summary(runs), indent=1))
    sys.exit(summary(runs)["survived"] < len(runs))


if __name__ == "__main__":
    main()
