"""An encoder small enough to check by hand: layer l + 1 is a fixed linear map of layer l, token by token."""

from __future__ import annotations

import numpy as np
import torch
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from xstilts.batching.batch import Batch
from xstilts.task_types import Bitext, Tokenizer

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = [f"w{i}" for i in range(40)]


def word_tokenizer() -> Tokenizer:
    """One sub-word for each word, special tokens as XLM-R's."""
    rust = RustTokenizer(WordLevel({word: i for i, word in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
    rust.pre_tokenizer = WhitespaceSplit()
    rust.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return Tokenizer(rust, unknown_id=3)


class LayeredEncoder:
    """Counts the layers and sub-words it ran."""

    def __init__(self, num_layers: int, hidden_size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = torch.randn(len(SPECIAL) + len(WORDS), hidden_size, generator=generator)
        self.maps = [torch.randn(hidden_size, hidden_size, generator=generator) for _ in range(num_layers)]
        self.layers_run = 0
        self.tokens_run = 0

    def layers(self, batch: Batch, *, up_to: int | None = None) -> list[Tensor]:
        states = [self.words[batch.input_ids]]
        self.tokens_run += batch.num_tokens
        for weight in self.maps[:up_to]:
            states.append(torch.tanh(states[-1] @ weight))
            self.layers_run += 1
        return states


class LayeredModel:
    """What embedding needs of a model."""

    def __init__(self, num_layers: int = 3, hidden_size: int = 16, seed: int = 0) -> None:
        self.encoder = LayeredEncoder(num_layers, hidden_size, seed)
        self.tokenizer = word_tokenizer()
        self.device = torch.device("cpu")
        self.num_layers, self.hidden_size = num_layers, hidden_size

    def by_hand(self, sentence: str, layer: int, pooling: str, max_length: int) -> np.ndarray:
        """The embedding of one sentence, one token at a time."""
        words = sentence.split()[: max_length - 2]
        ids = [0, *(len(SPECIAL) + WORDS.index(w) for w in words), 2]
        tokens = []
        for i in ids:
            state = self.encoder.words[i]
            for weight in self.encoder.maps[:layer]:
                state = torch.tanh(state @ weight)
            tokens.append(state.numpy().astype(np.float64))
        return tokens[0] if pooling == "first" else np.mean(tokens, axis=0)


def sentences(count: int, seed: int, longest: int = 12) -> list[str]:
    """Random sentences; short ones repeat."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, longest + 1))) for _ in range(count)]


def bitext(queries: list[str], candidates: list[str]) -> Bitext:
    """A bitext without gold whose ids are ``q-0``, ``c-0``, ..."""
    return Bitext(
        id="toy",
        query_ids=tuple(f"q-{i}" for i in range(len(queries))),
        queries=tuple(queries),
        candidate_ids=tuple(f"c-{i}" for i in range(len(candidates))),
        candidates=tuple(candidates),
        gold=None,
    )
