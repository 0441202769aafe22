"""Tiny models with random weights, made on the spot, and flat batches of random sequences."""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import AutoConfig, AutoModel

from xstilts.batching.batch import Batch

VOCABULARY = 200
PACKED = ["bert", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl"]
PADDED = ["distilbert", "electra", "albert", "modernbert"]
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,  # large weights: a mistake is not hidden by small numbers
}
SPECIAL = {
    "bert": ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
}

_HOME = tempfile.TemporaryDirectory(prefix="xstilts-tiny-")
atexit.register(_HOME.cleanup)


def write_tokenizer(folder: Path, style: str) -> None:
    """A word-piece (BERT) or unigram (RoBERTa and relatives) tokenizer over single letters and short words."""
    first, pad, last, unknown, mask = SPECIAL[style]
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [first, pad, last, unknown, *letters, *(f"##{c}" for c in letters), *(f"▁{c}" for c in letters)]
    pieces += [f"word{i}" for i in range(VOCABULARY - 1 - len(pieces))] + [mask]
    if style == "bert":
        rust = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token=unknown))
        rust.normalizer = normalizers.BertNormalizer()
        rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        pair = f"{first} $A {last} $B:1 {last}:1"
    else:
        rust = Tokenizer(models.Unigram([(p, -float(i)) for i, p in enumerate(pieces)], unk_id=3, byte_fallback=False))
        rust.pre_tokenizer = pre_tokenizers.Metaspace()
        pair = f"{first} $A {last} {last} $B {last}"
    rust.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=pair, special_tokens=[(first, 0), (last, 2)]
    )
    rust.save(str(folder / "tokenizer.json"))
    names = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **dict(zip(names, SPECIAL[style], strict=True))}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def write_folder(folder: Path, family: str, **changes: Any) -> Path:
    """A Hugging Face folder of a random tiny model."""
    shape = {
        **SHAPE,
        "type_vocab_size": 2 if family in ("bert", "electra", "albert") else 1,
        "pad_token_id": 1,
        **changes,
    }
    if family == "distilbert":
        shape |= {"dim": 32, "n_layers": shape["num_hidden_layers"], "n_heads": 4, "hidden_dim": 48}
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "type_vocab_size"):
            shape.pop(name)
    if family == "modernbert":  # one layer attends to all tokens, one to a window that is shorter than the sequences
        shape |= {"local_attention": 8, "global_attn_every_n_layers": 2, "bos_token_id": 0, "eos_token_id": 2}
        shape |= {"cls_token_id": 0, "sep_token_id": 2}
        shape.pop("type_vocab_size")
    if family in ("electra", "albert"):
        shape["embedding_size"] = 16
    torch.manual_seed(7)
    model = AutoModel.from_config(AutoConfig.for_model(family, **shape))
    with torch.no_grad():  # biases and LayerNorms away from 0 and 1
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    model.save_pretrained(folder)
    write_tokenizer(folder, "bert" if family in ("bert", "electra", "distilbert", "albert") else "roberta")
    return folder


@cache
def tiny(family: str) -> Path:
    """The folder of a tiny random model, made once and removed at the end."""
    return write_folder(Path(_HOME.name) / family, family)


def make_batch(lengths: Sequence[int], seed: int = 0, *, read: str = "first", types: bool = False) -> Batch:
    """Random ids from 5 on (no special ones), ``read`` at the first token of each sequence or at every second token."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    starts = np.cumsum(lengths) - np.asarray(lengths)
    if read == "first":
        positions, counts = torch.from_numpy(starts), (1,) * len(lengths)
    else:
        inside = [start + np.arange(0, n, 2) for start, n in zip(starts, lengths, strict=True)]
        positions, counts = torch.from_numpy(np.concatenate(inside)), tuple(len(i) for i in inside)
    return Batch(
        input_ids=torch.randint(5, VOCABULARY, (total,), generator=generator),
        type_ids=torch.randint(0, 2, (total,), generator=generator) if types else torch.zeros(total, dtype=torch.long),
        lengths=tuple(int(n) for n in lengths),
        read=positions,
        read_counts=counts,
        sequences=np.arange(len(lengths)),
    )


def padded_inputs(batch: Batch, pad: int, *, types: bool) -> dict[str, Tensor]:
    """The rectangular batch every transformers model takes, made without the code under test."""
    longest = max(batch.lengths)
    ids = torch.full((len(batch.lengths), longest), pad)
    mask, type_ids = torch.zeros_like(ids), torch.zeros_like(ids)
    at = 0
    for i, n in enumerate(batch.lengths):
        ids[i, :n], mask[i, :n] = batch.input_ids[at : at + n], 1
        type_ids[i, :n] = batch.type_ids[at : at + n]
        at += n
    return {"input_ids": ids, "attention_mask": mask, **({"token_type_ids": type_ids} if types else {})}


def flat(block: Tensor, lengths: Sequence[int]) -> Tensor:
    """The real tokens of a padded block, end to end."""
    return torch.cat([block[i, :n] for i, n in enumerate(lengths)])
