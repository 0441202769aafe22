"""Runs a node in a worker process: the only place where the graph meets training and inference.

Started as ``python -m xstilts.execute`` by the driver. The pure kinds (calibrate, score) never load torch.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xstilts import scoring, tasks
from xstilts.data.text import read_text, read_translations
from xstilts.errors import GoldError
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress, serve
from xstilts.hyperparameters import Encoding, Pretraining, Training
from xstilts.inputs import base_model, input_file, load_task_files
from xstilts.kept_features import kept_features
from xstilts.rows import choose_rows, drop_overlap, open_rows, without_gold
from xstilts.task_types import Features, Retrieval, Tagging, TaskType, Tokenizer
from xstilts.task_types.chunks import encode_in_chunks
from xstilts.tasks.task import Task

if TYPE_CHECKING:
    from xstilts.models.model import Model
    from xstilts.models.precision import Precision
    from xstilts.training import Checkpoints

Counts = dict[str, Any]
_loaded: dict[str, Model] = {}
"""The last model that was used for predictions: nodes that share it run one after another in the same worker."""


def execute(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Run one node and leave its output in ``out``; the returned counts are kept with the node.

    Args:
        node: what to run.
        parents: role -> folder of a finished node.
        out: an empty folder.
        resources: device, threads, and where input files and models lie.
        progress: told how far it is.
    """
    load_task_files(node.spec, resources)
    kinds: dict[str, Callable[[], Counts]] = {
        "pretrain": lambda: _pretrain(node, out, resources, progress),
        "train": lambda: _train(node, parents, out, resources, progress),
        "predict": lambda: _predict(node, parents, out, resources, progress),
        "prune": lambda: _prune(node, parents, out, resources),
        "retrieve": lambda: _retrieve(node, parents, out, resources, progress),
        "calibrate": lambda: scoring.calibrate(node, parents, out, resources),
        "score": lambda: scoring.score(node, parents, out, resources),
        "measure": lambda: _measure(node, parents, out, resources, progress),
    }
    return kinds[node.kind]()


def _pretrain(node: Node, out: Path, resources: Resources, progress: Progress) -> Counts:
    """Make a model from the study's text. All others wait for it, so it takes every core of the run."""
    import torch

    from xstilts.training.pretrain import Texts, pretrain

    spec = node.spec
    texts = Texts(
        {lang: read_text(input_file(file["sha256"], resources)) for lang, file in spec["text"].items()},
        {lang: read_translations(input_file(file["sha256"], resources)) for lang, file in spec["bitext"].items()},
    )
    _loaded.clear()
    own = torch.get_num_threads()
    torch.set_num_threads(resources.cores)
    try:
        with TemporaryDirectory(dir=out.parent) as start:
            counts = pretrain(
                texts,
                Pretraining.model_validate(spec["settings"]),
                start=Path(start),
                out=out,
                precision=spec["precision"],
                device=resources.device,
                micro_batch_tokens=resources.micro_batch_tokens,
                progress=progress,
                checkpoints=_checkpoints(node, out, resources),
            )
    finally:
        torch.set_num_threads(own)
    (out / "training.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return {**counts, "threads": resources.cores}


def _prune(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources) -> Counts:
    from xstilts.models.prune import keep_layers

    return keep_layers(_start_folder(node.spec, parents, resources), node.spec["layers"], out / "model")


def _measure(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Inference, measured in processes of its own: this one must hold no model and no threads meanwhile."""
    from xstilts.bench.measure import measure

    _loaded.clear()
    gc.collect()
    if "torch" in sys.modules:  # what this process reserved on a card would be missing to the measured one
        sys.modules["torch"].cuda.empty_cache()
    return measure(node, parents, out, resources, progress)


def _train(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Train from the parent's or the base model's encoder, export the model and its log."""
    from xstilts.models.export import export
    from xstilts.models.model import Model
    from xstilts.models.trained_rows import trained_rows
    from xstilts.training import TaskCourse, train

    spec = node.spec
    task = tasks.load(spec["task"])
    settings, encoding = Training.model_validate(spec["training"]), Encoding.model_validate(spec["encoding"])
    found = open_rows(task, spec, spec["source"], resources)
    kept, dropped = drop_overlap(found, task, spec["overlap"], spec["source"], resources)
    examples = choose_rows(kept, spec["rows"])
    task_type = _with_tags_of(task.type, examples)
    assert task_type.head is not None
    _refuse_missing_gold(task, examples)
    _loaded.clear()
    model = Model.start(
        _start_folder(spec, parents, resources),
        task_type.head,
        spec["seed"],
        precision=spec["precision"],
        device=resources.device,
        dropout=settings.dropout,
        attention_dropout=settings.attention_dropout,
    )
    features = _features(task_type, examples, model.tokenizer, encoding, out)
    with trained_rows(model.encoder, features.input_ids):
        summary = train(
            model,
            TaskCourse(task_type, features, settings, spec["seed"]),
            micro_batch_tokens=resources.micro_batch_tokens,
            dev=_dev_score(model, task_type, spec, settings, encoding, resources) if "dev" in spec else None,
            progress=progress,
            log=out / "training.jsonl",
            checkpoints=_checkpoints(node, out, resources),
        )
    export(model, out / "model", task.name, task_type.name, task_type.head.labels)
    counts = {
        "rows_found": len(found),
        "rows_dropped_overlap": dropped,
        "rows_trained_on": len(examples),
        "encoding": features.counts,
        "training": summary.as_json(),
        "execution": f"{model.encoder.execution.kind}: {model.encoder.execution.reason}",
    }
    (out / "training.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return counts


def _features(
    task_type: TaskType, examples: Sequence[Any], tokenizer: Tokenizer, encoding: Encoding, out: Path
) -> Features:
    """Kept in the store for the other trainings on these rows."""
    cache = Claim.of(out).cache
    if cache is None:
        return encode_in_chunks(task_type, examples, tokenizer, encoding)
    return kept_features(cache / "features", task_type, examples, tokenizer, encoding)


def _checkpoints(node: Node, out: Path, resources: Resources) -> Checkpoints:
    """Beside the outputs, in the node's claim: the next attempt goes on from there."""
    from xstilts.training import Checkpoints

    claim = Claim.of(out)
    return Checkpoints(claim.checkpoints, node.key, resources.checkpoint_seconds, claim.held)


def _refuse_missing_gold(task: Task, examples: Sequence[Any]) -> None:
    missing = [e.id for e in examples if task.type.gold(e) is None]
    if missing:
        raise GoldError(
            f"{len(missing)} of {len(examples)} training rows of {task.name} have no gold, the first is row {missing[0]!r}",
            hint="xstilts data check shows what is found for every task",
        )


def _with_tags_of(task_type: TaskType, examples: Sequence[Any]) -> TaskType:
    """The shape with its labels; a tagging task that declares none takes those of its training rows (CCG)."""
    if isinstance(task_type, Tagging) and not task_type.labels:
        return Tagging(tuple(sorted({tag for e in examples for tag in e.tags or ()})))
    return task_type


def _start_folder(spec: Mapping[str, Any], parents: Mapping[str, Path], resources: Resources) -> Path:
    return parents["model"] / "model" if "model" in parents else base_model(spec["model"], resources)


def _dev_score(
    model: Model,
    task_type: TaskType,
    spec: Mapping[str, Any],
    settings: Training,
    encoding: Encoding,
    resources: Resources,
) -> Callable[[], float]:
    """The source-language dev score, by the task's own metric, on the first rows of the fixed shuffle."""
    from xstilts.inference.predict import predict

    task = tasks.load(spec["dev"]["task"])
    examples = choose_rows(open_rows(task, spec["dev"], spec["source"], resources), settings.selection_rows)
    golds, examples = [task.type.gold(e) for e in examples], without_gold(examples)

    def score() -> float:
        outputs, _ = predict(
            model, task_type, examples, encoding, micro_batch_tokens=resources.micro_batch_tokens, progress=None
        )
        scores = task.metric(golds, [task_type.answer(o) for o in outputs], spec["source"])
        return sum(scores[name] for name in task.main_score) / len(task.main_score)

    return score


def _predict(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Scored outputs of every language: the predictions files."""
    from xstilts.inference.predict import matched_type, predict

    spec = node.spec
    task, encoding = tasks.load(spec["task"]), Encoding.model_validate(spec["encoding"])
    model = _load(parents["model"] / "model", spec["precision"], resources, head=True)
    assert model.head_shape is not None
    task_type = matched_type(task, model.head_shape.labels)
    counts: dict[str, Any] = {}
    for done, (language, entry) in enumerate(spec["languages"].items()):
        progress(done, len(spec["languages"]), "languages", at=language)
        examples = without_gold(choose_rows(open_rows(task, entry, language, resources), spec["rows"]))
        outputs, counts[language] = predict(
            model, task_type, examples, encoding, micro_batch_tokens=resources.micro_batch_tokens, progress=None
        )
        scoring.write_rows(out / "outputs" / f"{language}.jsonl", outputs)
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return _summed(counts)


def _retrieve(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Neighbours (Tatoeba) or mined pairs (BUCC) at every asked layer and pooling; embeddings are scratch."""
    from xstilts.inference.sweep import sweep_mined, sweep_nearest

    spec = node.spec
    task, encoding = tasks.load(spec["task"]), Encoding.model_validate(spec["encoding"])
    assert isinstance(task.type, Retrieval)
    layers, poolings = spec["layers"], spec["poolings"]
    if layers == "calibrated":
        chosen = json.loads((parents["calibration"] / "calibration.json").read_text(encoding="utf-8"))
        layers, poolings = [chosen["layer"]], [chosen["pooling"]]
    model = _load(_start_folder(spec, parents, resources), spec["precision"], resources, head=False)
    counts: dict[str, Any] = {}
    for done, (language, entry) in enumerate(spec["languages"].items()):
        (bitext,) = open_rows(task, entry, language, resources)
        total = len(spec["languages"])

        def shown(sentences: int, of: int, done: int = done, language: str = language, total: int = total) -> None:
            progress(done + sentences / of, total, "languages", at=language)

        sweep = (sweep_nearest if task.type.mode == "nearest" else sweep_mined)(
            model,
            bitext,
            encoding,
            layers=layers,
            poolings=poolings,
            scratch=out,
            micro_batch_tokens=resources.micro_batch_tokens,
            progress=shown,
        )
        counts[language] = sweep.counts
        scoring.write_rows(out / "outputs" / f"{language}.jsonl", scoring.folded(sweep.rows))
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return _summed(counts)


def _load(folder: Path, precision: Precision, resources: Resources, *, head: bool) -> Model:
    from xstilts.models.model import Model

    key = f"{folder} {precision} {resources.device} {head}"
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = (
            Model.load(folder, precision=precision, device=resources.device)
            if head
            else Model.start(folder, None, precision=precision, device=resources.device)
        )
    return _loaded[key]


def _summed(counts: Mapping[str, Mapping[str, int]]) -> Counts:
    names = sorted({name for c in counts.values() for name in c})
    return {"languages": len(counts), **{n: sum(c.get(n, 0) for c in counts.values()) for n in names}}


if __name__ == "__main__":
    serve(execute)
