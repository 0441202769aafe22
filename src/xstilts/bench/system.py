"""The systems that are measured: from text to answers, with the seconds of each phase.

Shape legend: T tokens of a batch end to end; B sequences of a batch; H hidden size.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xstilts.batching import gather, inference_batches
from xstilts.hyperparameters import Encoding
from xstilts.inference.embed import POOLINGS
from xstilts.inference.predict import predict_logits
from xstilts.models.flops import forward_flops
from xstilts.models.model import Model
from xstilts.task_types import Features, TaskType


@dataclass(frozen=True)
class Phases:
    """Seconds of one call: text to sub-words, and logits to answers. The rest of the call is the model's."""

    encode_s: float
    decode_s: float


@dataclass
class System:
    """A fine-tuned model, or an encoder read at one layer, that answers rows by their numbers.

    Args:
        model: loaded, in evaluation mode.
        task_type: the target's shape, its labels in the order of the model's head.
        rows: examples without gold; sentences for retrieval.
        encoding: of the target.
        layer: for retrieval; layers above it are not run.
        pooling: for retrieval.
        batch_tokens: sub-words in one forward pass, at most.
        slowdown: after each call that took t seconds, ``slowdown`` x t more are spent: a known effect to be found.
    """

    model: Model
    task_type: TaskType
    rows: Sequence[Any]
    encoding: Encoding
    layer: int | None = None
    pooling: str = "mean"
    batch_tokens: int = 4096
    slowdown: float = 0.0
    phases: list[Phases] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def __call__(self, samples: Sequence[int]) -> None:
        """Answer these rows; ``phases`` gets an entry and ``answers`` is what they are."""
        started = time.perf_counter()
        chosen = [self.rows[i] for i in samples]
        features = self.task_type.encode(chosen, self.model.tokenizer, self.encoding)
        encoded = time.perf_counter()
        if self.layer is None:
            logits = predict_logits(self.model, features, micro_batch_tokens=self.batch_tokens)
            computed = time.perf_counter()
            self.answers = self.task_type.decode(chosen, features, logits, self.encoding)
        else:
            self.answers = self._embeddings(features)
            computed = time.perf_counter()
        ended = time.perf_counter()
        self.phases.append(Phases(encoded - started, ended - computed))
        until = ended + self.slowdown * (ended - started)
        while time.perf_counter() < until:
            pass

    def _embeddings(self, features: Features) -> list[Any]:
        """Pooled hidden states of the layer, on the CPU, in the order of the rows."""
        assert self.layer is not None
        pooled: list[Any] = [None] * features.num_examples
        with torch.inference_mode():
            for sequences in inference_batches(features, self.batch_tokens):
                batch = gather(features, sequences, self.model.device)
                states = self.model.encoder.layer(batch, self.layer)
                vectors = POOLINGS[self.pooling](states, batch.lengths).cpu().numpy()
                for example, vector in zip(features.example[sequences].tolist(), vectors, strict=True):
                    pooled[example] = vector
        return pooled

    def load_facts(self, samples: Sequence[int]) -> dict[str, int | None]:
        """What these rows are to the encoder: examples, sequences, real tokens, and operations of one pass if known."""
        features = self.task_type.encode([self.rows[i] for i in samples], self.model.tokenizer, self.encoding)
        return {
            "examples": len(samples),
            "sequences": features.num_sequences,
            "tokens": len(features.input_ids),
            "flops": forward_flops(
                self.model.encoder,
                features.lengths.tolist(),
                up_to=self.layer,
                reads=len(features.read) if self.layer is None else None,
            ),
        }
