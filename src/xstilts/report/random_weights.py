"""What a reader must know of a model that has learned nothing: its weights were drawn, so only its speed means anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xstilts.report.table import Table

RANDOM = "random"
"""The value of the field ``weights`` of such a model's rows."""


def random_models(payload: Mapping[str, Any]) -> Mapping[str, str]:
    """Model -> how its weights were drawn, of a recorded study."""
    found: Mapping[str, str] = payload.get(RANDOM, {})
    return found


def random_notes(payload: Mapping[str, Any], *models: str) -> tuple[str, ...]:
    """A line for each of these models (none named: of all) that has random weights."""
    found = random_models(payload)
    return tuple(
        f"RANDOM WEIGHTS: {model} was not pre-trained ({how}). Its scores say nothing of any published model; its speed "
        "and memory are those of the shape."
        for model, how in found.items()
        if not models or model in models
    )


def marked(table: Table, payload: Mapping[str, Any], model: str) -> Table:
    """The table of a model with random weights says so in its title and first note; any other one is as it was."""
    if model not in random_models(payload):
        return table
    return replace(table, title=f"{table.title} (random weights)", notes=(*random_notes(payload, model), *table.notes))
