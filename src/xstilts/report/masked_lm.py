"""What a reader must know of arms with masked LM: whether the head that learned was the model's own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from xstilts.graph.store import Store

MASKED_LM = "masked_lm"


def masked_lm_notes(store: Store, payload: Mapping[str, Any], model: str) -> Iterator[str]:
    """A line for each kind of masked-LM head that the model's arms began with, from the finished trainings' own records."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for node in payload["nodes"]:
        learned = node["kind"] == "mix" and MASKED_LM in node["spec"]["parts"]
        if learned and node["labels"]["model"] == model and store.has(node["key"]):
            record = json.loads((store.path(node["key"]) / "training.json").read_text(encoding="utf-8"))
            found[record["tasks"][MASKED_LM]["head"]][node["labels"]["arm"]] = None
    for head, arms in found.items():
        many = len(arms) > 1
        yield f"Masked LM in arm{'s' * many} {', '.join(arms)}: the head that learned was {head}."
