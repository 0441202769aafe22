"""Settings of text-to-text models: what they read and write, how they are trained, how a study says so. No torch here."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from xstilts.errors import StudyError, nearest
from xstilts.hyperparameters import Frozen, Training

_M = TypeVar("_M", bound=Frozen)


class TextEncoding(Frozen):
    """How what a text-to-text model reads and writes becomes sub-words: cut at so many, the end token among them.

    Longer inputs are cut, as mT5 cuts them, and the dropped sub-words are counted. A training with a longer target is refused
    (nobody would learn its end). A generated answer is cut at ``max_target_length``, and counted as unfinished.
    """

    max_input_length: int = Field(1024, ge=8)
    max_target_length: int = Field(128, ge=2)


class TextTraining(Training):
    """A training of a text-to-text model, by default as mT5's (FACTS 6.4): a step is so many sub-words of input.

    ``batch_tokens`` takes the place of ``batch_size``: the examples whose inputs begin within the next ``batch_tokens``
    sub-words of the epoch. Dev is looked at every ``evaluate_every`` steps.
    """

    learning_rate: float = Field(1e-3, gt=0)
    batch_tokens: int = Field(2**17, ge=8)
    max_steps: int | None = Field(10_000, ge=1)
    warmup: float = Field(0.0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    dropout: float | None = Field(0.1, ge=0, lt=1)
    optimizer: Literal["adafactor", "adamw"] = "adafactor"
    schedule: Literal["constant", "linear"] = "constant"
    evaluate_every: int = Field(200, ge=1)

    @model_validator(mode="after")
    def _without_adapters(self) -> TextTraining:
        if self.lora is not None:
            raise ValueError("lora: adapters are put into encoders only, not into a model that writes text")
        return self

    def in_keys(self) -> dict[str, Any]:
        """What is part of a key: all that is used."""
        return self.model_dump(mode="json", exclude=set(NOT_OF_TEXT))


def overridden(defaults: _M, changed: dict[str, Any], where: str) -> _M:
    """``defaults`` with some fields changed.

    Raises:
        StudyError: a value that cannot be; it names the field under ``where``.
    """
    try:
        return type(defaults).model_validate({**defaults.model_dump(), **changed})
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(p) for p in first["loc"])
        raise StudyError(f"{first['msg']} (got {first['input']!r})", where=f"{where}.{path}") from None


class TextToText(Frozen):
    """How text-to-text models learn and answer in a study.

    Args:
        training: overrides by a task's name, ``mixture``, or ``intermediate`` or ``target``; the task's name wins.
        encoding: overrides of lengths, by the same names.
        constrained: classification and multiple choice write nothing but answers (label-constrained decoding).
    """

    training: dict[str, dict[str, Any]] = Field(default_factory=dict)
    encoding: dict[str, dict[str, Any]] = Field(default_factory=dict)
    constrained: bool = False

    @model_validator(mode="after")
    def _overrides_fit(self) -> TextToText:
        of_training = TextTraining.model_fields.keys() - set(NOT_OF_TEXT)
        for section, fields in (("training", of_training), ("encoding", TextEncoding.model_fields)):
            for key, changed in getattr(self, section).items():
                for field in changed:
                    if field not in fields:
                        raise ValueError(f"{section}.{key}.{field}: unknown field; {nearest(field, fields)}")
        return self

    def training_of(self, task: str, role: str, defaults: TextTraining) -> TextTraining:
        """The defaults with the study's overrides."""
        changed = {**self.training.get(role, {}), **self.training.get(task, {})}
        return overridden(defaults, changed, f"text_to_text.training.{task}")

    def encoding_of(self, task: str, role: str, defaults: TextEncoding) -> TextEncoding:
        """The defaults with the study's overrides."""
        changed = {**self.encoding.get(role, {}), **self.encoding.get(task, {})}
        return overridden(defaults, changed, f"text_to_text.encoding.{task}")


NOT_OF_TEXT = ("batch_size", "evaluations_per_epoch", "attention_dropout")
"""Fields of ``Training`` that mean nothing for a text-to-text model: its attention has no dropout of its own."""
