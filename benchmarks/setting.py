"""What all lines share: the model folder, the rows, and how many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from benchmarks.rows import MadeRows, RealRows, Rows
from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.inference.predict import predict_logits
from xstilts.models.encoder import Encoder
from xstilts.models.export import export
from xstilts.models.flops import forward_flops
from xstilts.models.loading import load_tokenizer
from xstilts.models.model import Model
from xstilts.models.packed_attention import NAME
from xstilts.models.precision import Precision
from xstilts.task_types import Features, Head, TaskType, Tokenizer

MICRO_BATCH_TOKENS = 4096
"""As a study has it unless told otherwise."""
_LARGEST_FACTOR = 100.0


@dataclass(frozen=True)
class Setting:
    """What a run of the suite is about.

    Args:
        model: folder of the encoder that every contender loads.
        random: what is random about it; empty for a real one.
        data: folder of real rows; ``None`` for made-up ones.
        scratch: where models with heads are put; contenders that are measured alone find them there.
        rows: of a timed pass over test rows.
        training_rows: of a timed pass of training.
        curve_steps: steps of the loss curves that are compared.
        search_rows: vectors of either side.
        seed: of everything random.
        precision: of ours and of every peer, where both have it.
    """

    model: Path
    random: str
    data: Path | None
    scratch: Path
    rows: int
    training_rows: int
    curve_steps: int
    search_rows: int
    seed: int
    precision: Precision = "fp32"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return load_tokenizer(self.model)

    @cached_property
    def source(self) -> Rows:
        """Where rows come from."""
        return MadeRows(self.tokenizer, self.seed) if self.data is None else RealRows(self.data)

    def near(self, fp32: float, bf16: float) -> float:
        """How far answers may lie apart and still be the same, in the precision of this run."""
        return fp32 if self.precision == "fp32" else bf16

    def flops(self, lengths: Sequence[int], *, reads: int | None = None, up_to: int | None = None) -> int | None:
        """Operations of a forward pass over sequences of ``lengths``; see ``forward_flops``."""
        return forward_flops(self._counted, lengths, reads=reads, up_to=up_to)

    @cached_property
    def _counted(self) -> Encoder:
        """The encoder without weights: its layers are counted, not run."""
        config = AutoConfig.from_pretrained(self.model, local_files_only=True)
        with torch.device("meta"):
            return Encoder(AutoModel.from_config(config, attn_implementation=NAME, add_pooling_layer=False))

    @property
    def num_layers(self) -> int:
        """Of the encoder."""
        return self._counted.num_layers

    @property
    def hidden_size(self) -> int:
        """Of the encoder."""
        return self._counted.hidden_size

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding matrix."""
        return int(self._counted.config.vocab_size)

    def with_head(self, name: str, type_name: str, head: Head, features: Features | None = None) -> Path:
        """The folder of the model with a new head, which ``AutoModelFor...`` loads too; made once.

        Args:
            name: of the task.
            type_name: of its shape.
            head: what is put on the encoder.
            features: if given, the head's outputs are centred and scaled on these rows. An untrained head says nearly the
                same of every row; labels that differ make an agreement worth something.
        """
        out = self.scratch / f"with-head-{name}"
        if not out.exists():
            model = Model.start(self.model, head, self.seed)
            if model.encoder.execution.kind != "packed":
                raise ModelError(f"nothing to compare: {model.encoder.execution.reason}", where=str(self.model))
            if features is not None:
                _standardise(model, features)
            part = out.with_suffix(".part")
            export(model, part, name, type_name, head.labels)
            part.rename(out)
        return out

    def encode(self, task_type: TaskType, examples: Sequence[Any], encoding: Encoding) -> Features:
        """Features with the model's tokenizer."""
        return task_type.encode(examples, self.tokenizer, encoding)


def _standardise(model: Model, features: Features) -> None:
    """Mean 0 and deviation 1 for every output of the head, as far as rounding is not blown up by more than a hundred."""
    logits = predict_logits(model, features, micro_batch_tokens=MICRO_BATCH_TOKENS)
    deviation = np.maximum(logits.std(axis=0), 1 / _LARGEST_FACTOR)
    output: Any = model.get_submodule("head.output")
    with torch.no_grad():
        factor = torch.from_numpy(1 / deviation)
        output.weight *= factor[:, None]
        output.bias.copy_((output.bias - torch.from_numpy(logits.mean(axis=0))) * factor)
