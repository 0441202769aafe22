"""A finished study in which everything that a user names is hostile: markup, endless words, text that runs from the right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timed_world
from xstilts.graph.store import Store

SCRIPT = "<script>window.hurt = 1</script>"
IMAGE = '"><img src=x onerror="window.hurt=2">'
LONG = "W" * 400
RIGHT_TO_LEFT = "\u202eذراع التجربة\u2066"
CODE = "{{ 7 * 7 }}{% raw %}</style></svg></title><b>"


def hostile_store(root: Path) -> Store:
    """The study of ``timed_world`` with other names; what its nodes left stays as it was but for the predictions."""
    made = timed_world.world(root)
    payload: dict[str, Any] = {
        "study": json.loads(json.dumps(timed_world.STUDY)),
        "nodes": [node.as_json() for node in made.nodes.values()],
        "cells": [dict(cell) for cell in made.cells],
        "measurements": [],
        "targets": {"xnli": {"group": "classification", "languages": ["en", "de"]}},
    }
    study = payload["study"]
    study |= {"title": SCRIPT, "seeds": [1], "targets": [SCRIPT, "tatoeba"], "notes": {"any": IMAGE}}
    study["own_languages"] = {
        "de": {"name": IMAGE, "family": SCRIPT, "script": LONG, "distance": 1.0},
        "en": {"name": RIGHT_TO_LEFT, "family": SCRIPT, "script": "Latn", "distance": 0.0},
    }
    study["models"] = {LONG: {"note": SCRIPT}, RIGHT_TO_LEFT: {"note": CODE}}
    study["arms"] = {
        CODE: {"intermediate": None},
        IMAGE: {"intermediate": "mnli"},
        RIGHT_TO_LEFT: {"intermediate": "qqp"},
    }
    payload["targets"] = {SCRIPT: {"group": "classification", "languages": ["en", "de"]}}
    names = {"none": CODE, "nli": IMAGE, "big": LONG, "half": RIGHT_TO_LEFT, "xnli": SCRIPT}
    for cell in payload["cells"]:
        cell |= {field: names.get(cell[field], cell[field]) for field in ("arm", "model", "target")}
    for node in payload["nodes"]:
        node["labels"] = {field: names.get(value, value) for field, value in node["labels"].items()}
    made.store.save_study("hostile", payload)
    return Store(made.store.root)
