"""A model whose encoder is streamed: what ``Model`` is for an encoder in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch

from xstilts.errors import ModelError
from xstilts.memory.room import free_bytes, give_back
from xstilts.models.description import Description, read_description, read_head
from xstilts.models.heads import PooledHead, TokenHead, new_head
from xstilts.models.loading import check_weights, load_tokenizer
from xstilts.models.model import Model
from xstilts.models.precision import Precision
from xstilts.models.skeleton import streams_family
from xstilts.models.streamed import StreamedEncoder
from xstilts.models.weight_files import WeightFiles
from xstilts.task_types import Head, Tokenizer

Stream = Literal["auto", "always", "never"]
"""Whether the weights stay in their files: ``auto`` where they do not fit into the memory that is available."""
_FILLED = 0.8
"""Of the available memory the weights may take this share: the rest is for what is computed."""
_NOT_THE_ENCODER = ("decoder.", "lm_head.")


@dataclass(frozen=True)
class StreamedModel:
    """A streamed encoder with a head (none for retrieval), in evaluation mode; see ``Model`` for the parts."""

    encoder: StreamedEncoder
    head: PooledHead | TokenHead | None
    head_shape: Head | None
    tokenizer: Tokenizer
    source: Path
    description: Description | None = None

    @classmethod
    def load(cls, folder: Path, *, precision: Precision | None = None, device: torch.device | str = "cpu") -> Self:
        """A model with its head, from a folder that ``export`` wrote.

        Raises:
            ModelError: not such a folder, a damaged one, or one that is not streamed.
        """
        description = read_description(folder)
        encoder = StreamedEncoder(folder, precision or description.precision, device)
        shape = description.head
        head = None
        if shape is not None:
            made = new_head(shape, encoder.config, seed=0)
            if not isinstance(made, PooledHead | TokenHead):
                raise ModelError(
                    "a masked-LM head is not streamed: it needs the whole embedding matrix", where=str(folder)
                )
            read_head(folder, made, description, str(encoder.config.model_type))
            head = made.to(device).eval()
        return cls(encoder, head, shape, load_tokenizer(folder), folder, description)

    @classmethod
    def start(cls, folder: Path, *, precision: Precision = "fp32", device: torch.device | str = "cpu") -> Self:
        """A model that only embeds, from any Hugging Face folder."""
        return cls(StreamedEncoder(folder, precision, device), None, None, load_tokenizer(folder), folder)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.device

    @property
    def num_layers(self) -> int:
        """Transformer layers, the embeddings not counted."""
        return self.encoder.num_layers

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.encoder.hidden_size

    def logits(self, read: torch.Tensor) -> torch.Tensor:
        """What the head says of last hidden states: R x H to R x C float32."""
        if self.head is None:
            raise ModelError("this model has no head: it embeds, it does not classify", where=str(self.source))
        with self.encoder.encoder.autocast(self.device):
            logits: torch.Tensor = self.head(read)
        return logits.float()


def load_model(
    folder: Path, stream: Stream, precision: Precision, device: torch.device | str, *, head: bool
) -> Model | StreamedModel:
    """The model of a folder, with its head or as an encoder alone, in memory or streamed: what ``is_streamed`` says.

    Raises:
        ModelError: not such a folder, a damaged one, or one that is not streamed.
    """
    if is_streamed(folder, stream, precision, device):
        load = StreamedModel.load if head else StreamedModel.start
        return load(folder, precision=precision, device=device)
    if head:
        return Model.load(folder, precision=precision, device=device)
    return Model.start(folder, None, precision=precision, device=device)


def is_streamed(folder: Path, stream: Stream, precision: Precision, device: torch.device | str) -> bool:
    """Whether to stream the model of a folder: what ``stream`` says, and for ``auto`` whether its weights fit.

    Raises:
        ModelError: the weights cannot be read.
    """
    if stream != "auto":
        return stream == "always"
    check_weights(folder)
    give_back()
    there = free_bytes(str(device))
    if there is None or not streams_family(folder):
        return False
    return in_memory_bytes(folder, precision, device) > _FILLED * there


def in_memory_bytes(folder: Path, precision: Precision, device: torch.device | str) -> int:
    """What an encoder's weights take in memory: four bytes each, and on a CPU another two as bfloat16 beside them."""
    each = 6 if precision == "bf16" and torch.device(device).type == "cpu" else 4
    with WeightFiles(folder) as files:
        return sum(
            stored.num_bytes // stored.dtype.itemsize * each
            for name, stored in files.stored.items()
            if not name.startswith(_NOT_THE_ENCODER)
        )
