"""The licence line of a model card: what the base model and the training rows allow, or ``other`` with the reasons.

This is a reading of what datasets declare, not advice. Only rows that weights were trained on count here; what was only
scored on is listed in the card, and changes no weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import ModelError
from xstilts.outside import read_bytes
from xstilts.report.data_used import DataUsed
from xstilts.yaml_file import parse_yaml

PERMISSIVE = frozenset({"MIT", "Apache-2.0", "CC BY 3.0", "CC BY 4.0", "ours"})
"""Licences of rows that ask for no more than attribution, as tasks write them."""


@dataclass(frozen=True)
class Licence:
    """The card's licence: an identifier of the hub, and why it is ``other`` where it is."""

    name: str
    reasons: tuple[str, ...] = ()


def licence_of(used: Iterable[DataUsed], choice: Mapping[str, Any]) -> Licence:
    """The licence of a model.

    Args:
        used: what it was trained on, among others.
        choice: what its study says of the base model; empty where nobody knows it.
    """
    trained = [of for of in used if of.trained]
    base, reasons = None, []
    if choice.get("pretrain") is None:
        base = _declared(choice.get("path"))
        if base is None:
            reasons.append("the licence of the base model is not known here: its folder declares none")
    if any(of.own for of in trained):
        reasons.append("it was trained on rows of the study's own: whoever owns those chooses")
    reasons += [
        f"it was trained on {of.title}, whose licence is: {of.licence}"
        for of in trained
        if not of.own and of.licence not in PERMISSIVE
    ]
    if base is None and not reasons:
        reasons.append("it was made from scratch: whoever made it chooses")
    return Licence("other", tuple(reasons)) if reasons or base is None else Licence(base)


def _declared(folder: str | None) -> str | None:
    """``license`` in the card of a model folder; ``None`` where there is no card or it does not say."""
    if folder is None:
        return None
    try:
        text = read_bytes(Path(folder) / "README.md").decode()
        head = parse_yaml(text.split("---", 2)[1], "README.md", ModelError) if text.startswith("---") else None
    except (OSError, UnicodeDecodeError, ModelError, IndexError):
        return None
    found = head.get("license") if isinstance(head, dict) else None
    return found if isinstance(found, str) and found else None
