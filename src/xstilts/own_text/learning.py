"""Training on rows of one's own, in this process, by what a study's trainings are made of: a new model folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from xstilts.errors import MissingNameError
from xstilts.hyperparameters import Encoding, Training
from xstilts.own_text.models import DESCRIPTION, fitted, placed
from xstilts.tasks.task import Task
from xstilts.text_hyperparameters import overridden


def settings_of(task: Task, changed: Mapping[str, Any], *, has_dev: bool) -> Training:
    """The task's defaults with some changed; the checkpoint is chosen on dev rows where there are any.

    Raises:
        MissingNameError: a training has no such setting.
        StudyError: a value that cannot be.
    """
    for name in changed:
        if name not in Training.model_fields:
            raise MissingNameError("setting of a training", name, Training.model_fields)
    return overridden(task.training, {"selection": "dev" if has_dev else "last", **changed}, "training")


def learn_rows(
    start: Path,
    task: Task,
    examples: Sequence[Any],
    dev: Sequence[Any],
    settings: Training,
    max_length: int | None,
    out: Path,
    *,
    seed: int,
    precision: Literal["auto", "fp32", "bf16"],
    device: str,
    micro_batch_tokens: int,
    progress: Callable[..., None],
) -> None:
    """Train a new head on the encoder of ``start``, and the encoder with it, and write the model to ``out``.

    Args:
        start: any encoder's folder; a head that it has is dropped.
        task, settings: what is learned, and how (``settings_of``).
        examples, dev: rows with gold; ``dev`` chooses the checkpoint, and may be empty.
        max_length: sub-words of a sequence; ``None`` for the task's default.
        out: an empty folder: gets the model, ``training.json`` and ``training.jsonl``.
        seed: of the head, the order of the rows and dropout.
        precision, device, micro_batch_tokens: what it runs on.
        progress: told ``(done, total, "steps", loss=...)`` after every step.

    Raises:
        ModelError, TrainingError, DeviceMemoryError: see ``xstilts.training.train``.
    """
    from xstilts.dev_scores import main_score, scorer
    from xstilts.learning import with_tags_of
    from xstilts.models.export import export
    from xstilts.models.model import Model
    from xstilts.models.precision import resolve_precision
    from xstilts.models.trained_rows import rows_met
    from xstilts.rows import choose_rows
    from xstilts.task_types.chunks import encode_in_chunks
    from xstilts.training import TaskCourse, train

    task_type = with_tags_of(task.type, examples)
    head, dropouts = task_type.head, {"dropout": settings.dropout, "attention_dropout": settings.attention_dropout}
    with placed(device):
        wanted = resolve_precision(precision, device)
        model = Model.start(start, head, seed, precision=wanted, device=device, lora=settings.lora, **dropouts)
    how = fitted(task.encoding, model.encoder.max_length, max_length)
    course = TaskCourse(task_type, encode_in_chunks(task_type, examples, model.tokenizer, how), settings, seed)
    dev = choose_rows(dev, settings.selection_rows)
    scores = scorer(model, task, task_type, dev, how, "en", micro_batch_tokens)
    with rows_met(model.encoder, [course.features]):
        summary = train(
            model,
            course,
            micro_batch_tokens=micro_batch_tokens,
            dev=(lambda: main_score(task, scores())) if dev else None,
            progress=progress,
            log=out / "training.jsonl",
        )
    export(model, out, task.name, task_type.name, head.labels if head else ())
    _note(out, how, {"rows_trained_on": len(examples), "training": summary.as_json()})


def _note(out: Path, encoding: Encoding, counts: Mapping[str, Any]) -> None:
    """Leave how texts were encoded, so that they are again when it predicts, and ``training.json``."""
    said = json.loads((out / DESCRIPTION).read_text(encoding="utf-8")) | {"encoding": encoding.model_dump(mode="json")}
    (out / DESCRIPTION).write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (out / "training.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
