"""A model as a Hugging Face folder outside the store: its files as they are, with a card."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.errors import ModelError, shown
from xstilts.exporting.card import code
from xstilts.exporting.card_files import Exported, exported, write_card
from xstilts.exporting.lineage import Lineage, lineage
from xstilts.exporting.whole import whole_folder
from xstilts.model_source import IDENTITY_FILES, config_of, leaves
from xstilts.outside import read_object

DESCRIPTION = "xstilts.json"
NOTICES = ("LICENSE*", "NOTICE*")
COPIED = (*IDENTITY_FILES, *NOTICES, DESCRIPTION)
"""Configuration, safetensors weights, tokenizer, notices, our description. No pickle, no code."""
USES = {
    "classification": "labels a text or a pair of texts",
    "multiple_choice": "picks one of several answers or endings",
    "tagging": "tags the words of a sentence; a word's tag is read at its first sub-word",
    "span": "finds the answer to a question in a context; its two outputs are the answer's start and end",
    "masked_lm": "fills masked sub-words, and is an encoder to start other trainings from",
    "retrieval": "is an encoder without a trained head, to embed texts or to start other trainings from",
}

INTENDED = (
    "**Intended use**: research on zero-shot cross-lingual transfer, which is to use in many languages what was learned in "
    "one. Not for decisions about people without a check on one's own data."
)


def export_transformers(folder: Path, to: Path) -> Exported:
    """Copy a model folder to ``to``, whole or not at all, with a card that says all that the store knows of it.

    Args:
        folder: a Hugging Face folder with safetensors weights, of a store's node or of anywhere.
        to: a new folder.

    Raises:
        ModelError: no safetensors weights, or a damaged description.
        StoreError: ``to`` is there already or cannot be written; the node is damaged.
    """
    with whole_folder(to) as out:
        known, said, name = lineage(folder), describe(folder), to.absolute().name
        copy_model(folder, out)
        shape = said["type"] if said.get("head") else "retrieval"
        notes = write_card(
            out,
            known,
            name=name,
            shape=shape,
            library="transformers",
            load=_load_lines(folder, name),
            about=(_what(said, shape, known), _how(said, shape, name)),
        )
    return exported(to, notes)


def describe(folder: Path) -> Mapping[str, Any]:
    """What xstilts.json says; empty for a folder that xstilts did not write.

    Raises:
        ModelError: it is damaged.
    """
    if not (folder / DESCRIPTION).is_file():
        return {}
    from xstilts.models.description import read_description

    head = read_description(folder).head  # refuses what cannot be
    said = read_object(folder / DESCRIPTION)
    if head is not None and said["type"] not in USES:
        what = f"a head for {shown(said['type'])}; known: {', '.join(USES)}"
        raise ModelError(what, where=str(folder / DESCRIPTION))
    return said


def copy_model(folder: Path, out: Path) -> None:
    """Copy what makes a model; links inside of the folder (or of a hub cache) are followed.

    Raises:
        ModelError: no safetensors weights; a link to outside.
    """
    if not any(folder.glob("*.safetensors")):
        raise ModelError("no .safetensors weights: pickled ones are never exported", where=str(folder))
    _copy(folder, out, COPIED)


def copy_notices(folder: Path, out: Path) -> None:
    """Copy licences and notices that are not there yet."""
    _copy(folder, out, NOTICES)


def _copy(folder: Path, out: Path, patterns: tuple[str, ...]) -> None:
    for path in own_files(folder, patterns):
        shutil.copyfile(path, out / path.name)


def own_files(folder: Path, patterns: tuple[str, ...] = COPIED) -> list[Path]:
    """The files of a model that may be given away.

    Raises:
        ModelError: one is a link to outside.
    """
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    for path in filter(leaves, found):
        raise ModelError(
            f"a link out of its folder, to {path.resolve()}: what lies there is not given away",
            where=str(path),
            hint="if it belongs to the model, put the file itself in its place (cp -L)",
        )
    return found


def _load_lines(folder: Path, name: str) -> str:
    """The lines that load it with plain transformers."""
    head = re.search(r"For[A-Z]\w*", str(config_of(folder).get("architectures")))
    model = f"AutoModel{head.group() if head else ''}"
    return (
        f"from transformers import {model}, AutoTokenizer\n\n"
        f'model = {model}.from_pretrained("{name}")\ntokenizer = AutoTokenizer.from_pretrained("{name}")'
    )


def _what(said: Mapping[str, Any], shape: str, known: Lineage | None) -> str:
    """What it is and is for."""
    start = f" from {code(known.labels['model'])}" if known and known.labels.get("model") else ""
    made = f"It was trained{start} on {code(said['task'])}. " if said.get("task") else ""
    return f"This model {USES[shape]}. {made}{INTENDED}"


def _how(said: Mapping[str, Any], shape: str, name: str) -> str:
    if said.get("note"):
        return f"Its head is not one that transformers knows: `xstilts predict {name} FILE` uses it."
    labels = said["head"]["labels"] if said.get("head") else []
    outputs = (
        f"Outputs, in order: {', '.join(code(label) for label in labels)}. " if labels and len(labels) <= 60 else ""
    )
    verb = "embed" if shape in ("retrieval", "masked_lm") else "predict"
    return f"{outputs}`xstilts {verb} {name} FILE` runs it on a file of your own text."
