"""A worker whose nodes write small files, as their spec says; run as a script by the tests.

Spec: ``text`` (written), ``sleep`` (seconds, between two halves of the file), ``fail``, ``signal`` (to itself),
``exit``, ``print``, ``errno``, ``link``, ``steps`` (progress), ``saves`` (a checkpoint first), ``raises`` (the name of an
error), ``defers`` (until SIGTERM, and then takes so many seconds to save), ``once`` (a file: die only if it is absent),
``wait`` (for this file, between the halves), ``rank`` (of a group: only this process misbehaves).
"""

import builtins
import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts import errors
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.stopping import deferred, leave_if
from xstilts.graph.worker import Progress, serve


def execute(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress
) -> dict[str, Any]:
    spec = node.spec
    log(f"start {os.getpid()} {node.key}")
    if "print" in spec:
        sys.stdout.write("noise on stdout\n")
        sys.stdout.flush()
        ctypes.CDLL(None).puts(b"noise from C")
        sys.stderr.write("noise on stderr\n")
    mine = spec.get("rank", resources.rank) == resources.rank
    if mine and ("once" not in spec or not Path(spec["once"]).exists()):
        misbehave(spec, out)
    gathered = "".join(f"{role}:{(path / 'result.txt').read_text()}" for role, path in sorted(parents.items()))
    with (out / "result.txt").open("w") as stream:
        stream.write(f"{spec.get('text', '')}(")
        stream.flush()
        for step in range(spec.get("steps", 0)):
            progress(step + 1, spec["steps"], "steps", loss=0.5)
        time.sleep(spec.get("sleep", 0))
        if "defers" in spec:
            save_when_told(Claim.of(out), spec["defers"])
        while "wait" in spec and not Path(spec["wait"]).exists():
            time.sleep(0.005)
        stream.write(f"{gathered})")
    (out / "deep" / "er").mkdir(parents=True)
    (out / "deep" / "er" / "more.bin").write_bytes(bytes(range(256)))
    log(f"end {os.getpid()} {node.key}")
    seen = {"rows": len(gathered), "threads_seen": os.environ["OMP_NUM_THREADS"]}
    return {**seen, "of": resources.processes} if resources.processes > 1 else seen


def save_when_told(claim: Claim, seconds: float) -> None:
    """As a training does; it goes on from what it saved."""
    if not (claim.checkpoints / "step-1").exists():
        with deferred() as told:
            (claim.folder / "defers").touch()
            while not told():
                time.sleep(0.005)
            time.sleep(seconds)
            (claim.checkpoints / "step-1").mkdir(parents=True, exist_ok=True)
            leave_if(True)


def misbehave(spec: Mapping[str, Any], out: Path) -> None:
    if "once" in spec:
        Path(spec["once"]).touch()
    if "saves" in spec:
        (Claim.of(out).checkpoints / "step-1").mkdir(parents=True)
    if "raises" in spec:
        raise (getattr(errors, spec["raises"], None) or getattr(builtins, spec["raises"]))("no more")
    if "fail" in spec:
        (out / "half.txt").write_text("half")
        raise RuntimeError(spec["fail"].format(out=out))
    if "errno" in spec:
        number = getattr(errno, spec["errno"])
        raise OSError(number, os.strerror(number), str(out / "big.bin"))
    if "signal" in spec:
        os.kill(os.getpid(), getattr(signal, spec["signal"]))
    if "exit" in spec:
        os._exit(spec["exit"])
    if "link" in spec:
        (out / "link").symlink_to("/etc/hostname")


def log(line: str) -> None:
    if place := os.environ.get("TOY_LOG"):
        with Path(place).open("a") as stream:
            stream.write(line + "\n")


if __name__ == "__main__":
    serve(execute)
