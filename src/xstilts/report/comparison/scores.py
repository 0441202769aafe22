"""The main scores of one model on one split, by arm, target, seed and language."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from xstilts.metrics import xtreme

Place = tuple[str, str, int]  # arm, target, seed
Row = Mapping[str, Any]
WEAK = ("chance", "collapsed")
"""Statuses of a score that is no better than guessing, and of one whose model gives one constant answer."""
BEST = "best per target"
"""What the arm is called that takes each target's score from the arm that is best on dev."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Scores:
    """Main scores: the mean of a task's main metrics, 0..100.

    Args:
        values: arm, target and seed -> language -> score.
        keys: arm, target and seed -> the node that scored it: seeds that share one are one run.
        states: arm, target and seed -> language -> status.
    """

    values: Mapping[Place, Mapping[str, float]]
    keys: Mapping[Place, str]
    states: Mapping[Place, Mapping[str, str]]

    @staticmethod
    def of(rows: Iterable[Row], model: str, split: str) -> Scores:
        """The scores among the main rows of a study (``report.results.Results.main``)."""
        parts: dict[Place, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        keys: dict[Place, str] = {}
        states: dict[Place, dict[str, str]] = defaultdict(dict)
        for row in rows:
            if (row["model"], row["split"]) == (model, split) and row["value"] is not None:
                at = row["arm"], row["target"], row["seed"]
                parts[at][row["language"]].append(row["value"])
                states[at][row["language"]] = row["status"]
                keys[at] = row["key"]
        values = {at: {language: xtreme.mean(v) for language, v in found.items()} for at, found in parts.items()}
        return Scores(values, keys, states)

    @cached_property
    def languages(self) -> dict[str, list[str]]:
        """Target -> the languages that any arm has: what all must have, as averages over other ones do not compare."""
        found: dict[str, set[str]] = defaultdict(set)
        for (_, target, _), of in self.values.items():
            found[target] |= of.keys()
        return {target: sorted(of) for target, of in found.items()}

    def mean(self, arm: str, target: str) -> float | None:
        """Over languages, then over the seeds that have them all; ``None`` if none has."""
        whole = [
            xtreme.mean_of_all(of, self.languages[target])
            for (a, t, _), of in self.values.items()
            if (a, t) == (arm, target)
        ]
        complete = [value for value in whole if value is not None]
        return statistics.fmean(complete) if complete else None


@dataclass(frozen=True)
class Choice:
    """Which arm is best for a target.

    Args:
        arm: its name.
        split: where it was chosen; ``test``, or the very split that is shown, makes its score there too good.
    """

    arm: str
    split: str


def best_arms(shown: Scores, split: str, dev: Scores, arms: Sequence[str]) -> dict[str, Choice]:
    """Target -> the arm with the best mean score on dev; where a target has no dev scores, on the split shown.

    XQuAD, TyDiQA and Tatoeba have no dev set of their own (FACTS 2.5).
    """
    found = {}
    for target in shown.languages:
        from_dev = split != "dev" and target in dev.languages
        source = dev if from_dev else shown
        means = {arm: mean for arm in arms if (mean := source.mean(arm, target)) is not None}
        if means:
            found[target] = Choice(max(means, key=means.__getitem__), "dev" if from_dev else split)
    return found


def with_best(values: Mapping[Place, _T], chosen: Mapping[str, Choice]) -> dict[Place, _T]:
    """``values`` and, under the name ``BEST``, those of the arm chosen for each target."""
    best = {
        (BEST, target, seed): value
        for (arm, target, seed), value in values.items()
        if target in chosen and chosen[target].arm == arm
    }
    return {**values, **best}
