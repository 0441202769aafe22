"""An encoder of XLM-R's kind with random weights and a vocabulary of made-up words: for speed only, without a download."""

from __future__ import annotations

import string
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from xstilts.models.loading import quiet


class Shape(NamedTuple):
    """Sizes; the vocabulary counts special sub-words."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int


SHAPES = {
    "tiny": Shape(192, 4, 6, 768, 20_000),
    "small": Shape(384, 12, 12, 1536, 250_002),
    "base": Shape(768, 12, 12, 3072, 250_002),
}
"""``small`` is multilingual-e5-small's shape, ``base`` XLM-R-base's."""
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
_LETTERS = 4


def make_encoder(folder: Path, shape: Shape, seed: int) -> None:
    """Write config.json, model.safetensors and the tokenizer's files to ``folder``, in XLM-R's layout."""
    folder.mkdir(parents=True)
    _write_tokenizer(folder, shape.vocabulary)
    config = XLMRobertaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=514,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


def word(number: int) -> str:
    """The made-up word of a number: four letters, another word for each number below 26 ** 4."""
    letters = []
    for _ in range(_LETTERS):
        number, letter = divmod(number, len(string.ascii_lowercase))
        letters.append(string.ascii_lowercase[letter])
    return "".join(letters)


def _write_tokenizer(folder: Path, vocabulary: int) -> None:
    """A unigram model as XLM-R's, every word of which is one sub-word."""
    words = [f"▁{word(i)}" for i in range(vocabulary - len(SPECIAL) - 1)]
    rust = RustTokenizer(Unigram([*((s, 0.0) for s in SPECIAL), *((w, -10.0) for w in words), (MASK, 0.0)], unk_id=3))
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    rust.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    bos, pad, eos, unknown = SPECIAL
    PreTrainedTokenizerFast(
        tokenizer_object=rust,
        bos_token=bos,
        pad_token=pad,
        eos_token=eos,
        unk_token=unknown,
        mask_token=MASK,
        cls_token=bos,
        sep_token=eos,
        model_max_length=512,
    ).save_pretrained(folder)
