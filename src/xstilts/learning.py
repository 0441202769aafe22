"""Runs the nodes that learn: pre-training, training on one task, training on a mixture of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xstilts import tasks
from xstilts.data.text import read_translations
from xstilts.dev_scores import main_score, scorer
from xstilts.errors import GoldError
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress
from xstilts.hyperparameters import MASKED_LM, Encoding, MaskedLM, Mixture, Pretraining, Training
from xstilts.inputs import input_file
from xstilts.kept_features import kept_features
from xstilts.models.export import export
from xstilts.models.heads import HeadSet, MaskedLMHead
from xstilts.models.masked_lm_head import masked_lm_shape, take_masked_lm_head
from xstilts.models.model import Model
from xstilts.rows import choose_rows, drop_overlap, open_rows, open_text
from xstilts.starting import start_folder, start_model
from xstilts.task_types import Head, Tagging, TaskType, Tokenizer
from xstilts.task_types.chunks import encode_in_chunks
from xstilts.tasks.task import Task
from xstilts.trained import Counts, checkpoints_in, every_core, learn, of_training, write_counts
from xstilts.training import Course, MixtureCourse, TaskCourse
from xstilts.training.masked_lm import MaskedLMCourse, Texts, masked_lm_course
from xstilts.training.mixture import steps_of_an_epoch, task_shares
from xstilts.training.pretrain import pretrain


def pretrain_node(node: Node, out: Path, resources: Resources, progress: Progress) -> Counts:
    """Make a model from the study's text."""
    spec = node.spec
    with every_core(resources), TemporaryDirectory(dir=out.parent) as start:
        counts = pretrain(
            read_texts(spec, resources),
            Pretraining.model_validate(spec["settings"]),
            start=Path(start),
            out=out,
            precision=spec["precision"],
            device=resources.device,
            micro_batch_tokens=resources.micro_batch_tokens,
            progress=progress,
            checkpoints=checkpoints_in(node, out, resources),
            gradient_checkpointing=resources.gradient_checkpointing,
        )
    return {**write_counts(counts, out), "threads": resources.cores}


def train_node(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Train from the parent's or the base model's encoder, export the model and its log."""
    part = _Part.of(node.spec, node.spec["source"], resources)
    model = start_model(node, parents, resources, part.head, part.settings)
    course = part.course(model.tokenizer, out, node.spec["seed"])
    dev = part.dev_score(model, resources) if "dev" in node.spec else None
    start = partial(start_model, node, parents, head=part.head, settings=part.settings)
    summary, learned = learn(node, model, start, course, [course.features], dev, out, resources, progress)
    if learned is not None:
        export(learned, out / "model", part.task.name, part.task_type.name, part.head.labels)
    counts = {**part.counts, "encoding": course.features.counts, **of_training(model, summary)}
    return write_counts(counts, out)


def mix_node(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Train on several tasks that take turns, each with a head of its own; masked LM may be one of them, or the only one.

    Exported is the encoder, with the masked-LM head if there is one: a later step can go on with it.
    """
    spec = node.spec
    parts: dict[str, _Part | _Text] = {
        name: _Part.of(of, spec["source"], resources) if "task" in of else _Text.of(of, node, parents, resources)
        for name, of in spec["parts"].items()
    }
    settings, mixture = Training.model_validate(spec["training"]), Mixture.model_validate(spec["mixture"])
    heads = {name: part.head for name, part in parts.items()}
    start = partial(start_model, node, parents, head=heads, settings=settings)
    model = start(resources)
    notes: Counts = {}
    if isinstance(head := _without_task_heads(model, parts).head, MaskedLMHead):
        notes[MASKED_LM] = {"head": take_masked_lm_head(model.source, head, model.encoder.config)}
    courses = {name: part.course(model.tokenizer, out, spec["seed"]) for name, part in parts.items()}
    course = _mixed(parts, courses, settings, mixture, spec["seed"], model)
    dev = _mean_dev_score(parts, model, resources) if settings.selection == "dev" else None
    # Masked LM compares with every row of the embedding matrix, so none can be left out of training.
    features = None if MASKED_LM in parts else [of.features for of in courses.values()]
    summary, learned = learn(node, model, start, course, features, dev, out, resources, progress)
    if learned is not None:
        kind = MASKED_LM if MASKED_LM in parts else "mixture"
        export(_without_task_heads(learned, parts), out / "model", "+".join(parts), kind)
    drawn = np.bincount(course.drawn[: summary.steps], minlength=len(parts)).tolist()
    found = {
        name: {"encoding": courses[name].features.counts, "share": course.shares[name], "steps": steps}
        for name, steps in zip(parts, drawn, strict=True)
    }
    counts = {
        "tasks": {name: {**part.counts, **notes.get(name, {}), **found[name]} for name, part in parts.items()},
        **of_training(model, summary),
    }
    return write_counts(counts, out)


def _without_task_heads(model: Model, parts: Mapping[str, _Part | _Text]) -> Model:
    """The same encoder, with the masked-LM head if there is one."""
    head = model.head[MASKED_LM] if isinstance(model.head, HeadSet) and MASKED_LM in parts else None
    assert head is None or isinstance(head, MaskedLMHead)
    return Model(model.encoder, head, None if head is None else parts[MASKED_LM].head, model.tokenizer, model.source)


def rows_to_learn(
    task: Task, spec: Mapping[str, Any], source: str, resources: Resources
) -> tuple[Sequence[Any], Counts]:
    """The rows that ``spec`` names, without those of a test set, and how many they are."""
    found = open_rows(task, spec, source, resources)
    examples, dropped = drop_overlap(choose_rows(found, spec["rows"]), task, spec["overlap"], source, resources)
    refuse_missing_gold(task, examples)
    return examples, {"rows_found": len(found), "rows_dropped_overlap": dropped, "rows_trained_on": len(examples)}


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
        examples, counts = rows_to_learn(task, spec, source, resources)
        task_type = with_tags_of(task.type, examples)
        assert task_type.head is not None
        settings, encoding = Training.model_validate(spec["training"]), Encoding.model_validate(spec["encoding"])
        return cls(task, task_type, task_type.head, settings, encoding, examples, counts, spec, source)

    @property
    def size(self) -> int:
        """Rows that are trained on."""
        return len(self.examples)

    def course(self, tokenizer: Tokenizer, out: Path, seed: int) -> TaskCourse:
        """What it learns from; its features are kept in the store for the other trainings on these rows."""
        cache = Claim.of(out).cache
        if cache is None:
            features = encode_in_chunks(self.task_type, self.examples, tokenizer, self.encoding)
        else:
            features = kept_features(cache / "features", self.task_type, self.examples, tokenizer, self.encoding)
        return TaskCourse(self.task_type, features, self.settings, seed)

    def dev_score(self, model: Model, resources: Resources) -> Callable[[], float]:
        """The source-language dev score, by the task's own metric, on the first rows of the fixed shuffle."""
        dev = self.spec["dev"]
        task, rows = tasks.load(dev["task"]), self.settings.selection_rows
        examples = choose_rows(open_rows(task, dev, self.source, resources), rows)
        scores = scorer(model, task, self.task_type, examples, self.encoding, self.source, resources.micro_batch_tokens)
        return lambda: main_score(task, scores())


@dataclass(frozen=True)
class _Text:
    """The text that is learned by masked LM, and how."""

    head: Head
    objective: MaskedLM
    settings: Training
    encoding: Encoding
    texts: Texts

    @classmethod
    def of(cls, spec: Mapping[str, Any], node: Node, parents: Mapping[str, Path], resources: Resources) -> _Text:
        """The text that ``spec`` names, for the model that ``node`` starts from."""
        head = masked_lm_shape(start_folder(node.spec, parents, resources))
        objective, settings = MaskedLM.model_validate(spec["settings"]), Training.model_validate(spec["training"])
        return cls(head, objective, settings, Encoding.model_validate(spec["encoding"]), read_texts(spec, resources))

    @property
    def size(self) -> int:
        """Lines and translations."""
        return self.texts.size

    @property
    def counts(self) -> Counts:
        """Rows are lines and translations here."""
        return {"rows_trained_on": self.size, **self.texts.counts}

    def course(self, tokenizer: Tokenizer, out: Path, seed: int) -> MaskedLMCourse:
        """What it learns from."""
        longest = self.encoding.max_length
        return masked_lm_course(self.texts, tokenizer, self.objective, self.settings, seed, max_length=longest)


def read_texts(spec: Mapping[str, Any], resources: Resources) -> Texts:
    """The text and the translations that ``spec`` names, at most ``rows`` of each language where it says how many."""
    rows = spec.get("rows")
    bitext = {of: read_translations(input_file(file["sha256"], resources)) for of, file in spec["bitext"].items()}
    return Texts(
        {of: choose_rows(open_text(entry, of, resources), rows) for of, entry in spec["text"].items()},
        {of: choose_rows(pairs, rows) for of, pairs in bitext.items()},
    )


def _mixed(
    parts: Mapping[str, _Part | _Text],
    courses: Mapping[str, Course],
    settings: Training,
    mixture: Mixture,
    seed: int,
    model: Model,
) -> MixtureCourse:
    rows = {name: part.size for name, part in parts.items()}
    epoch = steps_of_an_epoch(rows, {name: part.settings.batch_size for name, part in parts.items()}, mixture)
    total = settings.max_steps or max(1, round(settings.epochs * epoch))
    assert isinstance(model.head, HeadSet)
    return MixtureCourse(courses, task_shares(rows, mixture), total, epoch, settings, seed, model.head)


def _mean_dev_score(parts: Mapping[str, _Part | _Text], model: Model, resources: Resources) -> Callable[[], float]:
    """The plain mean of the tasks' dev scores, as jiant has it (FACTS 1.3); masked LM takes no part in it."""
    heads = model.head
    assert isinstance(heads, HeadSet)
    scores = {name: part.dev_score(model, resources) for name, part in parts.items() if isinstance(part, _Part)}

    def score() -> float:
        found = []
        for name, of_task in scores.items():
            heads.use(name)
            found.append(of_task())
        return sum(found) / len(found)

    return score


def refuse_missing_gold(task: Task, examples: Sequence[Any]) -> None:
    """Every row that is learned from has gold."""
    missing = [e.id for e in examples if task.type.gold(e) is None]
    if missing:
        raise GoldError(
            f"{len(missing)} of {len(examples)} training rows of {task.name} have no gold, the first is row {missing[0]!r}",
            hint="xstilts data check shows what is found for every task",
        )


def with_tags_of(task_type: TaskType, examples: Sequence[Any]) -> TaskType:
    """The shape with its labels; a tagging task that declares none takes those of its training rows (CCG)."""
    if isinstance(task_type, Tagging) and not task_type.labels:
        return Tagging(tuple(sorted({tag for e in examples for tag in e.tags or ()})))
    return task_type
