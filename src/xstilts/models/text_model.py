"""A text-to-text model of transformers, unchanged: T5 and its relatives, with the tokenizer that goes with it.

Shape legend: n rows; L longest input; M longest target; V vocabulary.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSeq2SeqLM, DynamicCache, EncoderDecoderCache

from xstilts.batching.texts import NO_TARGET, TextBatch
from xstilts.errors import ModelError, StoreError
from xstilts.model_source import TEXT_TO_TEXT, TOKENIZER_FILES, config_of
from xstilts.models.dropout import use_own_dropout
from xstilts.models.loading import check_weights, first_line, load_tokenizer, override_dropout, quiet, read_any_config
from xstilts.models.precision import Precision
from xstilts.task_types import Tokenizer


class TextModel(nn.Module):
    """Reads text and writes text.

    Args:
        transformer: an encoder-decoder with a language-model head; float32 weights.
        tokenizer: makes its sub-words.
        source: the folder it was loaded from.
        precision: ``bf16`` runs under autocast. T5's activations overflow float16, which is not offered at all.
    """

    def __init__(self, transformer: Any, tokenizer: Tokenizer, source: Path, precision: Precision = "fp32") -> None:
        super().__init__()
        self.transformer, self.tokenizer, self.source = transformer, tokenizer, source
        self.precision: Precision = precision

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        precision: Precision = "fp32",
        dropout: float | None = None,
        device: torch.device | str = "cpu",
    ) -> TextModel:
        """The model of a Hugging Face folder, in evaluation mode: safetensors only, no remote code, no missing weights.

        Raises:
            ModelError: not such a folder, another kind of model, a damaged one, weights missing or of another shape.
        """
        folder = Path(folder)
        check_weights(folder)
        with quiet():
            config = read_any_config(folder)
            if config.model_type not in TEXT_TO_TEXT:
                raise ModelError(
                    f"{config.model_type!r} is no text-to-text model that is known here",
                    where=str(folder),
                    hint=f"known: {', '.join(TEXT_TO_TEXT)}",
                )
            override_dropout(config, dropout, folder)
            transformer = _load(folder, config)
        use_own_dropout(transformer)
        return cls(transformer, load_tokenizer(folder), folder, precision).to(device).eval()

    @property
    def config(self) -> Any:
        """The transformers config."""
        return self.transformer.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.transformer.shared.weight.device
        return device

    @property
    def padding_id(self) -> int:
        """What fills a padded input; never attended to."""
        return int(self.config.pad_token_id)

    @property
    def start_id(self) -> int:
        """What a decoder is given first."""
        return int(self.config.decoder_start_token_id)

    @property
    def end_id(self) -> int:
        """What ends every text."""
        return int(self.config.eos_token_id)

    def autocast(self) -> torch.autocast:
        """Within, products run in the model's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def loss(self, batch: TextBatch) -> Tensor:
        """The cross-entropy of the targets' sub-words, summed over all of them: a float32 scalar.

        Raises:
            ModelError: the batch has no targets.
        """
        if batch.targets is None:
            raise ModelError("a batch without targets has nothing to learn from", where=str(self.source))
        given = batch.targets.masked_fill(batch.targets == NO_TARGET, self.padding_id).roll(1, dims=1)
        given[:, 0] = self.start_id
        with self.autocast():
            logits = self.transformer(
                input_ids=batch.input_ids,
                attention_mask=batch.mask,
                decoder_input_ids=given,
                use_cache=False,
                return_dict=True,
            ).logits
        return cross_entropy(
            logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=NO_TARGET, reduction="sum"
        )

    def export(self, out: Path) -> None:
        """Write an ordinary Hugging Face folder: the source's configuration and tokenizer with these weights, float32.

        Raises:
            ModelError: ``out`` already holds a model.
            StoreError: the folder cannot be written.
        """
        if (out / "config.json").exists():
            raise ModelError("a model is already there, and nothing is overwritten", where=str(out))
        try:
            with quiet():
                self.transformer.save_pretrained(out)
            for file in TOKENIZER_FILES:
                if (self.source / file).is_file():
                    shutil.copyfile(self.source / file, out / file)
            config = config_of(self.source)
            config.pop("torch_dtype", None)
            config |= {"architectures": [type(self.transformer).__name__], "dtype": "float32"}
            (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"the model cannot be written: {error}", where=str(out)) from error


class Decoding:
    """The rows of a batch that are being answered: read once by the encoder, keys and values of what was written kept."""

    def __init__(self, model: TextModel, batch: TextBatch) -> None:
        self._model, self._mask = model, batch.mask
        encoder = model.transformer.get_encoder()
        self._states = encoder(input_ids=batch.input_ids, attention_mask=batch.mask, return_dict=True)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def next_logits(self, last: Tensor) -> Tensor:
        """n x V float32: what may come after ``last``, the n x 1 sub-words that were written last.

        Raises:
            ModelError: one is not a finite number.
        """
        logits: Tensor = self._model.transformer(
            encoder_outputs=self._states,
            attention_mask=self._mask,
            decoder_input_ids=last,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
        ).logits[:, -1]
        if not torch.isfinite(logits).all():
            raise ModelError(
                "a logit is not a finite number, so what would be written means nothing",
                where=str(self._model.source),
                hint="the weights are damaged or the precision overflows: try fp32",
            )
        return logits.float()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self._mask = self._mask[rows]
        self._states.last_hidden_state = self._states.last_hidden_state[rows]
        self._cache.batch_select_indices(rows)


def _load(folder: Path, config: Any) -> Any:
    try:
        transformer, report = AutoModelForSeq2SeqLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # damaged header, another shape, a config that contradicts itself
        raise ModelError(f"the weights cannot be loaded: {first_line(error)}", where=str(folder)) from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{len(missing)} of the weights are missing, such as {', '.join(missing[:3])}",
            where=str(folder),
            hint="the folder's weights and its config.json are not of the same model, or it is an encoder half alone",
        )
    return transformer
