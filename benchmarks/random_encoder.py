"""An encoder of XLM-R's kind with random weights and a vocabulary of made-up words: for speed only, without a download."""

from __future__ import annotations

import string
from pathlib import Path

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import pre_tokenizers
from tokenizers.models import Unigram

from xstilts.hyperparameters import Architecture
from xstilts.models.scratch import SPECIAL, write_encoder, write_tokenizer


def shape_of(hidden: int, layers: int, heads: int, inner: int, vocabulary: int) -> Architecture:
    """Sizes; the vocabulary counts special sub-words."""
    return Architecture(
        hidden_size=hidden,
        num_layers=layers,
        num_heads=heads,
        intermediate_size=inner,
        vocabulary=vocabulary,
        max_length=512,
    )


SHAPES = {
    "tiny": shape_of(192, 4, 6, 768, 20_000),
    "small": shape_of(384, 12, 12, 1536, 250_002),
    "base": shape_of(768, 12, 12, 3072, 250_002),
}
"""``small`` is multilingual-e5-small's shape, ``base`` XLM-R-base's."""
_LETTERS = 4


def make_encoder(folder: Path, shape: Architecture, seed: int) -> None:
    """Write config.json, model.safetensors and the tokenizer's files to ``folder``, in XLM-R's layout."""
    folder.mkdir(parents=True)
    write_tokenizer(folder, whole_words(shape.vocabulary), shape.max_length)
    write_encoder(folder, shape, shape.vocabulary, seed)


def word(number: int) -> str:
    """The made-up word of a number: four letters, another word for each number below 26 ** 4."""
    letters = []
    for _ in range(_LETTERS):
        number, letter = divmod(number, len(string.ascii_lowercase))
        letters.append(string.ascii_lowercase[letter])
    return "".join(letters)


def whole_words(vocabulary: int) -> RustTokenizer:
    """A unigram model as XLM-R's, every word of which is one sub-word; the mask is the last one, as there."""
    *first, mask = SPECIAL
    words = [f"▁{word(i)}" for i in range(vocabulary - len(SPECIAL))]
    rust = RustTokenizer(Unigram([*((s, 0.0) for s in first), *((w, -10.0) for w in words), (mask, 0.0)], unk_id=3))
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    return rust
