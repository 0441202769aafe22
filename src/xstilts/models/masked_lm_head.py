"""The masked-LM head of a model folder: taken from the checkpoint where it has one, else new; it is always said which.

A checkpoint of ``...ForMaskedLM`` keeps its head under its family's names. A bare encoder (multilingual E5, most fine-tuned
models) has none: what a new head says means nothing before it was trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from xstilts.errors import ModelError
from xstilts.models.description import DESCRIPTION, HEAD_WEIGHTS, head_names, read_description, translation
from xstilts.models.heads import MaskedLMHead
from xstilts.models.loading import WEIGHTS, quiet, read_config
from xstilts.outside import open_plain, read_object
from xstilts.task_types import Head

TAKEN = "taken from the model folder"
NEW = "new: the model folder has none"
UNTIED = "new: that of the model folder has an output layer of its own, not the embedding matrix"
_OLD_NAMES = {"weight": "gamma", "bias": "beta"}  # of LayerNorm, in BERT's first checkpoints


def masked_lm_shape(folder: Path) -> Head:
    """The head that a model needs for masked LM: one output for each row of its embedding matrix."""
    with quiet():
        return Head("masked_lm", int(read_config(folder).vocab_size))


def take_masked_lm_head(folder: Path, head: MaskedLMHead, config: Any) -> str:
    """Fill ``head`` with the masked-LM head of a folder, if there is one.

    Args:
        folder: of the model whose encoder is used.
        head: as it was made, with fresh weights; it stays so where the folder has no head.
        config: the encoder's transformers config.

    Returns:
        Where the weights come from, for the record: ``TAKEN``, ``NEW`` or ``UNTIED``.

    Raises:
        ModelError: the folder has a part of a head, one of another shape, or is damaged.
    """
    places = _places(folder, config)
    wanted = _names_there(folder, head, config)
    found = {ours: next((name for name in names if name in places), None) for ours, names in wanted.items()}
    if not any(found.values()):
        return NEW
    if not getattr(config, "tie_word_embeddings", True):
        return UNTIED
    missing = [names[0] for ours, names in wanted.items() if found[ours] is None]
    if missing:
        raise ModelError(f"the masked-LM head lacks {', '.join(missing)}", where=str(folder))
    try:
        head.load_state_dict({ours: _read(places[name], name) for ours, name in found.items() if name is not None})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"the masked-LM head cannot be loaded: {error}", where=str(folder)) from error
    return TAKEN


def _names_there(folder: Path, head: MaskedLMHead, config: Any) -> Mapping[str, tuple[str, ...]]:
    """Our name of each of the head's weights -> its names in a checkpoint of this family; the usual one first."""
    names = head_names(str(config.model_type), "masked_lm", Head("masked_lm", len(head.bias)))
    found = {}
    for ours, theirs in translation(head, names).items():
        module, _, weight = theirs.rpartition(".")
        others = [f"{module}.decoder.bias"] if ours == "bias" and names else []
        others += [f"{module}.{_OLD_NAMES[weight]}"] if ours.startswith("norm.") else []
        found[ours] = (theirs, *others)
    return found


def _places(folder: Path, config: Any) -> dict[str, Path]:
    """Name of each weight in the folder -> its file; of a family without names for this head only our own head's file."""
    files = list(_files(folder))
    if head_names(str(config.model_type), "masked_lm", Head("masked_lm", 1)) is None:
        files = [folder / HEAD_WEIGHTS] if _is_our_masked_lm(folder) else []
    places: dict[str, Path] = {}
    for file in files:
        try:
            open_plain(file).close()  # the library would wait for whoever writes into a pipe
            with safe_open(file, framework="pt") as weights:
                places |= dict.fromkeys(weights.keys(), file)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"the weights cannot be read: {error}", where=str(file)) from error
    return places


def _files(folder: Path) -> Iterator[Path]:
    """The weight files of a folder: one, or those of its index."""
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file() or not index.is_file():
        yield folder / WEIGHTS
        return
    try:
        names = set(read_object(index)["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"the index of the weights is damaged: {error}", where=str(index)) from error
    yield from (folder / Path(name).name for name in sorted(names))  # beside the index, wherever a name points


def _is_our_masked_lm(folder: Path) -> bool:
    if not (folder / DESCRIPTION).is_file():
        return False
    description = read_description(folder)
    shape = description.head
    return shape is not None and shape.kind == "masked_lm" and description.head_file == HEAD_WEIGHTS


def _read(file: Path, name: str) -> Any:
    with safe_open(file, framework="pt") as weights:
        return weights.get_tensor(name)
