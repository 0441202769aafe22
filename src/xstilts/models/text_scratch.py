"""A text-to-text model from nothing: mT5's shape at any size, its vocabulary from text, written as a Hugging Face folder."""

from __future__ import annotations

import string
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import MT5Config, MT5ForConditionalGeneration, PreTrainedTokenizerFast

from xstilts.hyperparameters import Architecture
from xstilts.models.loading import quiet

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(32))
"""What stands in a text for a span that is taken out of it (T5)."""
_MARK = "▁"


def make_text_model(folder: Path, shape: Architecture, texts: Iterable[str], seed: int) -> int:
    """Write an untrained mT5 of this shape: as many layers in the decoder as in the encoder, one embedding matrix.

    Args:
        folder: an empty folder.
        shape: sizes; positions are relative, so ``max_length`` bounds nothing here.
        texts: what sub-words are counted in. Digits, ASCII letters and punctuation are in every vocabulary: casts use them.
        seed: of the weights; the global random state is not touched.

    Returns:
        The size of the vocabulary.
    """
    rust = _tokenizer(texts, shape.vocabulary)
    PreTrainedTokenizerFast(
        tokenizer_object=rust, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, extra_special_tokens=list(SENTINELS)
    ).save_pretrained(folder)
    vocabulary = int(rust.get_vocab_size())
    config = MT5Config(
        vocab_size=vocabulary,
        d_model=shape.hidden_size,
        d_kv=shape.hidden_size // shape.num_heads,
        d_ff=shape.intermediate_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        model = MT5ForConditionalGeneration(config)
        with torch.no_grad():  # the matrix is the output layer too, and its first guesses should be about alike
            model.shared.weight.mul_(shape.hidden_size**-0.5)
        model.save_pretrained(folder)
    return vocabulary


def _tokenizer(texts: Iterable[str], size: int) -> RustTokenizer:
    """Byte-pair encoding of words with mT5's marks; a text ends with ``</s>``."""
    rust = RustTokenizer(BPE(unk_token=UNKNOWN))
    rust.normalizer = normalizers.NFKC()
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(_MARK, prepend_scheme="always"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    rust.decoder = decoders.Metaspace(_MARK)
    alphabet = [_MARK, *string.ascii_letters, *string.digits, *string.punctuation]
    trainer = BpeTrainer(
        vocab_size=size, special_tokens=[PAD, END, UNKNOWN], initial_alphabet=alphabet, show_progress=False
    )
    rust.train_from_iterator(texts, trainer)
    rust.add_special_tokens([AddedToken(sentinel, special=True) for sentinel in SENTINELS])
    rust.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return rust
