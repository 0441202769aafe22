"""Text-to-text models in a study: which models are, and what their nodes' specs say that those of encoders do not."""

from __future__ import annotations

from typing import Any

from xstilts.errors import StudyError
from xstilts.hyperparameters import MASKED_LM
from xstilts.model_choice import ModelChoice
from xstilts.model_source import TEXT_TO_TEXT
from xstilts.plan.checkpoints import FIELD, checkpoints_of
from xstilts.study import Study
from xstilts.task_types.cast import Cast
from xstilts.task_types.casts import cast_as_json
from xstilts.tasks.task import Task
from xstilts.text_hyperparameters import TextEncoding, TextTraining

BATCH_TOKENS = {"xnli": 2**20, "panx": 2**16}
"""Sub-words of input in a step where mT5's is not 2^17 (FACTS 6.4)."""
LONG_TARGETS = 512
"""Sub-words of a target of QA and NER (FACTS 6.4), and of our cast of tags; 128 for others."""


def writes_text(study: Study, name: str, family: str | None) -> bool:
    """Whether the arms of a model run text-to-text: what the study says of a model that can.

    Args:
        study: the study.
        name: of the model.
        family: ``model_type`` of its configuration; ``None`` for one made from scratch.

    Raises:
        StudyError: the study does not say, says it of a model that cannot, or asks for what is for encoders only.
    """
    choice, where = study.models[name], f"models.{name}"
    can = choice.pretrain.writes_text if choice.pretrain else family in TEXT_TO_TEXT
    if can and choice.run is None:
        raise StudyError(
            f"{name} is a text-to-text model ({family or 'made from scratch'}), and the study does not say how its arms run",
            where=f"{where}.run",
            hint="run: text_to_text (it writes its answers), or run: encoder (heads on its encoder half)",
        )
    if not can and choice.run == "text_to_text":
        raise StudyError(
            f"{name} ({family or 'masked LM made from scratch'}) is an encoder: it writes no text",
            where=f"{where}.run",
            hint=f"text-to-text are: {', '.join(TEXT_TO_TEXT)}; or made by pretrain: {{objective: denoising}}",
        )
    if can and choice.keep_layers:
        raise StudyError("layers are dropped from encoders only", where=f"{where}.keep_layers")
    if choice.run == "text_to_text":
        _only_what_texts_can(study, choice, where)
    return choice.run == "text_to_text"


def _only_what_texts_can(study: Study, choice: ModelChoice, where: str) -> None:
    if checkpoints_of(study):
        raise StudyError(f"encoders are kept on the way of encoders only, and {where} writes text", where=FIELD)
    if study.measurements:
        raise StudyError(f"encoders are measured, and {where} writes text", where="measurements")
    if with_text := [name for name, arm in study.arms.items() if arm.masked_lm]:
        raise StudyError(f"{where} writes text and has no mask to predict", where=f"arms.{with_text[0]}.{MASKED_LM}")


def cast_of(task: Task) -> Cast:
    """How a task is said. Tasks without one (retrieval) are never trained."""
    cast = task.text_cast
    assert cast is not None
    return cast


def text_training(study: Study, task: Task | None, role: str) -> TextTraining:
    """mT5's defaults with the study's overrides, of one task or of several (``mixture``).

    The checkpoint is chosen as the task's own default says: by no dev rows where it has none.
    """
    if task is None:
        return study.text_to_text.training_of("mixture", role, TextTraining())
    defaults = TextTraining(
        batch_tokens=BATCH_TOKENS.get(task.name, TextTraining().batch_tokens), selection=task.training.selection
    )
    return study.text_to_text.training_of(task.name, role, defaults)


def text_encoding(study: Study, task: Task, role: str) -> TextEncoding:
    """mT5's defaults with the study's overrides."""
    long = cast_of(task).name in ("answer", "entities", "tags")
    defaults = TextEncoding(max_target_length=LONG_TARGETS) if long else TextEncoding()
    return study.text_to_text.encoding_of(task.name, role, defaults)


def decoding_of(study: Study, task: Task) -> str:
    """``constrained`` where the study says so and there are so many answers and no others, else ``greedy``."""
    return "constrained" if study.text_to_text.constrained and cast_of(task).targets else "greedy"


def learning_spec(study: Study, task: Task, role: str, *, writes_text: bool) -> dict[str, Any]:
    """How a model learns the rows of a task: an encoder with a head, or a text-to-text model by a cast."""
    if not writes_text:
        return {
            "training": study.training_of(task.name, role, task.training).in_keys(),
            "encoding": study.encoding_of(task.name, role, task.encoding).model_dump(mode="json"),
        }
    return {
        "training": text_training(study, task, role).in_keys(),
        "encoding": text_encoding(study, task, role).model_dump(mode="json"),
        "cast": cast_as_json(cast_of(task)),
    }


def text_specs(study: Study, target: Task, spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a target's ``generate`` and ``parse`` nodes say, made of what an encoder's ``predict`` node would."""
    cast = cast_as_json(cast_of(target))
    encoding = text_encoding(study, target, "target").model_dump(mode="json")
    written = {**spec, "encoding": encoding, "cast": cast, "decoding": decoding_of(study, target)}
    return written, {**{name: spec[name] for name in ("task", "split", "languages", "rows")}, "cast": cast}
