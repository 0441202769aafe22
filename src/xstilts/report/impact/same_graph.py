"""The same graph, trained otherwise: is an arm as fast as the baseline arm? And did the instrument that says so work?

A control (the baseline arm once more) must come out equivalent and a sabotaged copy slower, for each model and each time that
is compared. Where one of them does not, the verdicts of that model's arms are void and say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xstilts.report.impact.gate import Standing
from xstilts.report.impact.measured import Measured, Run, System
from xstilts.report.impact.speed import METRICS, block_logs, compared
from xstilts.statistics.equivalence import Comparison

BUSY = 0.05
"""Other processes' share of the processor above which a run is named."""
BUSY_RUNS = 0.1
"""The share of busy runs above which verdicts are void."""


@dataclass(frozen=True)
class Instrument:
    """The control and the sabotaged system of one model, by one metric; ``problem`` is empty when both came out right."""

    measured: Measured
    model: str
    metric: str
    control: Comparison | None
    sabotaged: Comparison | None
    problem: str


@dataclass(frozen=True)
class Ratio:
    """One arm against its reference at the same layer, by one metric.

    Args:
        comparison: ``None`` when withheld, or when there are too few blocks.
        verdict: TOST's, or ``void: ...``; ``withheld: ...`` where there is no score of the same configuration.
    """

    measured: Measured
    system: System
    metric: str
    comparison: Comparison | None
    verdict: str


def instruments(measured: Measured) -> list[Instrument]:
    """One for each model and metric; none without a margin, which asks for no verdict."""
    if measured.margin is None:
        return []
    models = dict.fromkeys(system.model for system in measured.arms)
    return [_instrument(measured, model, metric) for metric in metrics_of(measured) for model in models]


def _instrument(measured: Measured, model: str, metric: str) -> Instrument:
    def found(role: str) -> Comparison | None:
        same = [s for s in measured.systems.values() if (s.model, s.role) == (model, role)]
        return compared(measured, same[0], metric) if same else None

    control, sabotaged = found("control"), found("sabotaged")
    assert measured.margin is not None
    problems = []
    if busy := busy_runs(measured, model):
        problems.append(f"the machine was busy with other work in {busy} of {len(_runs_of(measured, model))} runs")
    if control is None:
        problems.append("no control")
    elif not control.equivalent:
        problems.append("control not equivalent")
    if sabotaged is None:
        problems.append("no sabotaged system")
    elif not sabotaged.differs or sabotaged.ratio < 1:
        problems.append("sabotaged system not found slower")
    elif sabotaged.equivalent and measured.slowdown > measured.margin:
        problems.append("sabotaged system found equivalent")
    return Instrument(measured, model, metric, control, sabotaged, ", ".join(problems))


def busy_runs(measured: Measured, model: str) -> int:
    """How many of a model's runs shared the processor with other work, where it is more than one in ten; else 0."""
    runs = _runs_of(measured, model)
    busy = sum((run.other_cpu_share or 0.0) > BUSY for run in runs)
    return busy if busy > BUSY_RUNS * len(runs) else 0


def _runs_of(measured: Measured, model: str) -> list[Run]:
    return [run for run in measured.runs if measured.systems[run.system].model == model]


def ratios(standings: Sequence[Standing], checks: Sequence[Instrument]) -> list[Ratio]:
    """Every arm that has a reference read at the same layer, by every metric, with its verdict."""
    by_name = {(s.measured.key, s.system.name): s for s in standings}
    problems = {(c.measured.key, c.model, c.metric): c.problem for c in checks}
    found = []
    for standing, metric in _compared_pairs(standings):
        measured, system = standing.measured, standing.system
        reference = by_name[measured.key, str(system.of)]
        if reference.system.layer != system.layer:
            continue  # another layer is another graph: see xstilts.report.impact.layers
        if reason := standing.withheld or (reference.withheld and f"of the baseline arm: {reference.withheld}"):
            found.append(Ratio(measured, system, metric, None, f"withheld: {reason}"))
            continue
        comparison = compared(measured, system, metric)
        if comparison is None:
            verdict = "too few blocks"
        elif problem := problems[measured.key, system.model, metric]:
            verdict = f"void: {problem}"
        else:
            verdict = comparison.verdict
        found.append(Ratio(measured, system, metric, comparison, verdict))
    return found


def _compared_pairs(standings: Sequence[Standing]) -> Iterator[tuple[Standing, str]]:
    for metric in METRICS:
        for standing in standings:
            measured, system = standing.measured, standing.system
            if measured.margin is not None and system.of is not None and metric in metrics_of(measured):
                yield standing, metric


def metrics_of(measured: Measured) -> list[str]:
    """The metrics whose scenario was run."""
    return [metric for metric in METRICS if block_logs(measured, next(iter(measured.systems)), metric)]
