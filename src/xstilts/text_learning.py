"""Runs the nodes in which text-to-text models learn and write: the same kinds as ``learning``, told apart by their specs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xstilts import tasks
from xstilts.batching.kept_texts import kept_texts
from xstilts.batching.texts import encode_texts
from xstilts.errors import TrainingError
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress
from xstilts.hyperparameters import Mixture, Pretraining
from xstilts.inference.generate import write_answers
from xstilts.learning import read_texts, rows_to_learn
from xstilts.models.text_model import TextModel
from xstilts.models.text_scratch import make_text_model
from xstilts.parsing import raw_file
from xstilts.rows import choose_rows, open_rows, without_gold
from xstilts.scoring import write_rows
from xstilts.starting import start_folder
from xstilts.task_types import Tokenizer
from xstilts.task_types.cast import Cast, Rendered
from xstilts.task_types.casts import cast_of_json
from xstilts.tasks.task import Task
from xstilts.text_hyperparameters import TextEncoding, TextTraining
from xstilts.trained import Counts, checkpoints_in, every_core, write_counts
from xstilts.training import Course, MixtureCourse, TrainingSummary
from xstilts.training import train as run_training
from xstilts.training.mixture import task_shares
from xstilts.training.pretrain import with_vocabulary
from xstilts.training.span_corruption import span_corruption_course
from xstilts.training.texts import TextCourse

EXECUTION = "padded: an encoder-decoder reads rows of near length together"


def text_pretrain_node(node: Node, out: Path, resources: Resources, progress: Progress) -> Counts:
    """Make a text-to-text model from the study's text by span corruption or denoising."""
    settings, texts = Pretraining.model_validate(node.spec["settings"]), read_texts(node.spec, resources)
    with every_core(resources), TemporaryDirectory(dir=out.parent) as start:
        vocabulary = make_text_model(Path(start), settings.model, chain(*texts.text.values()), settings.seed)
        model = TextModel.load(
            start, precision=node.spec["precision"], dropout=settings.training.dropout, device=resources.device
        )
        course = span_corruption_course(texts, model, settings)
        summary = run_training(
            model,
            course,
            micro_batch_tokens=resources.micro_batch_tokens,
            dev=None,
            progress=progress,
            log=out / "training.jsonl",
            checkpoints=with_vocabulary(checkpoints_in(node, out, resources), Path(start)),
        )
        model.export(out / "model")
    counts = {
        "vocabulary": vocabulary,
        "parameters": sum(p.numel() for p in model.parameters()),
        **texts.counts,
        "encoding": course.features.counts,
    }
    return {**write_counts({**counts, **_of_training(summary)}, out), "threads": resources.cores}


def text_train_node(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress
) -> Counts:
    """Train on one task's cast, export the model and its log."""
    part = _Part.of(node.spec, node.spec["source"], resources)
    model = _start(node, parents, resources, part.settings)
    course = part.course(model, out, node.spec["seed"])
    dev = part.dev_score(model, resources) if "dev" in node.spec else None
    summary = _learn(node, model, course, dev, out, resources, progress)
    return write_counts({**part.counts, "encoding": course.features.counts, **_of_training(summary)}, out)


def text_mix_node(
    node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress
) -> Counts:
    """Train on the casts of several tasks, which take turns: one model writes the answers of all."""
    spec = node.spec
    parts = {name: _Part.of(of, spec["source"], resources) for name, of in spec["parts"].items()}
    settings, mixture = TextTraining.model_validate(spec["training"]), Mixture.model_validate(spec["mixture"])
    model = _start(node, parents, resources, settings)
    courses = {name: part.course(model, out, spec["seed"]) for name, part in parts.items()}
    rows = {name: len(part.examples) for name, part in parts.items()}
    steps = sum(
        courses[name].tokens * min(n, mixture.cap or n) / n / parts[name].settings.batch_tokens
        for name, n in rows.items()
    )
    total = settings.max_steps or max(1, round(settings.epochs * steps))
    shares = task_shares(rows, mixture)
    course = MixtureCourse(courses, shares, total, max(1, round(steps)), settings, spec["seed"], None)
    dev = None
    if settings.selection == "dev":
        scores = [part.dev_score(model, resources) for part in parts.values()]

        def dev() -> float:
            return sum(score() for score in scores) / len(scores)

    summary = _learn(node, model, course, dev, out, resources, progress)
    drawn = np.bincount(course.drawn[: summary.steps], minlength=len(parts)).tolist()
    of_tasks = {
        name: {**part.counts, "encoding": courses[name].features.counts, "share": shares[name], "steps": taken}
        for (name, part), taken in zip(parts.items(), drawn, strict=True)
    }
    return write_counts({"tasks": of_tasks, **_of_training(summary)}, out)


def generate_node(
    node: Node, out: Path, resources: Resources, progress: Progress, model: TextModel
) -> dict[str, dict[str, int]]:
    """Write the answers of every language: raw text, whose meaning is found on the other side of the seam."""
    spec = node.spec
    task, cast = tasks.load(spec["task"]), cast_of_json(spec["cast"])
    encoding = TextEncoding.model_validate(spec["encoding"])
    counts: dict[str, dict[str, int]] = {}
    for done, (language, entry) in enumerate(spec["languages"].items()):
        total = len(spec["languages"])
        progress(done, total, "languages", at=language)
        examples = without_gold(choose_rows(open_rows(task, entry, language, resources), spec["rows"]))

        def shown(rows: int, of: int, _: str, done: int = done, language: str = language, total: int = total) -> None:
            progress(done + rows / of, total, "languages", at=language)

        rows, counts[language] = write_answers(
            model,
            cast,
            examples,
            encoding,
            constrained=spec["decoding"] == "constrained",
            micro_batch_tokens=resources.micro_batch_tokens,
            progress=shown,
        )
        write_rows(raw_file(out, spec["split"], language), rows)
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return counts


@dataclass(frozen=True)
class _Part:
    """The rows of one task that is learned as text, and how."""

    task: Task
    cast: Cast
    settings: TextTraining
    encoding: TextEncoding
    examples: Sequence[Any]
    counts: Counts
    spec: Mapping[str, Any]
    source: str

    @classmethod
    def of(cls, spec: Mapping[str, Any], source: str, resources: Resources) -> _Part:
        """The rows that ``spec`` names, without those of a test set."""
        task = tasks.load(spec["task"])
        examples, counts = rows_to_learn(task, spec, source, resources)
        settings = TextTraining.model_validate(spec["training"])
        encoding = TextEncoding.model_validate(spec["encoding"])
        return cls(task, cast_of_json(spec["cast"]), settings, encoding, examples, counts, spec, source)

    def course(self, model: TextModel, out: Path, seed: int) -> TextCourse:
        """What it learns from; its sub-words are kept in the store for the other trainings on these rows.

        Raises:
            TrainingError: a target is longer than an answer may be: its end would be learned by nobody.
        """
        said = [self.cast.render(example) for example in self.examples]
        cache = Claim.of(out).cache
        if cache is None:
            features = encode_texts(said, model.tokenizer, self.encoding)
        else:
            features = kept_texts(cache / "features", said, model.tokenizer, self.encoding)
        if features.counts["truncated_targets"]:
            refuse_cut_targets(self.task.name, said, model.tokenizer, self.encoding)
        return TextCourse(features, self.settings, seed, model.padding_id)

    def dev_score(self, model: TextModel, resources: Resources) -> Callable[[], float]:
        """The source-language dev score, by the task's own metric, of what is written for the first dev rows."""
        dev = self.spec["dev"]
        task = tasks.load(dev["task"])
        examples = choose_rows(open_rows(task, dev, self.source, resources), self.settings.selection_rows)
        golds, examples = [task.type.gold(e) for e in examples], without_gold(examples)

        def score() -> float:
            rows, _ = write_answers(
                model,
                self.cast,
                examples,
                self.encoding,
                constrained=dev["decoding"] == "constrained",
                micro_batch_tokens=resources.micro_batch_tokens,
            )
            parsed = [self.cast.parse(example, row["text"]) for example, row in zip(examples, rows, strict=True)]
            scores = task.metric(golds, [task.type.answer(output) for output in parsed], self.source)
            return sum(scores[name] for name in task.main_score) / len(task.main_score)

        return score


def refuse_cut_targets(task: str, said: Sequence[Rendered], tokenizer: Tokenizer, encoding: TextEncoding) -> None:
    """Say how long the targets of a training set are, of which some are too long."""
    lengths = [len(each.ids) for each in tokenizer.encode([row.target or "" for row in said])]
    cut = sum(length > encoding.max_target_length for length in lengths)
    raise TrainingError(
        f"{cut} of {len(said)} training targets of {task} are longer than the {encoding.max_target_length} sub-words that an "
        f"answer may have; the longest has {max(lengths)}",
        where=f"text_to_text.encoding.{task}.max_target_length",
        hint=f"set it to {max(lengths)} or more; an answer that is cut is never learned to its end",
    )


def _start(node: Node, parents: Mapping[str, Path], resources: Resources, settings: TextTraining) -> TextModel:
    folder = start_folder(node.spec, parents, resources)
    return TextModel.load(folder, precision=node.spec["precision"], dropout=settings.dropout, device=resources.device)


def _learn(
    node: Node,
    model: TextModel,
    course: Course,
    dev: Callable[[], float] | None,
    out: Path,
    resources: Resources,
    progress: Progress,
) -> TrainingSummary:
    summary = run_training(
        model,
        course,
        micro_batch_tokens=resources.micro_batch_tokens,
        dev=dev,
        progress=progress,
        log=out / "training.jsonl",
        checkpoints=checkpoints_in(node, out, resources),
    )
    model.export(out / "model")
    return summary


def _of_training(summary: TrainingSummary) -> Counts:
    return {"training": summary.as_json(), "execution": EXECUTION}
