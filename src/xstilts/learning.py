"""Runs the nodes that learn: pre-training, training on one task, training on a mixture of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from xstilts import tasks
from xstilts.data.text import read_text, read_translations
from xstilts.errors import GoldError
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress
from xstilts.hyperparameters import Encoding, Mixture, Pretraining, Training
from xstilts.inference.predict import predict
from xstilts.inputs import base_model, input_file
from xstilts.kept_features import kept_features
from xstilts.models.export import export
from xstilts.models.heads import HeadSet
from xstilts.models.model import Model
from xstilts.models.trained_rows import trained_rows
from xstilts.rows import choose_rows, drop_overlap, open_rows, without_gold
from xstilts.task_types import Features, Head, Tagging, TaskType, Tokenizer
from xstilts.task_types.chunks import encode_in_chunks
from xstilts.tasks.task import Task
from xstilts.training import Checkpoints, Course, MixtureCourse, TaskCourse, TrainingSummary
from xstilts.training import train as run_training
from xstilts.training.mixture import steps_of_an_epoch, task_shares
from xstilts.training.pretrain import Texts, pretrain

Counts = dict[str, Any]


def pretrain_node(node: Node, out: Path, resources: Resources, progress: Progress) -> Counts:
    """Make a model from the study's text. All others wait for it, so it takes every core of the run."""
    spec = node.spec
    texts = Texts(
        {lang: read_text(input_file(file["sha256"], resources)) for lang, file in spec["text"].items()},
        {lang: read_translations(input_file(file["sha256"], resources)) for lang, file in spec["bitext"].items()},
    )
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
    return {**_kept(counts, out), "threads": resources.cores}


def train_node(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Train from the parent's or the base model's encoder, export the model and its log."""
    part = _Part.of(node.spec, node.spec["source"], resources)
    model = _start(node, parents, resources, part.head, part.settings)
    features = part.features(model.tokenizer, out)
    course = TaskCourse(part.task_type, features, part.settings, node.spec["seed"])
    dev = part.dev_score(model, resources) if "dev" in node.spec else None
    summary = _learn(node, model, course, [features], dev, out, resources, progress)
    export(model, out / "model", part.task.name, part.task_type.name, part.head.labels)
    counts = {**part.counts, "encoding": features.counts, **_of_training(model, summary)}
    return _kept(counts, out)


def mix_node(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Train on several tasks that take turns, each with a head of its own; only the encoder is exported."""
    spec = node.spec
    parts = {name: _Part.of(of, spec["source"], resources) for name, of in spec["parts"].items()}
    settings, mixture = Training.model_validate(spec["training"]), Mixture.model_validate(spec["mixture"])
    model = _start(node, parents, resources, {name: part.head for name, part in parts.items()}, settings)
    features = {name: part.features(model.tokenizer, out) for name, part in parts.items()}
    course = _mixed(parts, features, settings, mixture, spec["seed"], model)
    dev = _mean_dev_score(parts, model, resources) if settings.selection == "dev" else None
    summary = _learn(node, model, course, list(features.values()), dev, out, resources, progress)
    bare = Model(model.encoder, None, None, model.tokenizer, model.source)
    export(bare, out / "model", "+".join(parts), "mixture")
    drawn = np.bincount(course.drawn[: summary.steps], minlength=len(parts)).tolist()
    counts = {
        "tasks": {
            name: {**part.counts, "encoding": features[name].counts, "share": course.shares[name], "steps": steps}
            for (name, part), steps in zip(parts.items(), drawn, strict=True)
        },
        **_of_training(model, summary),
    }
    return _kept(counts, out)


@dataclass(frozen=True)
class _Part:
    """The rows of one task that is learned, and how."""

    task: Task
    task_type: TaskType
    head: Head
    settings: Training
    encoding: Encoding
    examples: Sequence[Any]
    counts: Counts
    spec: Mapping[str, Any]
    source: str

    @classmethod
    def of(cls, spec: Mapping[str, Any], source: str, resources: Resources) -> _Part:
        """The rows that ``spec`` names, without those of a test set."""
        task = tasks.load(spec["task"])
        found = open_rows(task, spec, source, resources)
        kept, dropped = drop_overlap(found, task, spec["overlap"], source, resources)
        examples = choose_rows(kept, spec["rows"])
        task_type = _with_tags_of(task.type, examples)
        _refuse_missing_gold(task, examples)
        assert task_type.head is not None
        counts = {"rows_found": len(found), "rows_dropped_overlap": dropped, "rows_trained_on": len(examples)}
        settings, encoding = Training.model_validate(spec["training"]), Encoding.model_validate(spec["encoding"])
        return cls(task, task_type, task_type.head, settings, encoding, examples, counts, spec, source)

    def features(self, tokenizer: Tokenizer, out: Path) -> Features:
        """Kept in the store for the other trainings on these rows."""
        cache = Claim.of(out).cache
        if cache is None:
            return encode_in_chunks(self.task_type, self.examples, tokenizer, self.encoding)
        return kept_features(cache / "features", self.task_type, self.examples, tokenizer, self.encoding)

    def dev_score(self, model: Model, resources: Resources) -> Callable[[], float]:
        """The source-language dev score, by the task's own metric, on the first rows of the fixed shuffle."""
        dev = self.spec["dev"]
        task, rows = tasks.load(dev["task"]), self.settings.selection_rows
        examples = choose_rows(open_rows(task, dev, self.source, resources), rows)
        golds, examples = [task.type.gold(e) for e in examples], without_gold(examples)

        def score() -> float:
            outputs, _ = predict(
                model,
                self.task_type,
                examples,
                self.encoding,
                micro_batch_tokens=resources.micro_batch_tokens,
                progress=None,
            )
            scores = task.metric(golds, [self.task_type.answer(o) for o in outputs], self.source)
            return sum(scores[name] for name in task.main_score) / len(task.main_score)

        return score


def _mixed(
    parts: Mapping[str, _Part],
    features: Mapping[str, Features],
    settings: Training,
    mixture: Mixture,
    seed: int,
    model: Model,
) -> MixtureCourse:
    courses: dict[str, Course] = {
        name: TaskCourse(part.task_type, features[name], part.settings, seed) for name, part in parts.items()
    }
    rows = {name: len(part.examples) for name, part in parts.items()}
    epoch = steps_of_an_epoch(rows, {name: part.settings.batch_size for name, part in parts.items()}, mixture)
    total = settings.max_steps or max(1, round(settings.epochs * epoch))
    assert isinstance(model.head, HeadSet)
    return MixtureCourse(courses, task_shares(rows, mixture), total, min(epoch, total), settings, seed, model.head)


def _mean_dev_score(parts: Mapping[str, _Part], model: Model, resources: Resources) -> Callable[[], float]:
    """The plain mean of the tasks' dev scores, as jiant has it (FACTS 1.3)."""
    heads = model.head
    assert isinstance(heads, HeadSet)
    scores = {name: part.dev_score(model, resources) for name, part in parts.items()}

    def score() -> float:
        found = []
        for name, of_task in scores.items():
            heads.use(name)
            found.append(of_task())
        return sum(found) / len(found)

    return score


def start_folder(spec: Mapping[str, Any], parents: Mapping[str, Path], resources: Resources) -> Path:
    """The folder of the model that a node starts from: its parent's, or a base model."""
    return parents["model"] / "model" if "model" in parents else base_model(spec["model"], resources)


def _start(
    node: Node,
    parents: Mapping[str, Path],
    resources: Resources,
    head: Head | Mapping[str, Head],
    settings: Training,
) -> Model:
    return Model.start(
        start_folder(node.spec, parents, resources),
        head,
        node.spec["seed"],
        precision=node.spec["precision"],
        device=resources.device,
        dropout=settings.dropout,
        attention_dropout=settings.attention_dropout,
    )


def _learn(
    node: Node,
    model: Model,
    course: Course,
    features: Sequence[Features],
    dev: Callable[[], float] | None,
    out: Path,
    resources: Resources,
    progress: Progress,
) -> TrainingSummary:
    ids = np.concatenate([np.unique(of.input_ids) for of in features])
    with trained_rows(model.encoder, ids):
        return run_training(
            model,
            course,
            micro_batch_tokens=resources.micro_batch_tokens,
            dev=dev,
            progress=progress,
            log=out / "training.jsonl",
            checkpoints=_checkpoints(node, out, resources),
        )


def _of_training(model: Model, summary: TrainingSummary) -> Counts:
    execution = model.encoder.execution
    return {"training": summary.as_json(), "execution": f"{execution.kind}: {execution.reason}"}


def _kept(counts: Counts, out: Path) -> Counts:
    (out / "training.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return counts


def _checkpoints(node: Node, out: Path, resources: Resources) -> Checkpoints:
    """Beside the outputs, in the node's claim: the next attempt goes on from there."""
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
