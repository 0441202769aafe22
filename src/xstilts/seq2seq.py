"""Any Hugging Face sequence-to-sequence model as an engine that translates: greedy, in batches of near length.

Models of one pair (Marian: OPUS-MT) need nothing more. Models of many languages are told the target by a token that their
tokenizer has for it (mBART ``es_XX``, NLLB ``spa_Latn``, M2M-100 ``__es__``); where there is none, none is forced, and
the record says so. Only safetensors are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from xstilts.errors import ModelError, TranslationError
from xstilts.graph.disk import digest_file
from xstilts.languages import LANGUAGES
from xstilts.translation.engine import BATCH, Translation

TOKENS = 4096
"""Sub-words in one batch, padding included: decides memory, and no translation but for rounding."""
MAX_LENGTH = 512
"""Sub-words of a text or a translation, where a model says nothing smaller."""
_SPELLED = {
    "ar": ("arb_Arab",),
    "ko": ("kor_Hang",),
    "zh": ("zho_Hans", "cmn_Hans"),
    "fa": ("pes_Arab",),
    "et": ("est_Latn", "ekk_Latn"),
}
"""Languages that NLLB names otherwise than by our codes and scripts."""
_OF_A_LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}|__[a-z]{2,3}__|[a-z]{2}_[A-Z]{2}")
_MANY = 3
"""A model with so many tokens for languages writes in many."""
_KEPT = {".json", ".safetensors", ".spm", ".model", ".txt"}


class Seq2Seq:
    """A model folder that translates from one language into another.

    Args:
        folder: a Hugging Face folder with safetensors.
        source, target: languages.
        batch: texts of one call.
        device: ``cpu`` or ``cuda:N``.

    Raises:
        ModelError: no such folder, no safetensors, or no model that generates text from text.
    """

    name = "hf"

    def __init__(self, folder: Path, source: str, target: str, batch: int = BATCH, device: str = "cpu") -> None:
        if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
            raise ModelError("no config.json with .safetensors here", where=str(folder), hint="--engine hf:FOLDER")
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model: Any = AutoModelForSeq2SeqLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except (ValueError, OSError, ImportError, KeyError) as error:
            first = str(error).strip().splitlines()
            raise ModelError(
                f"not a model that makes text from text: {first[0] if first else type(error).__name__}",
                where=str(folder),
            ) from error
        self.tokenizer, self.model, self.device, self.batch = tokenizer, model.eval().to(device), device, batch
        self.longest = _longest(tokenizer, model.config)
        start, end = (_language_token(tokenizer, code) for code in (source, target))
        if start is not None:
            tokenizer.src_lang = start.removeprefix("__").removesuffix("__")
        self.forced = {} if end is None else {"forced_bos_token_id": tokenizer.convert_tokens_to_ids(end)}
        files = {p.name: digest_file(p) for p in sorted(folder.iterdir()) if p.is_file() and p.suffix in _KEPT}
        digest = hashlib.sha256("\n".join(f"{name} {of}" for name, of in files.items()).encode()).hexdigest()
        self.settings: dict[str, Any] = {
            "model": digest,
            "source_token": start,
            "target_token": end,
            "decoding": "greedy",
            "max_length": self.longest,
        }
        self.version = f"{folder.resolve().name}, files {digest[:12]}"

    @torch.inference_mode()
    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """Texts of near length together; one that does not fit the model, or whose translation does not end, is marked."""
        ids: list[list[int]] = self.tokenizer(list(texts), truncation=False)["input_ids"]
        found: dict[int, Translation] = {n: Translation("", fits=False) for n in range(len(texts))}
        fitting = sorted((n for n in found if len(ids[n]) <= self.longest), key=lambda n: (len(ids[n]), n))
        for numbers in _batches(fitting, ids):
            for n, translation in zip(numbers, self._generated([ids[n] for n in numbers]), strict=True):
                found[n] = translation
        return [found[n] for n in range(len(texts))]

    def _generated(self, ids: list[list[int]]) -> Iterator[Translation]:
        padded = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.device)
        made = self.model.generate(
            input_ids=padded["input_ids"],
            attention_mask=padded["attention_mask"],
            do_sample=False,
            num_beams=1,
            max_new_tokens=min(self.longest, 2 * len(ids[-1]) + 32),
            **self.forced,
        )
        ends = _ends(self.model)
        for row in made.tolist():
            text = " ".join(self.tokenizer.decode(row, skip_special_tokens=True).split())
            ended = bool(
                ends & set(row[1:])
            )  # the first token starts the decoder, and for many models it is the end token
            yield Translation(text if ended else "", fits=ended)


def _batches(numbers: Sequence[int], ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Texts in order of length, as many at a time as fit into ``TOKENS`` with padding."""
    batch: list[int] = []
    for n in numbers:
        if batch and len(ids[n]) * (len(batch) + 1) > TOKENS:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _ends(model: Any) -> set[int]:
    end = model.generation_config.eos_token_id
    if end is None:
        raise TranslationError("this model has no token that ends a translation", where="--engine")
    return set(end) if isinstance(end, list) else {end}


def _longest(tokenizer: Any, config: Any) -> int:
    said = (tokenizer.model_max_length, getattr(config, "max_position_embeddings", None), MAX_LENGTH)
    return min(int(length) for length in said if length)


def _language_token(tokenizer: Any, code: str) -> str | None:
    """The token that stands for a language, if the tokenizer has one."""
    known = LANGUAGES.get(code)
    names = [f"__{code}__", f"{code}_XX", *([f"{known.iso3}_{known.script}"] if known else []), *_SPELLED.get(code, ())]
    vocabulary = tokenizer.get_vocab()
    beginning = sorted(
        token for token in vocabulary if token.startswith(f"{code}_") and token[len(code) + 1 :].isupper()
    )
    found = next((name for name in [*names, *beginning] if name in vocabulary), None)
    of_languages = [token for token in vocabulary if _OF_A_LANGUAGE.fullmatch(token)]
    if found is None and len(of_languages) >= _MANY:  # it would write whatever language it likes
        near = ", ".join(get_close_matches(names[-1], of_languages, cutoff=0.4))
        raise TranslationError(
            f"the model has tokens for {len(of_languages)} languages, but none that is known to mean {code!r}",
            where="--engine",
            hint=f"looked for {', '.join(names)}; near: {near or 'none'}",
        )
    return found
