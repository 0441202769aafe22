"""Trainings that are begun anew, where the study declares it: new nodes that name the ones they replace.

A fine-tuning that collapsed gets another seed. Only the dev score in the language an arm is fine-tuned in decides; no test
score is ever read. A training whose loss became no number is done again in float32. What is begun anew follows from the
study, the finished nodes and the failures of the store alone, so the same command finds the same nodes again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xstilts.chance import LEAST_ROWS
from xstilts.errors import NotFiniteError
from xstilts.graph.damage import DamagedNodeError
from xstilts.graph.node import Graph, Node, sha256_text
from xstilts.graph.store import Store
from xstilts.plan.plan import Cell, Plan
from xstilts.study import Retries
from xstilts.tasks import load

if TYPE_CHECKING:
    from xstilts.graph.run import Summary

COLLAPSED = frozenset({"chance", "collapsed"})
"""The statuses of a score after which a fine-tuning is begun anew."""
Compute = Callable[[Graph, set[str]], "Summary"]
"""Finishes the wanted nodes of a graph."""


def retry_seed(seed: int, retry: int) -> int:
    """The seed of the ``retry``-th new beginning of a fine-tuning of the study's ``seed``: the same for every arm."""
    return int(sha256_text(f"seed {seed} retry {retry}")[:7], 16)


def with_retries(plan: Plan, store: Store) -> Plan:
    """The plan with every new beginning that the finished nodes of the store call for.

    The nodes of a collapsed attempt stay in the graph; the cells are the last attempt's, and measurements are of it.
    """
    if plan.study.retries.float32:
        plan = _in_float32(plan, store)
    most = plan.study.retries.collapsed
    if not most:
        return plan
    unjudged: dict[str, None] = {}
    for place in dict.fromkeys(_place(cell) for cell in plan.cells):
        if load(place[2]).trains_on is None:
            continue
        while True:
            cells = [cell for cell in plan.cells if _place(cell) == place]
            status, reason = _dev_status(plan, cells, store)
            if reason:
                unjudged[f"{place[2]} ({reason})"] = None
            if status not in COLLAPSED or cells[0].retry >= most:
                break
            plan = _begun_anew(plan, cells)
    return replace(plan, unjudged=tuple(unjudged))


def run_with_retries(plan: Plan, store: Store, compute: Compute) -> tuple[Plan, Summary]:
    """Record a study and finish its cells, then those of what is begun anew, round by round, then its measurements.

    Returns:
        the plan with all that was begun anew, and how the rounds ended, as one.
    """
    store.save_study(plan.study.name, plan.payload())
    if plan.study.retries == Retries():
        return plan, compute(plan.graph, plan.wanted)
    asked = {cell.key for cell in plan.cells}
    summary = compute(plan.graph, asked)
    while True:
        plan = with_retries(plan, store)
        store.save_study(plan.study.name, plan.payload())
        fresh = {cell.key for cell in plan.cells} - asked
        if not fresh:
            break
        asked |= fresh
        summary = summary.then(compute(plan.graph, fresh))
    measured = {each.key for each in plan.measured}
    # Within a run nothing is tried twice: what needs a failed node is blocked here, as in a run without retries.
    blocked = {key: why for key, why in _blocked(plan.graph, summary).items() if key in measured}
    summary = replace(summary, blocked=summary.blocked | blocked)
    if measured - blocked.keys():
        summary = summary.then(compute(plan.graph, measured - blocked.keys()))
    return plan, _without_replaced(plan, summary)


def _without_replaced(plan: Plan, summary: Summary) -> Summary:
    """The summary without what failed and has another node in its place: what was asked for is what counts."""
    here = plan.graph.by_key.keys()
    return replace(
        summary,
        failed={key: why for key, why in summary.failed.items() if key in here},
        blocked={key: why for key, why in summary.blocked.items() if key in here},
    )


def retries_declared(plan: Plan) -> dict[str, Any]:
    """What a study declares about retries, what of it has come true so far, and where it cannot."""
    begun = [n.title for n in plan.graph if "retry_of" in n.spec]
    declared = plan.study.retries
    return {
        "collapsed": declared.collapsed,
        "float32": declared.float32,
        "begun": begun,
        "unjudged": list(plan.unjudged),
    }


def _place(cell: Cell) -> tuple[str, str, str, int]:
    return cell.model, cell.arm, cell.target, cell.seed


def _dev_status(plan: Plan, cells: Iterable[Cell], store: Store) -> tuple[str, str]:
    """The status of the dev score in the language that an arm is fine-tuned in, and why there is none to judge by.

    Both are empty where the score is not there yet, or is damaged.
    """
    dev = next((cell for cell in cells if cell.split == "dev"), None)
    if dev is None:
        return "", "no dev score in this study"
    source = plan.study.source_of(dev.arm, "target")
    if source not in plan.graph.by_key[dev.key].spec["languages"]:
        return "", f"no dev score in {source}"
    if not store.has(dev.key):
        return "", ""
    try:
        store.verify_once(dev.key)
    except DamagedNodeError:
        return "", ""  # a run makes it again and looks then
    scores = json.loads((store.path(dev.key) / "scores.json").read_text(encoding="utf-8"))
    row = next(row for row in scores if row["language"] == source)
    if row["status"] == "no_gold":
        return "", f"no dev gold in {source}"
    if row["count"] < LEAST_ROWS:
        return "", f"{row['count']} dev rows in {source}, fewer than {LEAST_ROWS}"
    return row["status"], ""


def _begun_anew(plan: Plan, cells: list[Cell]) -> Plan:
    """The plan with the training behind ``cells`` done again, and all that follows from it.

    Scores of the collapsed attempt stay beside the new ones; a measurement of it is replaced.
    """
    retry, nodes = cells[0].retry + 1, plan.graph.by_key
    predictions = nodes[nodes[cells[0].key].parents["predictions"]]
    if "raw" in predictions.parents:  # parsed from what a text-to-text model wrote
        predictions = nodes[predictions.parents["raw"]]
    failed = nodes[predictions.parents["model"]]
    spec = {**failed.spec, "seed": retry_seed(cells[0].seed, retry), "retry_of": failed.key}
    plan, instead = _in_place_of(plan, failed, spec, retry, stays=True)
    new = set(instead.values())
    return replace(plan, cells=tuple(replace(c, retry=retry) if c.key in new else c for c in plan.cells))


def _in_float32(plan: Plan, store: Store) -> Plan:
    """The plan with every training whose numbers failed it done again in float32, and all that follows from it.

    What failed is in the plan no more; the new training's spec names it.
    """
    while failed := next((node for node in plan.graph if _overflowed(node, store)), None):
        spec = {**failed.spec, "precision": "fp32", "retry_of": failed.key}
        plan, _ = _in_place_of(plan, failed, spec, "fp32", stays=False)
    return plan


def _overflowed(node: Node, store: Store) -> bool:
    if node.spec.get("precision") in (None, "fp32") or store.has(node.key):
        return False
    return (store.failure(node.key) or {}).get("type") == NotFiniteError.__name__


def _in_place_of(
    plan: Plan, failed: Node, spec: Mapping[str, Any], retry: int | str, *, stays: bool
) -> tuple[Plan, dict[str, str]]:
    """The plan with a training of ``spec`` and what follows from it, and key -> key of what is in whose place.

    Args:
        plan: as it is.
        failed: the training that is done again.
        spec: of the new one.
        retry: how people tell it from the first.
        stays: whether the failed one, and its scores, stay in the graph beside the new ones.
    """
    again = Node(failed.kind, spec, failed.parents, {**failed.labels, "retry": retry})
    instead = {failed.key: again.key}
    found: dict[str, Node] = {}
    for node in plan.graph:
        if node.key == failed.key:
            new = again
        elif instead.keys() & set(node.parents.values()):
            parents = {role: instead.get(key, key) for role, key in node.parents.items()}
            labels = node.labels if node.kind == "measure" else {**node.labels, "retry": retry}
            new = Node(node.kind, node.spec, parents, labels)
            instead[node.key] = new.key
        else:
            found[node.key] = node
            continue
        if stays and node.kind != "measure":
            found[node.key] = node
        found.setdefault(new.key, new)
    changed = replace(
        plan,
        graph=Graph(plan.graph.study, tuple(found.values())),
        cells=tuple(replace(cell, key=instead.get(cell.key, cell.key)) for cell in plan.cells),
        measured=tuple(replace(each, key=instead.get(each.key, each.key)) for each in plan.measured),
    )
    return changed, instead


def _blocked(graph: Graph, summary: Summary) -> dict[str, str]:
    """Key -> key of the failed node that it needs."""
    found = dict(summary.blocked)
    for node in graph:
        for parent in node.parents.values():
            if parent in summary.failed or parent in found:
                found.setdefault(node.key, found.get(parent, parent))
    return found
