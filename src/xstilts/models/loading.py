"""From a Hugging Face folder to an ``Encoder``: safetensors only, float32, no remote code, no missing weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    MT5EncoderModel,
    T5EncoderModel,
    UMT5EncoderModel,
)
from transformers.utils import logging as transformers_logging

from xstilts.errors import ModelError
from xstilts.hyperparameters import Lora
from xstilts.memory.dimensions import stored_tensors
from xstilts.model_source import CONVERT, config_of, no_weights, refuse_tokenizer_code
from xstilts.models.adapters import add_adapters
from xstilts.models.dropout import use_own_dropout
from xstilts.models.encoder import Encoder
from xstilts.models.families import execution_of
from xstilts.models.linear import use_onednn
from xstilts.models.packed_attention import NAME
from xstilts.models.precision import Precision
from xstilts.task_types import Tokenizer

WEIGHTS = "model.safetensors"
_VOCABULARIES = ("tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "vocab.json", "vocab.txt")
ENCODER_HALVES = {"t5": T5EncoderModel, "mt5": MT5EncoderModel, "umt5": UMT5EncoderModel}
"""The encoder half of each text-to-text model, an encoder like others; the decoder's weights are not read."""
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout_rate", "dropout")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


def load_encoder(
    folder: Path | str,
    precision: Precision = "fp32",
    *,
    dropout: float | None = None,
    attention_dropout: float | None = None,
    device: torch.device | str = "cpu",
    lora: Lora | None = None,
    seed: int = 0,
) -> Encoder:
    """The encoder of a folder, without pooler or head, in evaluation mode.

    Args:
        folder: holds config.json and safetensors weights (of a base model, or of a model with any head).
        precision: ``fp32``, or ``bf16`` for float32 weights under autocast.
        dropout, attention_dropout: override the config's.
        device: where the weights go.
        lora: adapters to put in, drawn with ``seed``; all else is frozen.

    Raises:
        ModelError: not such a folder, a damaged or pickled one, weights missing or of another shape, no plain encoder.
    """
    folder = Path(folder)
    check_weights(folder)
    with quiet():
        config = read_config(folder)
        override_dropout(config, dropout, folder)
        _override(config, _ATTENTION_DROPOUT, attention_dropout, folder)
        transformer = _load(folder, config, _loaded_as(folder, torch.device(device)))
    if lora is not None:
        add_adapters(transformer, lora, seed)
    use_onednn(transformer)
    use_own_dropout(transformer)
    return Encoder(transformer, precision).to(device, torch.float32).eval()


def _loaded_as(folder: Path, device: torch.device) -> torch.dtype:
    """The dtype that weights have on their way to the device, where they are float32.

    float32 files are memory-mapped and take no memory of the host. Half-precision ones stay mapped too until each weight is
    widened on its way to another device; a float32 copy of the whole model would lie on the host first otherwise.
    """
    if device.type == "cpu":
        return torch.float32
    kinds = {kind for _, kind, _ in stored_tensors(folder) if kind in ("F32", "F16", "BF16")}
    halves = {"F16": torch.float16, "BF16": torch.bfloat16}
    return halves.get(next(iter(kinds)), torch.float32) if len(kinds) == 1 else torch.float32


def check_weights(folder: Path) -> None:
    """Raise ``ModelError`` unless the folder has a configuration and safetensors weights."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"no config.json in {str(folder)!r}: not a Hugging Face model folder")
    if (folder / WEIGHTS).is_file() or (folder / f"{WEIGHTS}.index.json").is_file():
        return
    raise ModelError(*no_weights(folder, WEIGHTS), hint=CONVERT.format(folder=folder))


def read_any_config(folder: Path) -> Any:
    """The transformers config of any model; one that ``config_of`` refuses is refused."""
    config_of(folder)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises many kinds for a damaged file
        raise ModelError(f"config.json cannot be used: {first_line(error)}", where=str(folder)) from error


def read_config(folder: Path) -> Any:
    """The transformers config of a plain encoder."""
    config = read_any_config(folder)
    if getattr(config, "is_encoder_decoder", False) and config.model_type not in ENCODER_HALVES:
        raise ModelError(f"{config.model_type!r} is a text-to-text model, not an encoder", where=str(folder))
    return config


def _load(folder: Path, config: Any, dtype: torch.dtype) -> Any:
    cls = ENCODER_HALVES.get(config.model_type) or MODEL_MAPPING.get(type(config), None)
    if cls is None or isinstance(cls, tuple):
        raise ModelError(f"transformers has no plain encoder for {config.model_type!r}", where=str(folder))
    options: dict[str, Any] = {"attn_implementation": NAME} if execution_of(config).kind == "packed" else {}
    if "add_pooling_layer" in cls.__init__.__code__.co_varnames:
        options["add_pooling_layer"] = False
    try:
        transformer, report = (cls if config.model_type in ENCODER_HALVES else AutoModel).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # damaged header, another shape, a config that contradicts itself
        raise ModelError(f"the weights cannot be loaded: {first_line(error)}", where=str(folder)) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ModelError(
            f"{len(missing)} of the encoder's weights are missing, such as {', '.join(missing[:3])}",
            where=str(folder),
            hint="the folder's weights and its config.json are not of the same model, or the download is incomplete",
        )
    return transformer


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """The fast tokenizer of a folder, as ``AutoTokenizer`` configures it.

    Raises:
        ModelError: no tokenizer files (transformers would make up an empty vocabulary), or damaged ones.
    """
    folder = Path(folder)
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        raise ModelError(f"no tokenizer in {str(folder)!r}", hint=f"one of these is needed: {', '.join(_VOCABULARIES)}")
    refuse_tokenizer_code(folder)
    try:
        with quiet():
            found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if found.unk_token_id is None:
            raise ModelError("the tokenizer has no unknown token", where=str(folder / "tokenizer_config.json"))
        return Tokenizer(found.backend_tokenizer, unknown_id=found.unk_token_id, mask_id=found.mask_token_id)
    except ModelError:
        raise
    except (
        BaseException
    ) as error:  # tokenizers raises bare Exception for a damaged file, or panics, which is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"the tokenizer cannot be loaded: {first_line(error)}", where=str(folder)) from error


def override_dropout(config: Any, value: float | None, folder: Path) -> None:
    """Set the dropout of a config's hidden states; ``None`` leaves it."""
    _override(config, _HIDDEN_DROPOUT, value, folder)


def _override(config: Any, names: tuple[str, ...], value: float | None, folder: Path) -> None:
    if value is None:
        return
    for name in names:
        if hasattr(config, name):
            setattr(config, name, value)
            return
    raise ModelError(f"dropout {value} was asked for, but the config has none of {', '.join(names)}", where=str(folder))


def first_line(error: BaseException) -> str:
    """What an error of transformers says first."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """No load reports and no progress bars on stderr; the caller's settings come back afterwards."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers.logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
