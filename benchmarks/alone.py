"""One contender in a process of its own, for its peak memory: others' models and earlier rounds would count too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.race import Race
from xstilts.errors import ModelError
from xstilts.graph.worker import peak_memory_bytes


def peak_memory(race: Race, contender: str, again: Sequence[str]) -> int:
    """Bytes, of a new process that makes the contender and calls it once.

    Args:
        race: where it takes part.
        contender: its name.
        again: arguments of ``benchmarks.suite`` that give the same setting and line.
    """
    command = [sys.executable, "-m", "benchmarks.suite", *again, "--alone", race.name, contender]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise ModelError(f"{contender} failed alone: {' '.join(last) or done.returncode}", where=race.name)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return int(answer["peak_memory_bytes"])


def run(race: Race, contender: str) -> None:
    """What the new process does."""
    race.contenders[contender].make().call()
    print(json.dumps({"peak_memory_bytes": peak_memory_bytes()}))
