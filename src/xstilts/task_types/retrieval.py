"""Sentences that translate each other, found by their embeddings. Nothing is trained."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import FeatureBuilder, Features, FloatArray, Head, Tokenizer
from xstilts.task_types.classification import truncated


@dataclass(frozen=True, slots=True)
class Bitext:
    """Two sides to be matched.

    ``nearest`` (Tatoeba): the English ``queries`` each find one of the foreign ``candidates``; ``gold`` is, for each query,
    the 0-based index of its translation. ``mined`` (BUCC): foreign ``queries``, English ``candidates``; ``gold`` is the set
    of (query id, candidate id) pairs as a sorted tuple. ``gold`` is ``None`` when missing.
    """

    id: str
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    candidate_ids: tuple[str, ...]
    candidates: tuple[str, ...]
    gold: tuple[int, ...] | tuple[tuple[str, str], ...] | None


@dataclass(frozen=True)
class Retrieval:
    """A set of one ``Bitext`` for each language and split."""

    name: ClassVar[str] = "retrieval"
    mode: Literal["nearest", "mined"]

    @property
    def head(self) -> Head | None:
        """Embeddings are pooled hidden states: there is no head."""
        return None

    def encode(self, examples: Sequence[str], tokenizer: Tokenizer, encoding: Encoding) -> Features:
        """Sentences (not bitexts) to features; what exceeds ``max_length`` is cut and counted."""
        builder = FeatureBuilder()
        for i, (ids, types, dropped) in enumerate(truncated(tokenizer, list(examples), encoding.max_length)):
            builder.add(i, ids, types, (0,))
            builder.counts["dropped_tokens"] += dropped
            builder.counts["truncated_examples"] += dropped > 0
        return builder.build(len(examples), None)

    def decode(self, examples: Sequence[Any], features: Features, logits: FloatArray, encoding: Encoding) -> NoReturn:
        """Not defined: see ``xstilts.inference.search``."""
        raise ModelError("retrieval has no head to decode: it is searched, not classified")

    def gold(self, example: Bitext) -> tuple[int, ...] | tuple[tuple[str, str], ...] | None:
        """The right indices or pairs."""
        return example.gold

    def answer(self, output: dict[str, Any]) -> int | tuple[str, str]:
        """The neighbour's index (``nearest``) or the mined pair (``mined``)."""
        if self.mode == "nearest":
            return int(output["neighbour"])
        return str(output["source"]), str(output["target"])

    def fingerprint(self, example: Bitext) -> Hashable:
        """Retrieval has no training rows."""
        return (example.id, example.queries)
