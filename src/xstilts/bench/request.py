"""What a measured process is told and what it answers: plain data on its standard input and output. No torch here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from xstilts.errors import MeasurementError
from xstilts.graph.process import STDERR_TAIL, THREAD_VARIABLES

FIXED = {"TOKENIZERS_PARALLELISM": "true", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # numbers as nvidia-smi's


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
        slices: the scenarios' time is cut into so many.
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
    slices: int = 1
    warmup_seconds: float = 1.0
    seed: int = 1
    answers: str | None = None


class Session:
    """A measured process: nothing of another one is warm in it, but for files that the system keeps in memory.

    Args:
        request: its system and scenarios.

    Raises:
        MeasurementError: the process failed; its last words are in the message.
    """

    def __init__(self, request: Request) -> None:
        self._process = _Process({"kind": "run", **asdict(request)}, request.threads)
        try:
            self._process.answer()
        except BaseException:
            self._process.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.close()

    def slice(self) -> None:
        """One of the request's slices of work."""
        self._process.tell("slice")
        self._process.answer()

    def end(self) -> dict[str, Any]:
        """The record."""
        self._process.tell("end")
        return self._process.answer()


def matrix_peak(device: str, threads: int, precision: str) -> float:
    """The matrix product's floating-point operations a second that this device reaches, measured in a fresh process."""
    request = {"kind": "peak", "device": device, "threads": threads, "precision": precision}
    return float(answer_of(request, threads)["flops_per_s"])


def answer_of(request: dict[str, Any], threads: int) -> dict[str, Any]:
    """What a fresh process says to one request of a kind that is answered at once."""
    process = _Process(request, threads)
    try:
        return process.answer()
    finally:
        process.close()


class _Process:
    """``xstilts.bench.once``, spoken to in lines."""

    def __init__(self, first: dict[str, Any], threads: int) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xstilts.bench.once"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **FIXED},
        )
        self.tell(json.dumps(first, ensure_ascii=False))

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the answer says why
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._stderr.seek(0)
            last = self._stderr.read().decode(errors="replace").strip()[-STDERR_TAIL:] or "no word"
            raise MeasurementError(f"a measured process ended with status {status}: {last}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._stderr.close()
