"""Where a model's files lie and what identifies them: a folder, or a hub id at a pinned revision. No torch here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import ModelError, shown
from xstilts.graph.node import canonical, sha256_text
from xstilts.model_choice import ModelChoice
from xstilts.outside import read_object
from xstilts.shapes import RANDOM, longest_sequence

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "spm.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
"""Every file that decides how words are cut: part of a model's identity, downloaded and exported."""
IDENTITY_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)
"""What is downloaded of a model, and what its identity is made of."""
STREAMED_FAMILIES = ("bert", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl", "mt5", "t5")
"""Every ``model_type`` whose layers can be streamed from their files; of text-to-text models the encoder half."""


TEXT_TO_TEXT = ("t5", "mt5", "umt5")
"""Every ``model_type`` of a model that reads text and writes text."""
CONVERT = (
    'pickled weights can run code and are never read; convert them where you trust them: python -c "from transformers '
    "import AutoModel as M; M.from_pretrained('{folder}').save_pretrained('NEW_FOLDER')\""
)
"""What helps where a folder has no safetensors."""
_LAYERS = ("num_hidden_layers", "num_layers", "n_layers")
_MOST = {
    **dict.fromkeys((*_LAYERS, "num_decoder_layers", "decoder_layers", "encoder_layers"), 2**10),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_heads", "decoder_attention_heads"), 2**12),
    **dict.fromkeys(("hidden_size", "d_model", "dim", "d_kv", "head_dim", "embedding_size"), 2**17),
    **dict.fromkeys(("intermediate_size", "d_ff", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 2**20),
    **dict.fromkeys(
        ("vocab_size", "max_position_embeddings", "type_vocab_size", "relative_attention_num_buckets"), 2**24
    ),
}
"""The most that a size in config.json may be: many times that of any model, and little enough to be asked for."""
_MOST_TOKENIZER_BYTES = 2**28


@dataclass(frozen=True)
class ModelSource:
    """A model found on disk.

    Args:
        name: what the study calls it.
        folder: a Hugging Face folder.
        identity: sha-256 over the digests of its configuration, weights and tokenizer.
        family: ``model_type`` of its configuration.
        num_layers: transformer layers.
        note: shown under tables.
        revision: the commit on the hub; empty for a folder.
        random: how its weights were drawn, of one that has learned nothing; else empty.
        positions: sub-words of the longest sequence that it numbers; ``None`` where its configuration sets no limit.
    """

    name: str
    folder: Path
    identity: str
    family: str
    num_layers: int
    note: str = ""
    revision: str = ""
    random: str = ""
    positions: int | None = None


def find_model(name: str, choice: ModelChoice, digest: Callable[[Path], str]) -> ModelSource:
    """Find a study's model, downloading it from the hub if it is named by id (``HF_HUB_OFFLINE`` and ``HF_HOME`` hold)."""
    where = f"models.{name}"
    if choice.path is not None:
        folder = Path(choice.path)
    else:
        hint = f"check the id and the network, or use a folder: --model {name}=FOLDER"
        folder = hub_folder(str(choice.id), choice.revision, where=where, hint=hint)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"no config.json in {str(folder)!r}: not a Hugging Face model folder",
            where=where,
            hint=f"point it at one: --model {name}=FOLDER",
        )
    config = config_of(folder)
    refuse_tokenizer_code(folder)
    if not list(folder.glob("*.safetensors")):
        raise ModelError(*no_weights(folder, "*.safetensors"), where=where, hint=CONVERT.format(folder=folder))
    identity = identity_of(folder, digest)
    layers = next((config[field] for field in _LAYERS if isinstance(config.get(field), int)), None)
    if layers is None:
        raise ModelError(f"{folder / 'config.json'} does not say how many layers there are", where=where)
    revision = folder.name if choice.id is not None else ""  # the hub's cache names a snapshot by its commit
    random = _drawn(config)
    family = str(config.get("model_type"))
    return ModelSource(
        name, folder.resolve(), identity, family, layers, choice.note, revision, random, longest_of(config)
    )


def longest_of(config: Mapping[str, Any]) -> int | None:
    """Sub-words of the longest sequence that the model of a config.json numbers."""
    numbered, padding = config.get("max_position_embeddings"), config.get("pad_token_id")
    return longest_sequence(str(config.get("model_type")), numbered, padding if isinstance(padding, int) else None)


def no_weights(folder: Path, wanted: str) -> tuple[str]:
    """What to say of a folder without safetensors: pickled weights are named."""
    pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    return (f"no {wanted} in {str(folder)!r}" + (f", only {', '.join(pickled)}" if pickled else ""),)


def config_of(folder: Path) -> dict[str, Any]:
    """The content of a folder's config.json.

    Raises:
        ModelError: there is none, it is damaged, wants to run code of its own, or has sizes that no model has.
    """
    path = folder / "config.json"
    config = _object(path)
    _refuse_code(config, path)
    for field, most in _MOST.items():
        size = config.get(field)
        least = 0 if field in _LAYERS else 1  # an export of layer 0 is embeddings alone
        if size is not None and not (type(size) is int and least <= size <= most):
            rule = f"a whole number from {least} to {most:,}"
            raise ModelError(f"{field} is {shown(size)}; needed: {rule}", where=str(path))
    return config


def refuse_tokenizer_code(folder: Path) -> None:
    """Refuse a tokenizer that wants to run code of its own, or whose files are larger than any is.

    Raises:
        ModelError: that, or a damaged tokenizer_config.json.
    """
    for name in TOKENIZER_FILES:
        path = folder / name
        if path.exists() and (not path.is_file() or path.stat().st_size > _MOST_TOKENIZER_BYTES):
            what = f"more than {_MOST_TOKENIZER_BYTES:,} bytes" if path.is_file() else "no plain file"
            raise ModelError(f"this file of a tokenizer is {what}", where=str(path))
    if (folder / "tokenizer_config.json").is_file():
        _refuse_code(_object(folder / "tokenizer_config.json"), folder / "tokenizer_config.json")


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except FileNotFoundError:
        raise ModelError(f"no {path.name} in {str(path.parent)!r}: not a Hugging Face model folder") from None
    except json.JSONDecodeError as error:
        raise ModelError(f"{path.name} is damaged: {error}", where=f"{path}:{error.lineno}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}", where=str(path)) from None


def _refuse_code(said: dict[str, Any], path: Path) -> None:
    if "auto_map" in said:
        raise ModelError(
            f"this model wants to run Python code of its own (auto_map: {shown(said['auto_map'])}), which is never done",
            where=str(path),
            hint="if transformers has this architecture itself, a copy of the folder without auto_map loads",
        )


def leaves(path: Path) -> bool:
    """Whether a file of a model folder is a link to outside of it: what is copied from there could be anything.

    The hub's cache keeps the files of ``snapshots/COMMIT`` in ``blobs``.
    """
    home = path.parent.resolve()
    inside = [home, *([home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [])]
    return not any(path.resolve().is_relative_to(place) for place in inside)


def drawn_weights(folder: Path) -> str:
    """How the weights of a folder were drawn, of a model that has learned nothing; empty for any other, or no model."""
    try:
        return _drawn(read_object(folder / "config.json"))
    except (OSError, ValueError):
        return ""


def _drawn(config: Any) -> str:
    drawn = config.get(RANDOM) if isinstance(config, dict) else None
    return f"seed {drawn.get('seed')}" if isinstance(drawn, dict) else ""


def identity_of(folder: Path, digest: Callable[[Path], str]) -> str:
    """Sha-256 over the digests of a folder's configuration, weights and tokenizer; the place does not count."""
    files = sorted({p for pattern in IDENTITY_FILES for p in folder.glob(pattern) if p.is_file()})
    return sha256_text(canonical({p.name: digest(p) for p in files}))


def hub_folder(id: str, revision: str | None = None, *, where: str = "", hint: str) -> Path:
    """The folder of a model of the hub, downloaded where it is not in the cache (``HF_HUB_OFFLINE`` and ``HF_HOME`` hold).

    Raises:
        ModelError: the hub does not give it, or cannot be reached.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(id, revision=revision, allow_patterns=list(IDENTITY_FILES)))
    except Exception as error:  # the client's own, those of the library it speaks HTTP with, those of the disk
        raise ModelError(
            f"cannot get {id!r}{f' at {revision}' if revision else ''} from the hub: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=where,
            hint=hint,
        ) from None
