"""A sequence-to-sequence model translates a text the same alone and among others, in order; what does not fit is marked."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from tiny_world import tiny_model
from xstilts import seq2seq
from xstilts.errors import ModelError, TranslationError
from xstilts.seq2seq import Seq2Seq

TEXTS = ["ab ba", "a", "the cat sat on the mat again and again", "zu", "one two three four five", "b a d c e"]
_HOME = TemporaryDirectory(prefix="xstilts-seq2seq-")


@cache
def tiny(languages: bool = False) -> Path:
    """A random one-layer BART over the tiny model's sub-words; with tokens for languages, as mBART has them."""
    folder = Path(_HOME.name) / ("many" if languages else "pair")
    shutil.copytree(tiny_model(), folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    rust = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if languages:
        rust.add_special_tokens([AddedToken(f"{code}_XX", special=True) for code in ("en", "es")])
        rust.save(str(folder / "tokenizer.json"))
    width = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 48}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    size = {"vocab_size": rust.get_vocab_size(), "init_std": 0.4, "forced_eos_token_id": None}
    torch.manual_seed(3)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("bart", **width, **heads, **special, **size))
    model.final_logits_bias[0, 2] = 2.0  # some translations end, some do not
    model.save_pretrained(folder)
    return folder


def test_a_text_is_translated_the_same_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Seq2Seq(tiny(), "en", "es")
    alone = [engine.translate([text])[0] for text in TEXTS]
    assert len({translation.text for translation in alone if translation.fits}) > 1
    assert engine.translate(TEXTS) == alone
    monkeypatch.setattr(seq2seq, "TOKENS", 16)
    assert engine.translate(TEXTS[::-1]) == alone[::-1]


def test_what_does_not_fit_or_does_not_end_is_marked() -> None:
    engine = Seq2Seq(tiny(), "en", "es")
    assert engine.longest == 48
    long, short = engine.translate(["word " * 60, "a"])
    assert (long.text, long.fits) == ("", False)
    assert all(translation.fits or not translation.text for translation in (long, short))
    engine.model.final_logits_bias[0, 2] = -1e9
    assert engine.translate(["a"])[0].fits is False


def test_a_model_of_many_languages_is_told_the_target() -> None:
    engine = Seq2Seq(tiny(True), "en", "es")
    assert (engine.settings["source_token"], engine.settings["target_token"]) == ("en_XX", "es_XX")
    assert engine.forced == {"forced_bos_token_id": engine.tokenizer.convert_tokens_to_ids("es_XX")}
    pair = Seq2Seq(tiny(), "en", "es")
    assert (pair.settings["target_token"], pair.forced) == (None, {})


class Vocabulary:
    """A tokenizer as far as it names languages."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = dict.fromkeys(["a", "_b", *tokens], 0)

    def get_vocab(self) -> dict[str, int]:
        return self.tokens


NLLB = ["arb_Arab", "kor_Hang", "zho_Hans", "spa_Latn", "deu_Latn", "fra_Latn", "hin_Deva", "rus_Cyrl"]


@pytest.mark.parametrize(
    ("code", "token"), [("ar", "arb_Arab"), ("ko", "kor_Hang"), ("zh", "zho_Hans"), ("es", "spa_Latn")]
)
def test_languages_that_nllb_spells_in_its_own_way_are_found(code: str, token: str) -> None:
    assert seq2seq._language_token(Vocabulary(*NLLB), code) == token


def test_a_language_that_a_model_of_many_lacks_is_refused() -> None:
    """Not told its target, such a model writes any language it likes."""
    with pytest.raises(TranslationError, match=r"8 languages, but none that is known to mean 'th'"):
        seq2seq._language_token(Vocabulary(*NLLB), "th")
    assert seq2seq._language_token(Vocabulary("es_XX"), "th") is None


def test_the_files_are_what_it_is(tmp_path: Path) -> None:
    copy = shutil.copytree(tiny(), tmp_path / "elsewhere")
    assert Seq2Seq(copy, "en", "es").settings == Seq2Seq(tiny(), "en", "es").settings
    config = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**config, "repetition_penalty": 1.5}))
    assert Seq2Seq(copy, "en", "es").settings != Seq2Seq(tiny(), "en", "es").settings


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="safetensors"):
        Seq2Seq(tmp_path, "en", "es")
    with pytest.raises(ModelError, match="not a model that makes text from text"):
        Seq2Seq(tiny_model(), "en", "es")
