"""Which model a study names, and where it is from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xstilts.hyperparameters import Frozen, Pretraining


class ModelChoice(Frozen):
    """A Hugging Face model: a folder (``path``), a hub id with its revision, one made from scratch (``pretrain``), or a named
    ``shape`` (``xstilts shapes``) whose weights are drawn from ``seed``: for plans and speed, marked wherever it is shown.

    ``keep_layers`` drops all other layers (from 1) before anything is trained: a smaller size of the same model. ``run``
    says of a text-to-text model (T5 and relatives) whether its arms write text or put heads on its encoder half. ``note`` is
    shown under the table. ``tokenizer`` is the folder of a shape's tokenizer, ``dtype`` what its numbers are on the disk.
    """

    path: str | None = None
    id: str | None = None
    revision: str | None = None
    pretrain: Pretraining | None = None
    shape: str | None = None
    random_weights: bool = False
    tokenizer: str | None = None
    seed: int = 1
    dtype: Literal["fp32", "bf16"] = "fp32"
    keep_layers: tuple[int, ...] | None = Field(None, min_length=1)
    run: Literal["text_to_text", "encoder"] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> ModelChoice:
        if sum(source is not None for source in (self.path, self.id, self.pretrain, self.shape)) != 1:
            raise ValueError(
                "give one of 'path' (a folder), 'id' (a hub id), 'pretrain' (made from scratch) and 'shape' (random "
                "weights), not several"
            )
        if self.random_weights != (self.shape is not None):
            raise ValueError("a shape has no weights but random ones: say shape: NAME with random_weights: true")
        if self.shape is None and (self.tokenizer, self.seed, self.dtype) != (None, 1, "fp32"):
            raise ValueError("tokenizer, seed and dtype are of a shape with random weights")
        if self.shape is not None and self.tokenizer is None:
            raise ValueError(
                "tokenizer: the folder of the shape's tokenizer is needed; any folder of its family has it"
            )
        kept = self.keep_layers or ()
        if list(kept) != sorted({layer for layer in kept if layer >= 1}):
            raise ValueError(f"keep_layers: {list(kept)} are not layers in their order, counted from 1")
        return self
