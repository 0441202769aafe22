"""Retrieval reads one layer, and layers above it are not run: which layer each arm reads, how fast that is, how good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xstilts.graph.store import Store
from xstilts.report.grid import NOTHING
from xstilts.report.impact.gate import Standing
from xstilts.report.impact.same_graph import Instrument
from xstilts.report.impact.speed import compared
from xstilts.report.impact.work import layer_scores, work_of
from xstilts.statistics.equivalence import Comparison


@dataclass(frozen=True)
class LayerRead:
    """One arm read at one layer, against the reference (the baseline arm, at its last layer if that was measured).

    Args:
        rule: how the layer was chosen.
        comparison: of offline time with the reference; below 1 is faster. ``None`` for the reference itself.
        delta: points of score over the reference.
        answer: ``yes`` if it is faster (95 % interval below 1) at no lower measured score, ``no``, or why there is none. The
            score's error is not in the answer: it stands beside it.
        curve: layer -> score of every layer that was swept.
    """

    standing: Standing
    rule: str
    comparison: Comparison | None
    delta: float | None
    answer: str
    curve: Mapping[int, float]


def layers_read(
    store: Store, standings: Sequence[Standing], checks: Sequence[Instrument], poolings: Mapping[str, str]
) -> list[LayerRead]:
    """Every measured arm of the retrieval targets.

    Args:
        store: has the scores of other layers.
        standings: all systems measured.
        checks: of the instrument.
        poolings: study -> the pooling its layer rule uses.
    """
    by_name = {(s.measured.key, s.system.name): s for s in standings}
    problems = {(c.measured.key, c.model, c.metric): c.problem for c in checks}
    found = []
    for standing in standings:
        if standing.system.layer is None:
            continue
        reference = by_name.get((standing.measured.key, standing.system.of or ""))
        problem = problems.get((standing.measured.key, standing.system.model, "offline"), "")
        found.append(_read(store, standing, reference, problem, poolings[standing.measured.study]))
    return found


def _read(store: Store, standing: Standing, reference: Standing | None, problem: str, pooling: str) -> LayerRead:
    if standing.score is None or standing.withheld:
        return LayerRead(standing, NOTHING, None, None, f"withheld: {standing.withheld}", {})
    rule, curve = _rule(store, standing), layer_scores(store, standing.score, pooling)
    if reference is None:
        return LayerRead(standing, rule, None, None, "reference", curve)
    if reference.score is None or reference.withheld:
        reason = f"withheld: of the reference: {reference.withheld}"
        return LayerRead(standing, rule, None, None, reason, curve)
    delta = standing.score.value - reference.score.value
    comparison = compared(standing.measured, standing.system, "offline")
    if comparison is None:
        answer = "not compared: offline was not run, or in fewer than two blocks"
    elif problem:
        answer = f"void: {problem}"
    else:
        answer = "yes" if comparison.high_95 < 1 and delta >= 0 else "no"
    return LayerRead(standing, rule, comparison, delta, answer, curve)


def _rule(store: Store, standing: Standing) -> str:
    """``last layer``, ``fixed layer``, or the rule by which the arm's own was calibrated."""
    assert standing.score is not None
    system = standing.system
    (listed,) = [s for s in standing.measured.node.spec["systems"] if s["name"] == system.name]
    if listed["layer"] == "calibrated":
        return str(work_of(store, standing.score).rule)
    return "last layer" if system.layer == system.num_layers else "fixed layer"
