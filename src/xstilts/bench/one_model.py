"""One model on one target's rows, without a study: what an engineer asks before there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xstilts.bench.measure import measure
from xstilts.device import fingerprint
from xstilts.errors import DataError, ModelError
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Node, Resources
from xstilts.hyperparameters import Encoding
from xstilts.measurements import Measurement
from xstilts.model_choice import ModelChoice
from xstilts.model_source import ModelSource, find_model
from xstilts.tasks.folder import DataFolder
from xstilts.tasks.task import Task


def measure_model(
    folder: Path,
    target: Task,
    data: Path,
    settings: Measurement,
    out: Path,
    *,
    languages: Sequence[str] | None,
    layer: int | None,
    encoding: Encoding,
    precision: str,
    device: str,
    threads: int,
    progress: Callable[..., None],
    task_files: Sequence[Path] = (),
) -> Node:
    """Measure a model folder as a study would; ``out`` gets ``measurement.json`` and ``runs.jsonl``.

    Args:
        folder: a trained model of this target, or any encoder for a retrieval target.
        target: whose rows are the load.
        data: the data folder.
        settings: rows, blocks and scenarios; there is one system, so there is no margin.
        out: an empty folder.
        languages: ``None`` for all that have files.
        layer: for retrieval, the layer that is read; ``None`` for the last.
        encoding: how its rows become sub-words.
        precision, device, threads: what it runs on.
        progress: told ``(done, total, unit)`` after every run.
        task_files: tasks from outside the package.

    Raises:
        DataError: the data folder has no such rows.
        ModelError: a layer of a model that is not read by layers.
        MeasurementError: the model does not fit the target, or a measured process failed.
    """
    source = find_model(folder.name, ModelChoice(path=str(folder.resolve())), digest_file)
    if target.trains_on is not None and layer is not None:
        raise ModelError(f"{target.name} is answered by a head, not by a layer", where="--layer")
    files: dict[str, str] = {}
    entries = _entries(DataFolder(data.absolute(), {}), target, settings.split, languages, files)
    read = None if target.trains_on is not None else source.num_layers if layer is None else layer
    spec = {
        "settings": settings.model_dump(mode="json"),
        "systems": [_system(source, read)],
        "task": target.name,
        "split": settings.split,
        "languages": entries,
        "encoding": encoding.model_dump(mode="json"),
        "precision": precision,
        "pooling": "mean",
        "device": fingerprint(device, threads, precision),
    }
    node = Node("measure", spec, labels={"measurement": "bench", "task": target.name, "split": settings.split})
    paths = tuple(str(path.resolve()) for path in task_files)
    resources = Resources(files, {source.identity: str(source.folder)}, device, threads, threads, task_files=paths)
    measure(node, {}, out, resources, progress)
    return node


def _system(source: ModelSource, layer: int | None) -> dict[str, Any]:
    return {
        "name": source.name,
        "model": source.name,
        "arm": "",
        "role": "arm",
        "of": None,
        "layer": layer,
        "slowdown": 0.0,
        "base": source.identity,
        "num_layers": source.num_layers,
        "seed": None,
    }


def _entries(
    data: DataFolder, target: Task, split: str, languages: Sequence[str] | None, files: dict[str, str]
) -> dict[str, Any]:
    """The files of each language by digest; ``files`` is told where they lie."""
    there = [lang for lang in target.languages if data.files(target, split, lang)]
    chosen = there if languages is None else list(languages)
    if missing := [lang for lang in chosen if lang not in there]:
        raise DataError(
            f"{target.name} has no {split} rows in {', '.join(missing)}",
            where=str(data.root),
            hint=f"there are some in: {', '.join(there) or 'no language'}; xstilts data check --data DIR says more",
        )
    if not chosen:
        raise DataError(f"{target.name} has no {split} rows", where=str(data.root), hint=f"get them: {target.fetch}")
    entries = {}
    for language in chosen:
        paths = data.files(target, split, language)[: 2 if target.group == "retrieval" else None]
        digests = [digest_file(path) for path in paths]
        files |= {digest: str(path) for digest, path in zip(digests, paths, strict=True)}
        entries[language] = {"files": [{"name": p.name, "sha256": d} for p, d in zip(paths, digests, strict=True)]}
    return entries
