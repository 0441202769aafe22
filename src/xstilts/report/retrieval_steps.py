"""Retrieval by layer, at the end of every arm and on the way through its intermediate training.

An arm's kept encoders stand between the baseline arm (no step yet) and the arm's own model, read as ``retrieval_layers``
reads arms. If the score at the best layer rises from step to step, training helped; if only the best layer changes, it moved.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from xstilts.graph.store import Store
from xstilts.report.grid import Grid
from xstilts.report.random_weights import random_notes
from xstilts.report.results import checkpoint_rows, result_rows
from xstilts.report.retrieval_layers import Layers, Row, layer_grids, layers_json, layers_of

AT = "at"
"""Where a finished training has the encoders that it kept, in folders named by their step."""
FIRST_AND_LAST = (
    "The first line is the baseline arm, the last the arm's own model; what stands between was kept on the way."
)


@dataclass(frozen=True)
class Moment:
    """One point of an arm's intermediate training.

    Args:
        name: what people read: its steps, and whose model it is where it is an arm's own.
        checkpoint: number of the kept encoder; ``None`` for an arm's own model.
        step: updates of the encoder; ``None`` where the seeds differ.
    """

    name: str
    checkpoint: int | None
    step: int | None


@dataclass(frozen=True)
class Way:
    """One arm's retrieval from moment to moment: ``layers`` has the names of ``moments`` where it has arms elsewhere."""

    arm: str
    moments: Mapping[str, Moment]
    layers: Layers


def study_grids(store: Store, name: str, payload: Mapping[str, Any]) -> list[Grid]:
    """The tables of ``retrieval_layers``, and the same for every arm from moment to moment, at the study's own pooling."""
    own, kept = _rows(store, name, payload)
    pooling = payload["study"]["retrieval"]["pooling"]
    grids = [*layer_grids(layers_of(own, payload["study"]), pooling), *way_grids(ways_of(own, kept, payload), pooling)]
    return [replace(grid, notes=(*random_notes(payload), *grid.notes)) for grid in grids]


def study_rows(store: Store, name: str, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same, one row a number: ``step`` counts intermediate training, ``checkpoint`` the encoders kept."""
    own, kept = _rows(store, name, payload)
    steps = {place: _one(_steps(rows)) for place, rows in _by_arm(own).items()}
    rows = layers_json(layers_of(own, payload["study"]))
    arms = [row | {"step": steps[row["model"], row["arm"]], "checkpoint": None} for row in rows]
    return [*arms, *ways_json(ways_of(own, kept, payload))]


def ways_of(own: Sequence[Row], kept: Sequence[Row], payload: Mapping[str, Any]) -> list[Way]:
    """Every arm that kept encoders, model by model.

    Args:
        own: result rows of a study's arms, with the ``step`` of the model behind each.
        kept: those of the encoders kept on the way, with ``step`` and ``checkpoint``.
        payload: what the store recorded of the study.
    """
    study = payload["study"]
    baseline = next((arm for arm, of in study["arms"].items() if of["intermediate"] is None), None)
    of_arm, of_kept = _by_arm(own), _by_arm(kept)
    found: list[Way] = []
    for model, arm in product(study["models"], study["arms"]):
        numbered: dict[int, list[Row]] = defaultdict(list)
        for row in of_kept.get((model, arm), ()):
            numbered[row["checkpoint"]].append(row)
        groups: list[tuple[str | None, int | None, list[Row]]] = [
            (baseline, None, of_arm.get((model, str(baseline)), []))
        ]
        groups += [(None, number, numbered[number]) for number in sorted(numbered)]
        groups += [(arm, None, of_arm.get((model, arm), []))]
        moments = {_moment(*group): group[2] for group in groups if group[2]}
        found += _ways(arm, moments, study) if numbered else []
    return found


def way_grids(found: Sequence[Way], pooling: str) -> Iterator[Grid]:
    """Two tables each: the three readings by moment, and the score at every layer by moment."""
    for way in found:
        readings, curve = layer_grids([way.layers], pooling)
        title = f"{way.layers.model}, {way.layers.target} {way.layers.split}, arm {way.arm} by steps"
        columns = ("steps", *readings.columns[1:])
        notes = (*readings.notes, FIRST_AND_LAST)
        yield replace(readings, title=f"{title}: which layer", columns=columns, notes=notes)
        yield replace(curve, title=f"{title}: score by layer, pooling {pooling}")


def ways_json(found: Sequence[Way]) -> Iterator[dict[str, Any]]:
    """One row a number of the kept encoders; the arms' own are told elsewhere."""
    for way in found:
        for row in layers_json([way.layers]):
            moment = way.moments[row["arm"]]
            if moment.checkpoint is not None:
                yield row | {"arm": way.arm, "step": moment.step, "checkpoint": moment.checkpoint}


def _ways(arm: str, moments: Mapping[Moment, Sequence[Row]], study: Mapping[str, Any]) -> Iterator[Way]:
    arms = {moment.name: {"intermediate": arm if moment.step != 0 else None} for moment in moments}
    rows = [{**row, "arm": moment.name} for moment, found in moments.items() for row in found]
    named = {moment.name: moment for moment in moments}
    for layers in layers_of(rows, {**study, "arms": arms}):
        if any(named[name].checkpoint is not None for name in layers.readings):
            yield Way(arm, named, layers)


def _moment(arm: str | None, checkpoint: int | None, rows: Sequence[Row]) -> Moment:
    steps = _steps(rows)
    return Moment(", ".join(map(str, steps)) + (f" ({arm})" if arm else ""), checkpoint, _one(steps))


def _rows(store: Store, name: str, payload: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    """The rows of the arms and of the kept encoders that have a score of retrieval, each with its step."""
    nodes = {node["key"]: node for node in payload["nodes"]}
    steps: dict[str, int] = {}
    found: list[list[Row]] = []
    for rows in (result_rows(store, name), checkpoint_rows(store, payload)):
        scored = [row for row in rows if row["layer"] is not None and row["value"] is not None]
        for row in scored:
            if row["key"] not in steps:
                steps[row["key"]] = _step(store, nodes, row)
        found.append([row | {"step": steps[row["key"]]} for row in scored])
    return found[0], found[1]


def _step(store: Store, nodes: Mapping[str, Mapping[str, Any]], row: Row) -> int:
    """Updates of intermediate training that the encoder behind a row has had."""
    retrieved = nodes[nodes[row["key"]]["parents"]["predictions"]]
    trained = nodes.get(retrieved["parents"].get("model", ""))
    if trained is None or trained["kind"] not in ("train", "mix"):
        return 0
    folder = store.path(trained["key"])
    if number := row.get("checkpoint"):
        return sorted(int(kept.name) for kept in (folder / AT).iterdir())[int(number) - 1]
    summary = json.loads((folder / "training.json").read_text(encoding="utf-8"))["training"]
    return int(summary["best_step"])


def _by_arm(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["model"], row["arm"]].append(row)
    return found


def _steps(rows: Sequence[Row]) -> list[int]:
    return sorted({row["step"] for row in rows})


def _one(steps: Sequence[int]) -> int | None:
    return steps[0] if len(steps) == 1 else None
