"""One model on one target's rows, measured in fresh processes, without a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from xstilts import tasks
from xstilts.device import cores
from xstilts.errors import MeasurementError
from xstilts.measurements import Measurement

if TYPE_CHECKING:
    from xstilts.hyperparameters import Encoding
    from xstilts.report.impact.measured import Measured
    from xstilts.tasks.task import Task


def load_of(
    target: str,
    *,
    split: Literal["dev", "test"] = "test",
    rows: int = 32,
    runs: int = 3,
    seconds: float = 3.0,
    p99_ms: float | None = None,
) -> Measurement:
    """What is measured: offline (all rows at once), single-stream (one row a query), and a server where asked for.

    Args:
        target: the task whose rows are answered.
        split: of the target.
        rows: of each language.
        runs: fresh processes.
        seconds: of each scenario, at least.
        p99_ms: also the largest server rate with p99 latency within this; takes minutes.

    Raises:
        MeasurementError: a number that cannot be.
    """
    scenarios: dict[str, Any] = {"offline": {"min_seconds": seconds}, "single_stream": {"min_seconds": seconds}}
    if p99_ms is not None:
        scenarios["server"] = {"p99_ms": p99_ms, "min_seconds": seconds}
    fields = {"targets": [target], "split": split, "rows": rows, "blocks": runs, "scenarios": scenarios}
    try:
        return Measurement.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{first['msg']} (got {first['input']!r})"
        raise MeasurementError(what, where=".".join(map(str, first["loc"]))) from None


def bench_folder(
    folder: Path,
    target: str,
    data: Path,
    *,
    progress: Callable[..., None],
    languages: Sequence[str] | None = None,
    layer: int | None = None,
    max_length: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    device: str = "cpu",
    threads: int | None = None,
    task_files: Sequence[Path] = (),
    **load: Any,
) -> tuple[Measured, dict[str, Any]]:
    """Measure a model folder.

    Args:
        folder: a trained model of the target, or any encoder for a retrieval target.
        target, data: the task whose rows are answered, and where they are.
        progress: told ``(done, total, unit)`` after every run.
        languages: ``None`` for all that have files.
        layer: for retrieval, the layer that is read; ``None`` for the last.
        max_length: sub-words of a sequence; ``None`` for as in the model's training, else the target's.
        precision, device, threads: what it runs on; ``None`` threads are all cores.
        task_files: tasks from outside the package.
        load: see ``load_of``.

    Returns:
        the measurement, and both of its files as plain data.

    Raises:
        MeasurementError, MissingNameError, DataError, ModelError: see ``load_of`` and ``bench.one_model.measure_model``.
    """
    from xstilts.bench.one_model import measure_model
    from xstilts.models.precision import resolve_precision
    from xstilts.report.impact.measured import as_recorded, read_folder

    for path in task_files:
        tasks.load_file(path)
    task = tasks.load(target)
    with TemporaryDirectory(prefix="xstilts-bench-") as scratch:
        out = Path(scratch) / "bench" / "out"  # beside it the measurement keeps what outlives an attempt
        out.mkdir(parents=True)
        node = measure_model(
            folder,
            task,
            data,
            load_of(target, **load),
            out,
            languages=languages,
            layer=layer,
            encoding=_encoding(folder, task, max_length),
            precision=resolve_precision(precision, device),
            device=device,
            threads=threads or cores(),
            progress=progress,
            task_files=task_files,
        )
        return read_folder(out, node), as_recorded(out)


def _encoding(folder: Path, task: Task, max_length: int | None) -> Encoding:
    """As the model predicts rows of its task; an encoder's sentences as the target has them, as far as it numbers them."""
    from xstilts.model_source import config_of, longest_of
    from xstilts.own_text.models import fitted, trained_encoding

    trained = None if task.trains_on is None else trained_encoding(folder)
    return fitted(trained or task.encoding, longest_of(config_of(folder)), max_length)
