"""Each arm against one arm, in every column: means over seeds, paired differences, intervals, verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from xstilts.report.comparison.columns import Column
from xstilts.report.comparison.scores import BEST, WEAK, Choice, Place, Scores
from xstilts.report.comparison.to_come import Test
from xstilts.statistics.bootstrap import percentile_interval
from xstilts.statistics.corrections import Declared, adjusted
from xstilts.statistics.samples import Floats
from xstilts.statistics.seeds import SeedDifference, seed_difference

Verdict = Literal["better", "worse", "undecided"]
Drawn = Mapping[Place, Mapping[str, Floats]]
"""Arm, target and seed -> language -> the score of each draw of the evaluation rows."""


@dataclass(frozen=True)
class Cell:
    """One arm in one column.

    Attributes:
        arm, column: where it stands.
        mean: over the seeds that have everything the column needs; ``None`` if none has.
        spread: standard deviation over runs; ``None`` with one run.
        runs: how many different runs the seeds are: seeds of what nothing was trained for share one.
        delta: the difference to the other arm; ``None`` for that arm itself, and without a common seed.
        rows: the example bootstrap's interval of the difference, given these seeds.
        weak: how many of the scores behind it are at chance; ``constant`` of these come from one constant answer.
        scores: how many scores are behind it.
        paired: how many of the study's seeds are behind the difference.
        p: adjusted for the family; ``None`` where the cell is not in it.
        verdict: by the adjusted p.
    """

    arm: str
    column: Column
    mean: float | None
    spread: float | None
    runs: int
    delta: SeedDifference | None
    rows: tuple[float, float] | None
    weak: int
    constant: int
    scores: int
    paired: int
    p: float | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Comparison:
    """One model on one split.

    Attributes:
        baseline: the first arm that others are compared with.
        against: arm -> the arm that it is compared with: one fine-tuned in the same language, where there is one.
        arms: the others in the study's order, then ``BEST``.
        columns: what is compared.
        cells: by arm and column.
        chosen: target -> the arm that ``BEST`` stands for.
        declared: level, correction, family.
        retries: what to know of fine-tunings that were begun anew.
        asked_level: that intervals and verdicts go by, where it is not the declared one.
        tests: how many p-values the family has, over all models; ``to_come`` of them are not known yet.
        remarks: what a reader must know first.
        seeds: the study's.
        rounds: draws of the example bootstrap.
        without_rows: why some differences have no example bootstrap.
    """

    model: str
    split: str
    baseline: str
    against: Mapping[str, str]
    arms: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, Column], Cell]
    chosen: Mapping[str, Choice]
    declared: Declared
    tests: int
    seeds: tuple[int, ...]
    rounds: int
    without_rows: tuple[str, ...]
    asked_level: float | None = None
    to_come: int = 0
    retries: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def level(self) -> float:
        """An adjusted p below it decides; intervals are of 1 - level."""
        return self.declared.level if self.asked_level is None else self.asked_level


@dataclass(frozen=True)
class Paired:
    """The scores of a model on a split, observed and drawn, and what each arm is compared with.

    Args:
        scores: observed.
        drawn: by the example bootstrap.
        against: arm -> the arm that it is compared with.
        sources: arm -> the language that it is fine-tuned in.
        seeds: the study's.
        confidence: of intervals.
    """

    scores: Scores
    drawn: Drawn
    against: Mapping[str, str]
    sources: Mapping[str, str]
    seeds: Sequence[int]
    confidence: float

    def cell(self, arm: str, column: Column) -> Cell:
        """One arm in one column; not yet judged."""
        against = self.against.get(arm)
        own = self._values(arm, column)
        base = {} if against is None else self._values(against, column)
        runs = {self._runs(arm, column, seed): value for seed, value in own.items()}
        pairs: dict[tuple[str, ...], int] = {}
        for seed in own:
            if against is not None and seed in base:  # seeds that share both runs are one pair
                pairs.setdefault(self._runs(arm, column, seed) + self._runs(against, column, seed), seed)
        differences = [own[seed] - base[seed] for seed in pairs.values()]
        states = list(self._states(arm, column))
        return Cell(
            arm=arm,
            column=column,
            mean=statistics.fmean(own.values()) if own else None,
            spread=statistics.stdev(runs.values()) if len(runs) > 1 else None,
            runs=len(runs),
            delta=seed_difference(differences, self.confidence) if differences else None,
            rows=self._given_seeds(arm, column, list(pairs.values())),
            weak=sum(state in WEAK for state in states),
            constant=states.count("collapsed"),
            scores=len(states),
            paired=0 if against is None else len(own.keys() & base.keys()),
        )

    def _values(self, arm: str, column: Column) -> dict[int, float]:
        found = {seed: self._value(self.scores.values, arm, column, seed) for seed in self.seeds}
        return {seed: value for seed, value in found.items() if value is not None}

    def _value(self, of: Mapping[Place, Mapping[str, Any]], arm: str, column: Column, seed: int) -> Any:
        return column.value({t: of.get((arm, t, seed), {}) for t in column.targets}, self.sources[arm])

    def _runs(self, arm: str, column: Column, seed: int) -> tuple[str, ...]:
        return tuple(self.scores.keys[arm, target, seed] for target in column.targets)

    def _states(self, arm: str, column: Column) -> Iterator[str]:
        for (of, target, _), states in self.scores.states.items():
            if of == arm and target in column.targets:
                yield from (s for code, s in states.items() if column.kind != "language" or code == column.name)

    def _given_seeds(self, arm: str, column: Column, seeds: Sequence[int]) -> tuple[float, float] | None:
        """The interval over draws of the mean difference of these seeds; the same rows are drawn for both arms."""
        differences = []
        for seed in seeds:
            own, base = (self._value(self.drawn, name, column, seed) for name in (arm, self.against[arm]))
            if own is None or base is None:
                return None
            differences.append(own - base)
        return percentile_interval((sum(differences) / len(seeds)).tolist(), self.confidence) if differences else None


def judged(found: Sequence[Comparison], to_come: frozenset[Test] = frozenset()) -> list[Comparison]:
    """The comparisons with adjusted p and verdicts: all models of a study on one split are one family.

    Averages and gaps are made of what is tested, and the row of best arms is chosen by its scores: none of them is tested.

    Args:
        found: one for each model.
        to_come: tests of an unfinished study. Those without a p yet count as the largest there can be, so that a verdict
            that stands now is not lost to the correction later.
    """
    if not found:
        return []
    declared = found[0].declared
    kind = {"targets": "target", "languages": "language"}[declared.family]
    tested = [
        (number, at, cell.delta.p, cell.delta.mean > 0)
        for number, of in enumerate(found)
        for at, cell in of.cells.items()
        if cell.column.kind == kind and cell.arm != BEST and cell.delta is not None and cell.delta.p is not None
    ]
    known = {_test(found[number].model, found[number].cells[at]) for number, at, _, _ in tested}
    missing = len(to_come - known)
    changed = [dict(of.cells) for of in found]
    every = adjusted([p for _, _, p, _ in tested] + [1.0] * missing, declared.correction)
    for (number, at, _, higher), p in zip(tested, every, strict=False):
        decided: Verdict = "better" if higher else "worse"
        verdict: Verdict = decided if p < found[0].level else "undecided"
        changed[number][at] = replace(changed[number][at], p=p, verdict=verdict)
    count = len(tested) + missing
    return [replace(of, cells=c, tests=count, to_come=missing) for of, c in zip(found, changed, strict=True)]


def _test(model: str, cell: Cell) -> Test:
    return model, cell.arm, cell.column.targets[0], cell.column.name if cell.column.kind == "language" else ""
