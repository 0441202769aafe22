"""The memory plan for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xstilts.report.grid import NOTHING, Grid, without_empty

HELD = ("weights", "gradients", "optimizer", "activations", "logits", "best weights", "embedding matrix")
NOTES = (
    "GiB of a process's own memory at its fullest moment. Mapped: weights used where they lie in their file; they count when "
    "it is asked what fits, for a model that is read anew for every batch is no way to compute.",
    "Rest: the process, its tokenizer and rows, CUDA's context. Host: what a process on a GPU holds beside it.",
    "Sequences are counted at their greatest length: real rows are shorter and take less. Where a step is one micro-batch, "
    "its activations go as its gradients come, and the larger of both is shown.",
)


def memory_grids(plan: Mapping[str, Any]) -> Iterator[Grid]:
    """Every kind of node on every device, then what each way of running the fullest would take."""
    free = plan["free_gib"]
    rows = [
        (of["node"], str(of["nodes"]), of["device"], *_numbers(of), _verdict(of, free[of["device"]]))
        for of in plan["nodes"]
    ]
    columns = (*(f"{name}" for name in HELD), "rest", "own", "mapped", "host", "fullest at")
    words = frozenset({"device", "fullest at", "fits"})
    title = f"Memory, at most {plan['micro_batch_tokens']:,} sub-words a pass"
    yield without_empty(Grid(title, ("node", "nodes", "device", *columns, "fits"), tuple(rows), NOTES, words))
    changes = {(of["node"], of["device"]): of["changes"] for of in plan["nodes"] if of["fits"] is False}
    if changes:
        told = [(node, device, change) for (node, device), of in changes.items() for change in of or [NOTHING]]
        columns = ("node", "device", "the cheapest change that fits")
        yield Grid("What does not fit", columns, tuple(told), (), frozenset(columns))
    ways = [(of["node"], of["device"], of["way"], *_numbers(of), of["note"] or NOTHING) for of in plan["ways"]]
    shown = (
        "node",
        "device",
        "way",
        *(f"{name}" for name in HELD),
        "rest",
        "own",
        "mapped",
        "host",
        "fullest at",
        "note",
    )
    yield without_empty(
        Grid("Ways to run the fullest node of each model", shown, tuple(ways), (), words | {"way", "note"})
    )


def _numbers(of: Mapping[str, Any]) -> tuple[str, ...]:
    parts = of["parts_gib"]
    rest = sum(size for name, size in parts.items() if name not in HELD)
    found = [*(parts.get(name, 0.0) for name in HELD), rest, of["gib"], of["mapped_gib"], of["host_gib"]]
    return (*(f"{size:.1f}" if size >= 0.05 else NOTHING for size in found), of["moment"])


def _verdict(of: Mapping[str, Any], free: float | None) -> str:
    if of["fits"] is None:
        return "not known: the device cannot be asked"
    return f"{'yes' if of['fits'] else 'NO'} ({free:.1f} free)"
