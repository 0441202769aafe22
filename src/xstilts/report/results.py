"""Every number of a store as one row, with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.errors import MissingNameError
from xstilts.graph.node import Graph, Node
from xstilts.graph.status import status
from xstilts.graph.store import Store
from xstilts.report.random_weights import RANDOM, random_models
from xstilts.report.sources import source_of

FIELDS = (
    "model",
    "arm",
    "target",
    "language",
    "split",
    "seed",
    "retry",
    "metric",
    "value",
    "count",
    "source",
    "layer",
    "pooling",
    "selection",
    "variant",
    "unit",
    "status",
    "weights",
    "key",
)
"""The fields of a row, always all of them; ``None`` where one does not apply."""
Guesses = Mapping[tuple[str, str], Mapping[str, float]]
"""(target, split) -> language -> what guessing scores; of scores made before this was kept there is none."""


@dataclass(frozen=True)
class Results:
    """What a store holds of one study, read once: tables, comparisons and pages are made of this.

    Attributes:
        name: of the study in the store.
        payload: what was planned (``Store.save_study``).
        nodes: key -> node.
        rows: one for each number, as ``result_rows`` gives them.
        main: those of ``rows`` that count for a task's main score, layer chosen by the declared rule.
        guesses: what guessing scores.
    """

    name: str
    payload: Mapping[str, Any]
    nodes: Mapping[str, Node]
    rows: list[dict[str, Any]]
    main: list[dict[str, Any]]
    guesses: Guesses

    @property
    def study(self) -> Mapping[str, Any]:
        """The study, as the store records it."""
        of: Mapping[str, Any] = self.payload["study"]
        return of


def study_results(store: Store, study: str) -> Results:
    """Read every number of a study.

    Raises:
        MissingNameError: no such study.
        StoreError: a score node is not what was committed; it names the node.
    """
    payload = _planned(store, study)[study]
    nodes = _nodes(payload)
    other = ("curve", "fixed_layer", "best_on_dev", "best_on_test")
    marked = list(_marked_rows(store, payload, nodes, payload["cells"]))
    rows = [row for row, _ in marked]
    main = [row for row, counts in marked if counts and row["selection"] not in other]
    return Results(study, payload, nodes, rows, main, _guesses(store, payload))


def result_rows(store: Store, study: str | None = None) -> list[dict[str, Any]]:
    """One row per number of one study, or of every study the store knows.

    A place of the table that has no score yet is one row without a metric whose status says why.

    Raises:
        MissingNameError: no such study.
        StoreError: a score node is not what was committed; it names the node.
    """
    return [row for name in _planned(store, study) for row in study_results(store, name).rows]


def checkpoint_rows(store: Store, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the encoders that the study's intermediate trainings kept on the way; ``checkpoint`` is their number.

    They are no places of the table: ``Results`` does not have them.
    """
    cells = payload.get("checkpoints", [])
    numbers = {cell["key"]: cell["number"] for cell in cells}
    marked = _marked_rows(store, payload, _nodes(payload), cells)
    return [row | {"checkpoint": numbers[row["key"]]} for row, _ in marked]


def _planned(store: Store, study: str | None) -> dict[str, dict[str, Any]]:
    """Name -> record of one study, or of all."""
    studies = store.studies()
    if study is not None and study not in studies:
        raise MissingNameError("study", study, list(studies), where=str(store.root))
    return {name: payload for name, payload in studies.items() if study in (None, name)}


def _nodes(payload: Mapping[str, Any]) -> dict[str, Node]:
    return {record["key"]: Node.from_json(record) for record in payload["nodes"]}


def _guesses(store: Store, payload: Mapping[str, Any]) -> Guesses:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for cell in payload["cells"]:
        at = cell["target"], cell["split"]
        if at not in found and (file := store.path(cell["key"]) / "chance.json").is_file():
            found[at] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _marked_rows(
    store: Store, payload: Mapping[str, Any], nodes: Mapping[str, Node], cells: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[dict[str, Any], bool]]:
    unfinished = [c["key"] for c in cells if not store.has(c["key"])]
    states = status(Graph(payload["study"]["name"], tuple(nodes.values())), store) if unfinished else {}
    for cell in cells:
        retrieved = _retrieved(payload, cell["target"])
        common = {
            "model": cell["model"],
            "arm": cell["arm"],
            "target": cell["target"],
            "split": cell["split"],
            "seed": cell["seed"],
            "retry": None if retrieved else cell.get("retry", 0),
            "source": source_of(payload["study"], cell["arm"], retrieved=retrieved),
            "variant": None,
            "weights": RANDOM if cell["model"] in random_models(payload) else None,
            "key": cell["key"],
        }
        if not store.has(cell["key"]):
            yield _ordered(common | {"status": states[cell["key"]]}), False
            continue
        kept = _checkpoint_selection(nodes, cell["key"])
        store.verify_once(cell["key"])
        scores = json.loads((store.path(cell["key"]) / "scores.json").read_text(encoding="utf-8"))
        for score in scores:
            main = score.pop("main")
            row = common | score | {"unit": "points" if score["metric"] else None}
            row["selection"] = score["selection"] or kept
            yield _ordered(row), main


def _retrieved(payload: Mapping[str, Any], target: str) -> bool:
    return bool(payload.get("targets", {}).get(target, {}).get("group") == "retrieval")


def _checkpoint_selection(nodes: Mapping[str, Node], key: str) -> str | None:
    """``dev`` or ``last``: how the fine-tuned checkpoint was chosen; ``None`` where nothing is fine-tuned."""
    predict = nodes[nodes[key].parents["predictions"]]
    predict = nodes.get(predict.parents.get("raw", ""), predict)
    tuned = nodes.get(predict.parents.get("model", ""))
    if predict.kind not in ("predict", "generate") or tuned is None:
        return None
    return str(tuned.spec["training"]["selection"])


def _ordered(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in FIELDS}
