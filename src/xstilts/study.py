"""The study file: models x arms x targets x seeds, as frozen pydantic models. No torch here.

A study file is YAML. ``load_study`` reads it; a wrong field is a ``StudyError`` with the field's path and the nearest name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from xstilts.errors import StudyError, nearest
from xstilts.hyperparameters import (
    MASKED_LM,
    Architecture,
    Encoding,
    Frozen,
    HubText,
    MaskedLM,
    Mixture,
    Pretraining,
    Training,
)
from xstilts.measurements import Measurement, Offline, Scenarios, Server, SingleStream
from xstilts.model_choice import ModelChoice
from xstilts.statistics.corrections import Correction, Declared, Family
from xstilts.text_hyperparameters import TextToText, overridden
from xstilts.yaml_file import read_yaml

Precision = Literal["auto", "fp32", "bf16"]
Languages = Literal["all", "available", "with_gold"]
Pooling = Literal["mean", "first"]
Rows = Annotated[int, Field(ge=1)]
Code = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
FileList = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]


class OwnLanguage(Frozen):
    """A language of one's own data: a code beyond XTREME's 40, or one of the 40 that means another language here.

    ``distance`` from the source language, in whatever measure, orders the table by language.
    """

    name: str
    family: str = ""
    script: str = ""
    distance: float | None = Field(None, ge=0)


class Arm(Frozen):
    """One choice of phase 2: the intermediate task, several learned together, or ``null`` for the baseline arm.

    ``mixture`` says how several share the steps. ``masked_lm`` may be one of the tasks, or the only one: then the field of
    that name says what text it learns from. ``source`` is the language of the intermediate rows and ``target_source`` that of
    the fine-tuning rows (Turc et al. 2021); the study's ``source`` where they are not said.
    """

    intermediate: str | tuple[str, ...] | None = None
    mixture: Mixture = Mixture()
    masked_lm: MaskedLM | None = None
    source: Code | None = None
    target_source: Code | None = None

    @property
    def learned(self) -> tuple[str, ...]:
        """The intermediate tasks, and ``masked_lm`` where it is among them."""
        if isinstance(self.intermediate, tuple):
            return self.intermediate
        return () if self.intermediate is None else (self.intermediate,)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The intermediate tasks: what has rows."""
        return tuple(name for name in self.learned if name != MASKED_LM)

    @model_validator(mode="after")
    def _several_are_mixed(self) -> Arm:
        several = isinstance(self.intermediate, tuple)
        if several and (len(self.learned) < 2 or len(set(self.learned)) != len(self.learned)):
            raise ValueError(
                "intermediate: a list is for two or more different tasks; name a single one without brackets"
            )
        if not several and "mixture" in self.model_fields_set:
            raise ValueError(
                "mixture: says how several intermediate tasks share the steps, but there is no list of them"
            )
        if missing := self.mixture.weights.keys() ^ set(self.learned) if self.mixture.weights else ():
            raise ValueError(
                f"mixture.weights: one for each task of the list, no other; see {', '.join(sorted(missing))}"
            )
        if (MASKED_LM in self.learned) != (self.masked_lm is not None):
            raise ValueError(
                "masked_lm: says what text is learned from, for an arm with masked_lm in its intermediate tasks"
            )
        if self.source is not None and not self.tasks:
            raise ValueError(
                "source: the language of intermediate rows, and this arm has none; target_source is that of fine-tuning"
            )
        return self


class Data(Frozen):
    """Where rows come from, when not from the task's usual files.

    ``files`` points one split of a task (``mnli.train``, ``xnli.test.de``) at other files of the same formats; relative
    names are looked up in the data folder. ``drop_overlap`` drops training rows whose text is in a test set of the study.
    """

    files: dict[str, FileList] = Field(default_factory=dict)
    drop_overlap: bool = True


class Limits(Frozen):
    """How many rows are used; ``null`` is all. Chosen by a fixed shuffle, equal for all arms and seeds.

    ``train_rows`` is one number, or numbers by task or role (``intermediate``, ``target``; the task's name wins). Retrieval
    pools are never cut: a smaller pool is another task.
    """

    train_rows: Rows | dict[str, Rows] | None = None
    evaluation_rows: int | None = Field(None, ge=1)


class RetrievalChoice(Frozen):
    """Which poolings are swept, which one the layer rule uses, and where the layer comes from.

    ``layer_from``: ``bucc_dev`` takes the best mean F1 over the BUCC dev pairs of the data folder (else the fixed layer);
    ``fixed`` takes round(14/24 of the layers) and mines nothing for it. ``checkpoints``: so many encoders, evenly spaced on
    the way, are kept of every intermediate training and swept like the arm's own.
    """

    poolings: tuple[Pooling, ...] = ("mean", "first")
    pooling: Pooling = "mean"
    layer_from: Literal["bucc_dev", "fixed"] = "bucc_dev"
    checkpoints: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _swept(self) -> RetrievalChoice:
        if self.pooling not in self.poolings:
            raise ValueError(f"pooling: {self.pooling!r} is not among the poolings that are swept {self.poolings}")
        return self


class Comparison(Frozen):
    """How the arms are compared (``xstilts compare arms``): declared beforehand, as ``statistics.corrections`` names it."""

    level: float = Field(Declared.level, gt=0, lt=1)
    correction: Correction = Declared.correction
    family: Family = Declared.family
    against: str | None = Declared.against


class Retries(Frozen):
    """What is begun anew, and how often at most.

    ``collapsed``: a fine-tuning whose dev score in the language it learned is no better than chance, or whose model gives one
    constant answer there. It gets another seed and is another node (see ``xstilts.plan.retries``). ``float32``: whether a
    training in another precision whose loss, gradient or dev score is no number is done again in float32, once, as another
    node.
    """

    collapsed: int = Field(0, ge=0)
    float32: bool = False


class Study(Frozen):
    """Everything a study is.

    ``own_languages`` join the languages of every target that has files for them. ``training`` and ``encoding`` override a
    task's defaults. Their keys are a task's name, or ``intermediate`` or ``target`` for all tasks in that role; the task's
    name wins. ``training.mixture`` is for the training of several tasks as a whole: steps, learning rate, selection.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = ""
    models: dict[str, ModelChoice] = Field(min_length=1)
    arms: dict[str, Arm] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    languages: Languages | tuple[str, ...] = "all"
    own_languages: dict[Code, OwnLanguage] = Field(default_factory=dict)
    splits: tuple[Literal["dev", "test"], ...] = ("dev", "test")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((1, 2, 3), min_length=1)
    source: str = "en"
    precision: Precision = "auto"
    data: Data = Data()
    limits: Limits = Limits()
    retries: Retries = Retries()
    training: dict[str, dict[str, Any]] = Field(default_factory=dict)
    encoding: dict[str, dict[str, Any]] = Field(default_factory=dict)
    text_to_text: TextToText = TextToText()
    retrieval: RetrievalChoice = RetrievalChoice()
    measurements: dict[str, Measurement] = Field(default_factory=dict)
    comparison: Comparison = Comparison()
    notes: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _overrides_fit(self) -> Study:
        for section, model in (("training", Training), ("encoding", Encoding)):
            for key, fields in getattr(self, section).items():
                for field in fields:
                    if field not in model.model_fields:
                        raise ValueError(
                            f"{section}.{key}.{field}: unknown field; {nearest(field, model.model_fields)}"
                        )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: the same seed twice")
        if self.comparison.against is not None and self.comparison.against not in self.arms:
            raise ValueError(f"comparison.against: no such arm; {nearest(self.comparison.against, self.arms)}")
        return self

    @property
    def baseline(self) -> str | None:
        """The name of the arm without intermediate training, if there is one."""
        return next((name for name, arm in self.arms.items() if arm.intermediate is None), None)

    def source_of(self, arm: str, role: str) -> str:
        """The language of the rows that an arm learns in a role, ``intermediate`` or ``target``."""
        choice = self.arms[arm]
        return (choice.source if role == "intermediate" else choice.target_source) or self.source

    def train_rows_of(self, task: str, role: str) -> int | None:
        """At most so many training rows for this task; ``None`` is all."""
        rows = self.limits.train_rows
        return rows.get(task, rows.get(role)) if isinstance(rows, dict) else rows

    def training_of(self, task: str, role: str, defaults: Training) -> Training:
        """The task's defaults with the study's overrides."""
        changed = {**self.training.get(role, {}), **self.training.get(task, {})}
        return overridden(defaults, changed, f"training.{task}")

    def encoding_of(self, task: str, role: str, defaults: Encoding) -> Encoding:
        """The task's defaults with the study's overrides."""
        changed = {**self.encoding.get(role, {}), **self.encoding.get(task, {})}
        return overridden(defaults, changed, f"encoding.{task}")


def load_study(path: Path) -> Study:
    """Read a study file; every mistake is named with its field's path."""
    try:
        raw = read_yaml(path, StudyError)
    except FileNotFoundError:
        raise StudyError("no such study file", where=str(path), hint=_yaml_files_near(path)) from None
    if not isinstance(raw, dict):
        raise StudyError(f"a study is a mapping of fields, this is {type(raw).__name__}", where=str(path))
    return parse_study(raw, where=str(path))


def parse_study(raw: dict[str, Any], *, where: str = "study") -> Study:
    """A study from plain values, as read from YAML."""
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        problems = [_say(problem) for problem in error.errors()]
        raise StudyError(
            "; ".join(p for p, _ in problems), where=where, hint=" ".join(h for _, h in problems if h)
        ) from None


def _say(problem: Any) -> tuple[str, str]:
    # Where a field may be of several types, pydantic adds each type's name: tuple[str, ...], constrained-int.
    path = [str(p) for p in problem["loc"] if not re.match(r"\w+\[|constrained-", str(p))]
    if problem["type"] == "extra_forbidden":
        name = str(problem["loc"][-1])  # whatever somebody calls a field
        inside = path[:-1] if path[-1:] == [name] else path
        return f"{'.'.join([*inside, name])}: unknown field", nearest(name, _fields_at(inside))
    if problem["type"] == "missing":
        return f"{'.'.join(path)}: missing, and it has no default", ""
    shown = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    place = ".".join(path)
    return f"{place + ': ' if place else ''}{problem['msg'].removeprefix('Value error, ')}{shown}", ""


def _fields_at(path: list[str]) -> list[str]:
    """The fields allowed at this place of the study file."""
    sections: dict[str, type[Frozen]] = {
        "models": ModelChoice,
        "arms": Arm,
        "own_languages": OwnLanguage,
        "data": Data,
        "limits": Limits,
        "retries": Retries,
        "text_to_text": TextToText,
        "retrieval": RetrievalChoice,
        "measurements": Measurement,
        "comparison": Comparison,
    }
    inner: dict[str, type[Frozen]] = {
        "pretrain": Pretraining,
        "model": Architecture,
        "training": Training,
        "mixture": Mixture,
        MASKED_LM: MaskedLM,
        "hub": HubText,
    }
    inner |= {"scenarios": Scenarios, "offline": Offline, "single_stream": SingleStream, "server": Server}
    model: type[Frozen] = sections[path[0]] if path and path[0] in sections else Study
    for name in path[2:]:  # models.NAME.pretrain.training
        model = inner.get(name, model)
    return list(model.model_fields)


def _yaml_files_near(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    return nearest(path.name, sorted(str(p.name) for p in folder.glob("*.y*ml")))
