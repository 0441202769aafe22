"""A world small enough to be learned in a second: a word tokenizer, a tiny model, and one easy task of every shape."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaModel

from xstilts.batching import Batch
from xstilts.hyperparameters import Encoding
from xstilts.task_types import (
    Answer,
    ChoiceExample,
    Classification,
    MultipleChoice,
    PairExample,
    Span,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
    Tokenizer,
)

FILLERS = [f"w{i}" for i in range(12)]
WORDS = ["good", "bad", "here", "where", *FILLERS]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def word_tokenizer() -> Tokenizer:
    """One sub-word for each word, special tokens as XLM-R's."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    rust = RustTokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    rust.pre_tokenizer = WhitespaceSplit()
    rust.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return Tokenizer(rust, unknown_id=3)


class ToyModel(nn.Module):
    """A position sees its own word and the mean of its sequence."""

    def __init__(self, num_outputs: int, *, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.words = nn.Embedding(len(SPECIAL) + len(WORDS), 32)
        self.own, self.mean = nn.Linear(32, 32), nn.Linear(32, 32)
        self.norm, self.output = nn.LayerNorm(32), nn.Linear(32, num_outputs)
        self.dropout = nn.Dropout(dropout)
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.2, generator=generator)
            elif weight is not self.norm.weight:
                nn.init.zeros_(weight)
        self.tokenizer = word_tokenizer()
        self.batches: list[Batch] = []

    @property
    def device(self) -> torch.device:
        return self.output.weight.device

    def logits(self, batch: Batch) -> Tensor:
        self.batches.append(batch)
        lengths = torch.tensor(batch.lengths)
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        words = self.words(batch.input_ids)
        means = torch.zeros(len(lengths), 32).index_add(0, sequence, words) / lengths[:, None]
        hidden = self.own(words) + self.mean(means)[sequence]
        logits: Tensor = self.output(self.dropout(torch.tanh(self.norm(hidden)))[batch.read])
        return logits


def xlmr_folder(folder: Path) -> Path:
    """A Hugging Face folder of a random XLM-R: two layers of 32, the words of this world."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=1,
        initializer_range=0.1,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    word_tokenizer().rust.save(str(folder / "tokenizer.json"))
    names = {"unk_token": "<unk>", "pad_token": "<pad>"}
    text = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names})
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Toy:
    """An easy task: its shape, rows with gold, and how to encode them."""

    type: TaskType
    examples: list[Any]
    encoding: Encoding

    def model(self, **options: Any) -> Any:
        assert self.type.head is not None
        return ToyModel(self.type.head.num_outputs, **options)

    def accuracy(self, outputs: list[dict[str, Any]]) -> float:
        """Share of rows whose answer is the gold (spans: one of the golds)."""
        pairs = [(self.type.answer(o), self.type.gold(e)) for o, e in zip(outputs, self.examples, strict=True)]
        return float(np.mean([a in g if self.type.name == "span" else a == g for a, g in pairs]))


def toy(shape: str, rows: int = 200, *, seed: int = 0, max_length: int = 24) -> Toy:
    """``rows`` examples of a shape whose answer can be read off single words."""
    chance = np.random.default_rng(seed)

    def fill(least: int, most: int) -> list[str]:
        return [str(w) for w in chance.choice(FILLERS, int(chance.integers(least, most + 1)))]

    def insert(words: list[str], word: str) -> list[str]:
        at = int(chance.integers(0, len(words) + 1))
        return [*words[:at], word, *words[at:]]

    examples: list[Any] = []
    for i in range(rows):
        if shape == "classification":
            label = ("good", "bad")[int(chance.integers(2))]
            examples.append(PairExample(str(i), " ".join(insert(fill(1, 5), label)), " ".join(fill(1, 5)), label))
        elif shape == "multiple_choice":
            right = int(chance.integers(3))
            choices = tuple(" ".join(insert(fill(1, 4), "good" if c == right else "bad")) for c in range(3))
            examples.append(ChoiceExample(str(i), " ".join(fill(1, 3)), choices, right))
        elif shape == "tagging":
            words = fill(1, 60)  # up to three windows
            examples.append(TaggingExample(str(i), tuple(words), tuple("AB"[int(w[1:]) % 2] for w in words)))
        else:
            context = " ".join(insert(fill(0, 40), "here"))
            examples.append(SpanExample(str(i), "where", context, (Answer("here", context.index("here")),)))
    types: dict[str, TaskType] = {
        "classification": Classification(("good", "bad")),
        "multiple_choice": MultipleChoice(3),
        "tagging": Tagging(("A", "B")),
        "span": Span(),
    }
    return Toy(types[shape], examples, Encoding(max_length=max_length, stride=8))


SHAPES = ("classification", "multiple_choice", "tagging", "span")
