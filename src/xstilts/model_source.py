"""Where a model's files lie and what identifies them: a folder, or a hub id at a pinned revision. No torch here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import ModelError
from xstilts.graph.node import canonical, sha256_text
from xstilts.model_choice import ModelChoice
from xstilts.shapes import RANDOM

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
    """

    name: str
    folder: Path
    identity: str
    family: str
    num_layers: int
    note: str = ""
    revision: str = ""
    random: str = ""


def find_model(name: str, choice: ModelChoice, digest: Callable[[Path], str]) -> ModelSource:
    """Find a study's model, downloading it from the hub if it is named by id (``HF_HUB_OFFLINE`` and ``HF_HOME`` hold)."""
    folder = Path(choice.path) if choice.path is not None else _from_hub(name, choice)
    where = f"models.{name}"
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"no config.json in {str(folder)!r}: not a Hugging Face model folder",
            where=where,
            hint=f"point it at one: --model {name}=FOLDER",
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"config.json is damaged: {error}", where=f"{folder / 'config.json'}:{error.lineno}") from None
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(p.name for p in folder.glob("*.bin"))
        raise ModelError(
            f"no .safetensors weights in {str(folder)!r}" + (f", only {', '.join(pickled)}" if pickled else ""),
            where=where,
            hint="pickled weights can run code and are never read; convert them where you trust them: "
            "AutoModel.from_pretrained(OLD).save_pretrained(NEW)",
        )
    identity = identity_of(folder, digest)
    layers = config.get("num_hidden_layers") or config.get("num_layers") or config.get("n_layers")
    if not isinstance(layers, int):
        raise ModelError(f"{folder / 'config.json'} does not say how many layers there are", where=where)
    revision = folder.name if choice.id is not None else ""  # the hub's cache names a snapshot by its commit
    random = _drawn(config)
    family = str(config.get("model_type"))
    return ModelSource(name, folder.resolve(), identity, family, layers, choice.note, revision, random)


def drawn_weights(folder: Path) -> str:
    """How the weights of a folder were drawn, of a model that has learned nothing; empty for any other, or no model."""
    try:
        return _drawn(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ""


def _drawn(config: Any) -> str:
    drawn = config.get(RANDOM) if isinstance(config, dict) else None
    return f"seed {drawn.get('seed')}" if isinstance(drawn, dict) else ""


def identity_of(folder: Path, digest: Callable[[Path], str]) -> str:
    """Sha-256 over the digests of a folder's configuration, weights and tokenizer; the place does not count."""
    files = sorted({p for pattern in IDENTITY_FILES for p in folder.glob(pattern) if p.is_file()})
    return sha256_text(canonical({p.name: digest(p) for p in files}))


def _from_hub(name: str, choice: ModelChoice) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(choice.id), revision=choice.revision, allow_patterns=list(IDENTITY_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"cannot get {choice.id!r}{f' at {choice.revision}' if choice.revision else ''} from the hub: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=f"models.{name}",
            hint=f"check the id and the network, or use a folder: --model {name}=FOLDER",
        ) from None
