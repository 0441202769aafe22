"""A model from nothing: its vocabulary from text, its weights from a seed, written as an ordinary Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from xstilts.hyperparameters import Architecture
from xstilts.models.loading import quiet

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""The first sub-words of every vocabulary, in XLM-R's order."""
_MARK = "▁"  # where a word begins, as in XLM-R


def make_model(folder: Path, shape: Architecture, texts: Iterable[str], seed: int) -> int:
    """Write an untrained XLM-R of this shape: config.json, model.safetensors and the tokenizer's files.

    Args:
        folder: an empty folder.
        shape: sizes; a vocabulary as large as ``shape.vocabulary`` or smaller, if the texts have no more to give.
        texts: what sub-words are counted in.
        seed: of the weights; the global random state is not touched.

    Returns:
        The size of the vocabulary.
    """
    vocabulary = _train_tokenizer(folder, texts, shape)
    write_encoder(folder, shape, vocabulary, seed)
    return vocabulary


def write_encoder(folder: Path, shape: Architecture, vocabulary: int, seed: int) -> None:
    """Write config.json and model.safetensors of an untrained XLM-R; the global random state is not touched."""
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_length + 2,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


def write_tokenizer(folder: Path, rust: RustTokenizer, max_length: int) -> None:
    """Write a tokenizer whose vocabulary holds ``SPECIAL``, the first three of them at 0 to 2, with XLM-R's template."""
    rust.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    bos, pad, eos, unknown, mask = SPECIAL
    PreTrainedTokenizerFast(
        tokenizer_object=rust,
        bos_token=bos,
        pad_token=pad,
        eos_token=eos,
        unk_token=unknown,
        mask_token=mask,
        cls_token=bos,
        sep_token=eos,
        model_max_length=max_length,
    ).save_pretrained(folder)


def _train_tokenizer(folder: Path, texts: Iterable[str], shape: Architecture) -> int:
    """Byte-pair encoding of words (Sennrich et al. 2016), with XLM-R's marks and special tokens."""
    rust = RustTokenizer(BPE(unk_token="<unk>"))
    rust.normalizer = normalizers.NFKC()
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        # As XLM-R's: split at white space first, so that a sub-word's characters do not begin with the space before it.
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(_MARK, prepend_scheme="always"),
            pre_tokenizers.Punctuation(),
        ]
    )
    trainer = BpeTrainer(vocab_size=shape.vocabulary, special_tokens=list(SPECIAL), show_progress=False)
    rust.train_from_iterator(texts, trainer)
    write_tokenizer(folder, rust, shape.max_length)
    return int(rust.get_vocab_size())
