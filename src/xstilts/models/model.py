"""A model: an encoder, a head, the tokenizer that made its sub-words, and what they were trained for.

Shape legend: T tokens of all sequences end to end; R positions read by the head; C outputs; H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from xstilts.batching.batch import Batch
from xstilts.errors import ModelError
from xstilts.hyperparameters import Lora
from xstilts.models.description import Description, read_description, read_head
from xstilts.models.encoder import Encoder
from xstilts.models.heads import AnyHead, HeadSet, MaskedLMHead, new_head
from xstilts.models.loading import load_encoder, load_tokenizer
from xstilts.models.precision import Precision
from xstilts.task_types import Head, Tokenizer


class Model(nn.Module):
    """An encoder with a head (none for retrieval).

    Args:
        encoder: gives hidden states; holds the precision.
        head: reads them at ``batch.read``; several, of which one is in use, for tasks that are learned together.
        head_shape: the shape of ``head``: kind, outputs, labels; ``None`` for none and for several.
        tokenizer: made the sub-words.
        source: the folder it was loaded from; its tokenizer files and config are what ``export`` copies.
        description: what an exported folder says it was trained for; ``None`` for a new head.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: AnyHead | HeadSet | None,
        head_shape: Head | None,
        tokenizer: Tokenizer,
        source: Path,
        description: Description | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.head_shape, self.tokenizer, self.source, self.description = head_shape, tokenizer, source, description
        for each in head.values() if isinstance(head, HeadSet) else [head]:
            if isinstance(each, MaskedLMHead):
                each.tie(encoder.transformer.get_input_embeddings())

    @classmethod
    def start(
        cls,
        folder: Path | str,
        head: Head | Mapping[str, Head] | None,
        seed: int = 0,
        *,
        precision: Precision = "fp32",
        dropout: float | None = None,
        attention_dropout: float | None = None,
        device: torch.device | str = "cpu",
        lora: Lora | None = None,
    ) -> Model:
        """A new head, drawn with ``seed``, on the encoder of any Hugging Face folder; an old head is dropped.

        ``head=None`` is a model that only embeds, several heads by name one for tasks that are learned together.
        ``dropout`` overrides the encoder's and the heads'. ``lora`` puts adapters into the encoder, drawn with ``seed``, and
        freezes all else of it.
        """
        dropouts = {"dropout": dropout, "attention_dropout": attention_dropout}
        encoder = load_encoder(folder, precision, **dropouts, device=device, lora=lora, seed=seed)
        made: AnyHead | HeadSet | None = None
        if isinstance(head, Mapping):
            made = HeadSet({n: new_head(h, encoder.config, seed, dropout=dropout) for n, h in head.items()}).to(device)
        elif head is not None:
            made = new_head(head, encoder.config, seed, dropout=dropout).to(device)
        shape = None if isinstance(head, Mapping) else head
        return cls(encoder, made, shape, load_tokenizer(folder), Path(folder)).eval()

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        precision: Precision | None = None,
        device: torch.device | str = "cpu",
    ) -> Model:
        """A model with its head, from a folder that ``export`` wrote; in its own precision unless another is given.

        Raises:
            ModelError: not such a folder, or a damaged one.
        """
        folder = Path(folder)
        description = read_description(folder)
        encoder = load_encoder(folder, precision or description.precision, device=device)
        shape = description.head
        head = None
        if shape is not None:
            head = new_head(shape, encoder.config, seed=0)
            read_head(folder, head, description, str(encoder.config.model_type))
            head = head.to(device)
        return cls(encoder, head, shape, load_tokenizer(folder), folder, description).eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.device

    @property
    def precision(self) -> Precision:
        """``fp32``, or ``bf16`` for float32 weights under autocast."""
        return self.encoder.precision

    @property
    def num_layers(self) -> int:
        """Transformer layers, the embeddings not counted."""
        return self.encoder.num_layers

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.encoder.hidden_size

    def hidden(self, batch: Batch) -> Tensor:
        """The last hidden states, T x H float32."""
        states: Tensor = self.encoder(batch)
        return states

    def logits(self, batch: Batch) -> Tensor:
        """What the head says at ``batch.read``: R x C float32. Nothing is computed for positions nobody reads."""
        if self.head is None:
            raise ModelError("this model has no head: it embeds, it does not classify", where=str(self.source))
        read = self.encoder.read(batch)
        with torch.autocast(read.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = self.head(read)
        return logits.float()

    def forward(self, batch: Batch) -> Tensor:
        """``logits``."""
        return self.logits(batch)
