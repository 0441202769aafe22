"""What a measured process is told and what it answers: plain data on its standard input and output. No torch here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from xstilts.errors import MeasurementError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
STDERR_TAIL = 2000


@dataclass(frozen=True)
class Request:
    """One run: a system, the rows it answers, and the scenarios.

    Args:
        folder: the model's; with its head for a fine-tuned target.
        task: the target's name.
        task_files: files of tasks from outside the package.
        load: JSON file, language -> rows (sentences for retrieval).
        encoding: see ``hyperparameters.Encoding``.
        precision, device, threads: what it runs on.
        layer: for retrieval, the layer that is read; ``None`` otherwise.
        pooling: for retrieval.
        batch_tokens: sub-words in one forward pass, at most.
        slowdown: 0.05 for a system that is made 5 % slower.
        scenarios: see ``measurements.Scenarios``.
        warmup_seconds: unmeasured calls before.
        seed: of drawn samples and arrival times.
        answers: file for the answers of one pass, language -> answers; ``None`` where nobody compares them.
    """

    folder: str
    task: str
    load: str
    encoding: dict[str, Any]
    precision: str
    device: str
    threads: int
    scenarios: dict[str, Any]
    task_files: tuple[str, ...] = ()
    layer: int | None = None
    pooling: str = "mean"
    batch_tokens: int = 4096
    slowdown: float = 0.0
    warmup_seconds: float = 1.0
    seed: int = 1
    answers: str | None = None


def run_once(request: Request) -> dict[str, Any]:
    """Run one request in a process of its own: nothing of an earlier run is warm in it.

    Raises:
        MeasurementError: the process failed; its last words are in the message.
    """
    return _ask("run", asdict(request), request.threads)


def matrix_peak(device: str, threads: int, precision: str) -> float:
    """The matrix product's floating-point operations a second that this device reaches, measured in a fresh process."""
    asked = {"device": device, "threads": threads, "precision": precision}
    return float(_ask("peak", asked, threads)["flops_per_s"])


def _ask(kind: str, content: dict[str, Any], threads: int) -> dict[str, Any]:
    told = json.dumps({"kind": kind, **content}, ensure_ascii=False)
    ended = subprocess.run(
        [sys.executable, "-m", "xstilts.bench.once"],
        input=told,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "TOKENIZERS_PARALLELISM": "true"},
        check=False,
    )
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines:
        last = ended.stderr.strip()[-STDERR_TAIL:] or "no word"
        raise MeasurementError(f"a measured process ended with status {ended.returncode}: {last}")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
