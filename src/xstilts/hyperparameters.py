"""The numbers a training or an encoding can be asked to use. All of them are part of a node's key; where text lies is not."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class Frozen(BaseModel):
    """Immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Encoding(Frozen):
    """How an example becomes sub-words.

    ``max_length`` counts sub-words with special ones. Tagging splits longer sentences between words; spans use windows
    that overlap by ``stride`` sub-words; other shapes are cut and the dropped sub-words are counted.
    """

    max_length: int = Field(128, ge=8)
    stride: int = Field(128, ge=0)
    max_question_length: int = Field(64, ge=4)
    max_answer_length: int = Field(30, ge=1)
    n_best: int = Field(20, ge=1)


LORA_FAMILIES = ("bert", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""The ``model_type`` of every family for which LoRA is verified."""


class Lora(Frozen):
    """Low-rank adapters instead of all weights of the encoder (Hu et al. 2021); the head is trained fully.

    Args:
        rank: of the update of a weight matrix.
        alpha: the update is multiplied by ``alpha / rank``.
        dropout: on what goes into the update.
        targets: linear layers of every transformer layer that are adapted; peft's default for these families.
        embeddings: train the embedding matrix too, fully.
    """

    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[Literal["query", "key", "value", "attention_output", "intermediate", "output"], ...] = Field(
        ("query", "value"), min_length=1
    )
    embeddings: bool = False

    @model_validator(mode="after")
    def _each_once(self) -> Lora:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets: the same layer twice in {', '.join(self.targets)}")
        return self


class Training(Frozen):
    """One training: an optimizer step is ``batch_size`` examples, whatever the micro-batches.

    ``warmup`` is a share of all steps (below 1) or a number of steps (1 or more). ``selection`` keeps the checkpoint
    with the best source-language dev score (``dev``), looked at ``evaluations_per_epoch`` times an epoch on the first
    ``selection_rows`` dev rows, or the last one (``last``). ``lora`` trains adapters, which are merged at the end.
    """

    learning_rate: float = Field(2e-5, gt=0)
    batch_size: int = Field(32, ge=1)
    epochs: float = Field(3, gt=0)
    max_steps: int | None = Field(None, ge=1)
    warmup: float = Field(0.1, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    adam_epsilon: float = Field(1e-8, gt=0)
    adam_betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = Field(1.0, gt=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    attention_dropout: float | None = Field(None, ge=0, lt=1)
    selection: Literal["dev", "last"] = "dev"
    selection_rows: int = Field(500, ge=1)
    evaluations_per_epoch: int = Field(1, ge=1)
    patience: int | None = Field(None, ge=1)
    lora: Lora | None = None

    @model_serializer(mode="wrap")
    def _lora_where_it_is_set(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys are older than this field: those of trainings without it must not move."""
        fields: dict[str, Any] = whole(self)
        return {name: value for name, value in fields.items() if name != "lora" or value is not None}

    def in_keys(self) -> dict[str, Any]:
        """What is part of a key."""
        return self.model_dump(mode="json")


class Mixture(Frozen):
    """How the tasks of a mixture share its steps.

    Args:
        sampling: by rows (``proportional``), by a power of them (``temperature``), alike (``uniform``) or as said
            (``fixed``).
        cap: rows of a task that count at most; ``null`` for all. 2^17 in Phang et al. 2020.
        temperature: T; shares go with the power 1 / T of the rows.
        weights: by task, for ``fixed``.
        repeat: allow rows that are in two of the tasks (MNLI is a part of ANLI+).
    """

    sampling: Literal["proportional", "temperature", "uniform", "fixed"] = "proportional"
    cap: int | None = Field(2**17, ge=1)
    temperature: float = Field(1.0, gt=0)
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    repeat: bool = False

    @model_validator(mode="after")
    def _weights_where_they_count(self) -> Mixture:
        if bool(self.weights) != (self.sampling == "fixed"):
            raise ValueError("weights: given for sampling: fixed, and only there")
        if self.temperature != 1 and self.sampling != "temperature":
            raise ValueError("temperature: given for sampling: temperature, and only there")
        return self


class Architecture(Frozen):
    """The shape of an encoder that is made from scratch (XLM-R's, any size)."""

    hidden_size: int = Field(128, ge=8)
    num_layers: int = Field(4, ge=1)
    num_heads: int = Field(4, ge=1)
    intermediate_size: int = Field(512, ge=8)
    vocabulary: int = Field(2000, ge=64)
    max_length: int = Field(128, ge=16)

    @model_validator(mode="after")
    def _heads_share_the_hidden_size(self) -> Architecture:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        return self


def _keep_last(training: Any) -> Any:
    """There is no dev score to choose by."""
    if not isinstance(training, dict):
        return training
    if training.get("selection", "last") != "last":
        raise ValueError("pre-training has no dev score to choose by: selection is 'last'")
    if training.get("lora") is not None:
        raise ValueError("lora: a model that is made from scratch has no weights to adapt")
    return {**training, "selection": "last"}


MASKED_LM = "masked_lm"
"""The name of masked LM where intermediate tasks are named: it is no task, for it has text and no rows."""
MASKED_LM_TRAINING = Training(batch_size=8, epochs=1, selection="last")
"""Its defaults in an arm. Batch 8 is recalled of Phang et al. 2020 (FACTS 1.2), the rest is our choice."""


HUB_TEXT = "{dataset: OWNER/NAME, config: CONFIG_{language}, column: text, lines: 20000}"
"""How a source of text on the hub is named, for hints."""


class HubText(Frozen):
    """A dataset of the Hugging Face hub that ``xstilts data fetch`` makes files of text from. It must be kept as parquet.

    Args:
        dataset: ``owner/name``.
        config: of the dataset, ``{language}`` replaced; or language -> config.
        split: its texts are taken from the first on, ``{language}`` replaced.
        column: holds the texts, ``{language}`` replaced.
        lines: texts of each language, at most.
        revision: branch, tag or commit; by default ``main``, whose commit at the first fetch is kept.
    """

    dataset: str = Field(min_length=1)
    config: str | dict[str, str] | None = None
    split: str = "train"
    column: str = "text"
    lines: int = Field(ge=1)
    revision: str | None = None

    def check(self, text: str | dict[str, str], languages: tuple[str, ...]) -> None:
        """Raise ``ValueError`` if this cannot give the files of ``text`` in these languages."""
        if isinstance(self.config, dict) and (without := [code for code in languages if code not in self.config]):
            raise ValueError(f"hub: config names none for {', '.join(without)}")
        by_language = isinstance(self.config, dict) or any(
            "{language}" in part for part in (self.config or "", self.split, self.column)
        )
        if len(languages) > 1 and not by_language:
            raise ValueError(
                f"hub: the same texts for {len(languages)} languages; put {{language}} in config, split or column"
            )
        for name in [text] if isinstance(text, str) else text.values():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or path.suffix == ".gz":
                raise ValueError(f"hub: text {name!r} must be a plain file in the data folder, for it is written there")


class MaskedLM(Frozen):
    """What masked LM and translation LM learn from (Devlin et al. 2019; Conneau and Lample 2019).

    Args:
        text: one text a line: a file in the data folder for each language, ``{language}`` replaced; or language -> file; or
            ``TASK.train`` or ``TASK.dev``: the texts of a task's rows, each once, without their gold.
        bitext: tab-separated translations, one pair a line, for translation LM: both sides in one sequence.
        languages: of the text; where ``text`` names a file for each, all of these by default. Bitext is used for those that
            have a file.
        translation: share of a step's examples that are translations, where there is bitext.
        alpha: languages are drawn with probability proportional to (number of lines) ** alpha (0.3 in XLM-R).
        hub: where files of ``text`` that are not there come from, by ``xstilts data fetch``.
        mask: share of sub-words to predict; 80 % of them are masked, 10 % replaced, 10 % left (Devlin et al. 2019).
    """

    text: str | dict[str, str] = "text/{language}.txt"
    bitext: str | None = None
    hub: HubText | None = None
    languages: tuple[str, ...] = Field(min_length=1)
    translation: float = Field(0.0, ge=0, lt=1)
    alpha: float = Field(0.3, ge=0, le=1)
    mask: float = Field(0.15, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _languages_of_the_files(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("text"), dict) and "languages" not in given:
            return {**given, "languages": tuple(given["text"])}
        return given

    @model_validator(mode="after")
    def _a_text_for_every_language(self) -> MaskedLM:
        if len(set(self.languages)) != len(self.languages):
            raise ValueError(f"languages: the same one twice in {', '.join(self.languages)}")
        if isinstance(self.text, dict) and (without := [code for code in self.languages if code not in self.text]):
            raise ValueError(f"text: names no file for {', '.join(without)}")
        patterns = [self.text] if isinstance(self.text, str) and self.text_of_task is None else []
        if any("{language}" not in pattern for pattern in patterns) and len(self.languages) > 1:
            raise ValueError(
                f"text: {self.text!r} is one file for {len(self.languages)} languages; put {{language}} in it"
            )
        if self.bitext is not None and not self.translation:
            raise ValueError("bitext: is learned from by the share `translation`, which is 0; say translation: 0.5")
        if self.text_of_task and self.text_of_task[1] == "test":
            raise ValueError(
                f"text: {self.text!r} is what is scored; the texts of train and dev rows may be learned from"
            )
        if self.hub is not None:
            if self.text_of_task:
                raise ValueError(f"hub: brings files of text, but text: {self.text!r} are the rows of a task")
            self.hub.check(self.text, self.languages)
        return self

    def in_keys(self) -> dict[str, Any]:
        """What is part of a key: not where text lies or comes from, for its bytes are."""
        return self.model_dump(mode="json", exclude={"text", "bitext", "hub"})

    @property
    def text_of_task(self) -> tuple[str, str] | None:
        """Task and split whose rows are the text, if they are."""
        found = re.fullmatch(r"([a-z0-9_]+)\.(train|dev|test)", self.text) if isinstance(self.text, str) else None
        return None if found is None else (found[1], found[2])


class Pretraining(MaskedLM):
    """Masked LM from scratch: the first phase; or what makes a text-to-text model (Raffel et al. 2020).

    Args:
        objective: ``span_corruption`` takes spans of three sub-words on average out of a text, ``mask`` of all sub-words,
            and has them written; ``denoising`` has the whole text written, so copying is learned, too.
        model: the encoder's shape.
        training: steps (``max_steps``), batch size, learning rate and the rest; the last step is kept.
        seed: of everything random; one pre-training is shared by all seeds of a study.
    """

    objective: Literal["masked_lm", "span_corruption", "denoising"] = "masked_lm"
    model: Architecture = Architecture()
    training: Annotated[Training, BeforeValidator(_keep_last)]
    seed: int = 1

    @property
    def writes_text(self) -> bool:
        """Whether a text-to-text model is made."""
        return self.objective != "masked_lm"

    @model_validator(mode="after")
    def _one_text_at_a_time(self) -> Pretraining:
        if self.writes_text and self.bitext is not None:
            raise ValueError("bitext: spans are taken out of one text at a time; leave it away")
        return self

    def in_keys(self) -> dict[str, Any]:
        """What is part of a key; the objective only where it is not masked LM."""
        found = super().in_keys()
        if not self.writes_text:
            del found["objective"]
        return found
