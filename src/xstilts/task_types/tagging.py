"""One tag for each word (POS, NER, supertags)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.task_types.base import FeatureBuilder, Features, FloatArray, Head, Tokenizer


@dataclass(frozen=True, slots=True)
class TaggingExample:
    """A sentence as words, and their tags."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None


@dataclass(frozen=True)
class Tagging:
    """Tags in the order of the head's outputs; an empty tuple means: collect them from the training rows (CCG)."""

    name: ClassVar[str] = "tagging"
    labels: tuple[str, ...]

    @property
    def head(self) -> Head:
        """A linear layer on the first sub-word of each word (jiant heads.py)."""
        return Head("token", len(self.labels), self.labels)

    def encode(self, examples: Sequence[TaggingExample], tokenizer: Tokenizer, encoding: Encoding) -> Features:
        """Sentences longer than ``max_length`` are split between words and rejoined in ``decode``.

        A word without sub-words (say, a lone zero-width character) becomes the unknown token, as in XTREME's run_tag.
        A single word longer than a window is cut; the dropped sub-words are counted.
        """
        builder = FeatureBuilder()
        room = encoding.max_length - len(tokenizer.prefix_ids) - len(tokenizer.suffix_ids)
        encoded = tokenizer.encode([list(e.words) for e in examples], is_pretokenized=True, add_special_tokens=False)
        builder.counts["unknown_words"] = 0
        for i, (example, subwords) in enumerate(zip(examples, encoded, strict=True)):
            pieces: list[list[int]] = [[] for _ in example.words]
            for piece, word in zip(subwords.ids, subwords.word_ids, strict=True):
                if word is not None:
                    pieces[word].append(piece)
            self._add_windows(builder, i, pieces, tokenizer, room)
        return builder.build(len(examples), self._targets(examples))

    def _add_windows(
        self, builder: FeatureBuilder, example: int, words: list[list[int]], tokenizer: Tokenizer, room: int
    ) -> None:
        window: list[list[int]] = []
        length = 0
        for word in words:
            if not word:
                word = [tokenizer.unknown_id]
                builder.counts["unknown_words"] += 1
            if len(word) > room:
                builder.counts["dropped_tokens"] += len(word) - room
                word = word[:room]
            if length + len(word) > room:
                self._flush(builder, example, window, tokenizer)
                window, length = [], 0
            window.append(word)
            length += len(word)
        if window:
            self._flush(builder, example, window, tokenizer)

    @staticmethod
    def _flush(builder: FeatureBuilder, example: int, window: list[list[int]], tokenizer: Tokenizer) -> None:
        ids, read = list(tokenizer.prefix_ids), []
        for word in window:
            read.append(len(ids))
            ids.extend(word)
        ids.extend(tokenizer.suffix_ids)
        builder.add(example, ids, [0] * len(ids), read)

    def _targets(self, examples: Sequence[TaggingExample]) -> list[int] | None:
        index = {tag: i for i, tag in enumerate(self.labels)}
        targets: list[int] = []
        for example in examples:
            if example.tags is None:
                return None
            for tag in example.tags:
                if tag not in index:
                    raise ModelError(
                        f"tag {tag!r} of sentence {example.id!r} is not among the head's {len(index)} tags",
                        hint=f"tags of the head: {', '.join(self.labels[:20])}",
                    )
                targets.append(index[tag])
        return targets

    def decode(
        self, examples: Sequence[TaggingExample], features: Features, logits: FloatArray, encoding: Encoding
    ) -> list[dict[str, Any]]:
        """The best tag of each word, windows rejoined."""
        best = logits.argmax(axis=1)
        outputs, at = [], 0
        for example in examples:
            tags = [self.labels[b] for b in best[at : at + len(example.words)]]
            at += len(example.words)
            outputs.append({"id": example.id, "tags": tags})
        return outputs

    def gold(self, example: TaggingExample) -> tuple[str, ...] | None:
        """The tags."""
        return example.tags

    def answer(self, output: dict[str, Any]) -> tuple[str, ...]:
        """The tags."""
        return tuple(output["tags"])

    def fingerprint(self, example: TaggingExample) -> Hashable:
        """The words."""
        return example.words
