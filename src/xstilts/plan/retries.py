"""Fine-tunings that collapsed and are begun anew, where the study declares it: new nodes that name the ones they replace.

Only the dev score in the language an arm is fine-tuned in decides; no test score is ever read. What is begun anew follows
from the study and the finished nodes alone, so the same command finds the same nodes again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xstilts.chance import LEAST_ROWS
from xstilts.graph.node import Graph, Node, sha256_text
from xstilts.graph.store import Store
from xstilts.plan.plan import Cell, Plan
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

    Raises:
        StoreError: a dev score is not what was committed; it names the node.
    """
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
    if not plan.study.retries.collapsed:
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
    return plan, summary


def retries_declared(plan: Plan) -> dict[str, Any]:
    """What a study declares about retries, what of it has come true so far, and where it cannot."""
    begun = [n.title for n in plan.graph if n.kind == "train" and "retry_of" in n.spec]
    return {"collapsed": plan.study.retries.collapsed, "begun": begun, "unjudged": list(plan.unjudged)}


def _place(cell: Cell) -> tuple[str, str, str, int]:
    return cell.model, cell.arm, cell.target, cell.seed


def _dev_status(plan: Plan, cells: Iterable[Cell], store: Store) -> tuple[str, str]:
    """The status of the dev score in the language that an arm is fine-tuned in, and why there is none to judge by.

    Both are empty where the score is not there yet.
    """
    dev = next((cell for cell in cells if cell.split == "dev"), None)
    if dev is None:
        return "", "no dev score in this study"
    source = plan.study.source_of(dev.arm, "target")
    if source not in plan.graph.by_key[dev.key].spec["languages"]:
        return "", f"no dev score in {source}"
    if not store.has(dev.key):
        return "", ""
    store.verify_once(dev.key)
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
    again = Node(failed.kind, spec, failed.parents, {**failed.labels, "retry": retry})
    found = {**nodes, again.key: again}
    instead = {failed.key: again.key}
    for node in plan.graph:
        if not instead.keys() & set(node.parents.values()):
            continue
        parents = {role: instead.get(key, key) for role, key in node.parents.items()}
        labels = node.labels
        if node.kind == "measure":
            del found[node.key]
        else:
            labels = {**labels, "retry": retry}
        new = Node(node.kind, node.spec, parents, labels)
        instead[node.key] = new.key
        found.setdefault(new.key, new)
    return replace(
        plan,
        graph=Graph(plan.graph.study, tuple(found.values())),
        cells=tuple(replace(c, key=instead[c.key], retry=retry) if c in cells else c for c in plan.cells),
        measured=tuple(replace(each, key=instead.get(each.key, each.key)) for each in plan.measured),
    )


def _blocked(graph: Graph, summary: Summary) -> dict[str, str]:
    """Key -> key of the failed node that it needs."""
    found = dict(summary.blocked)
    for node in graph:
        for parent in node.parents.values():
            if parent in summary.failed or parent in found:
                found.setdefault(node.key, found.get(parent, parent))
    return found
