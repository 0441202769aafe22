"""Claims that results settle: differences between arms, with intervals over seeds.

Only a study that is what a claim is about can settle it: XLM-R Large, the whole data, every language, two seeds or more.
What a smaller study shows is a note.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xstilts import tasks
from xstilts.claims.claim import Evidence, Finding, Verdict
from xstilts.hyperparameters import MASKED_LM
from xstilts.published.numbers import PAPER_MODEL
from xstilts.published.own import OwnStudy, SeedScores, over_languages
from xstilts.statistics.seeds import SeedDifference, seed_difference
from xstilts.tasks import load

CONFIDENCE = 0.95
"""Of all intervals of a claim together: each of k has 1 - 0.05 / k (Bonferroni)."""
ROUNDING = 0.05
"""A printed change of one decimal stands for this much on either side."""
DRAMATIC = 5.0
"""Points that "dramatically" is read as, at least."""
NINE = tuple(task.name for task in tasks.targets())
INTERMEDIATE = tuple(task.name for task in tasks.intermediate())
ENGLISH = "en"
MARGIN = 1.0
"""A measured average is the claimed number if its interval lies within this many points of it."""


@dataclass(frozen=True)
class Change:
    """One arm against another on some targets, over seeds; ``missing`` are targets that it should be about and is not."""

    arm: str
    what: str
    difference: SeedDifference
    missing: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """``mnli xnli +1.2 [+0.3, +2.1], 3 seeds``."""
        d = self.difference
        limits = "" if d.low is None or d.high is None else f" [{d.low:+.1f}, {d.high:+.1f}]"
        return f"{self.arm} {self.what} {d.mean:+.1f}{limits}, {d.pairs} seed{'s' * (d.pairs > 1)}"


Found = list[tuple[str, str, SeedScores, tuple[str, ...]]]
"""Arm, what, the change of each seed, and the targets that are missing in it."""
Measure = Callable[[OwnStudy, str], Found]
Decide = Callable[[Sequence[Change]], Verdict | None]


def paper_split(target: str) -> str:
    """The paper's dev table: targets without dev rows stand there with their test rows."""
    return "dev" if "dev" in load(target).files else "test"


def settle(
    evidence: Evidence,
    targets: Sequence[str],
    measure: Measure,
    decide: Decide,
    *,
    splits: Callable[[str], str] = paper_split,
    needs: int = 1,
    arms_of: Sequence[str] = (),
    settles: str,
    printed: str,
) -> Finding:
    """The verdict of the studies that are about the claim and sure enough, if they agree; else what the others show.

    Args:
        evidence: the studies.
        targets: what must be whole.
        measure, decide: a study's changes, and what they say.
        splits: target to split.
        needs: so many changes at least.
        arms_of: tasks of which each must have an arm of its own.
        settles, printed: for the finding.
    """
    notes = [printed] if printed else []
    measured, decided = False, list[tuple[Verdict | None, str]]()
    for study in evidence.studies:
        for model in study.models:
            found = [each for each in measure(study, model) if each[2]]
            if not found:
                continue
            measured = True
            changes = _with_intervals(found)
            text = f"{study.name}, {model}: " + "; ".join(change.text for change in changes)
            missing = list(_lacks(study, model, targets, splits, changes, needs))
            if without := [name for name in arms_of if study.arm_of(name) is None]:
                missing.append(f"no arm learns only {', '.join(without)}")
            if missing:
                notes.append(f"{text} (does not settle it: {', '.join(missing)})")
                continue
            decided.append((decide(changes), text))
    verdicts = {verdict for verdict, _ in decided if verdict is not None}
    texts = "; ".join(text for _, text in decided)
    if len(verdicts) == 1:
        return Finding(verdicts.pop(), texts, note=" ".join(notes))
    if len(verdicts) > 1:
        return Finding("not measured here", f"studies disagree: {texts}", settles, " ".join(notes))
    if decided:
        return Finding("not measured here", f"too uncertain to say: {texts}", settles, " ".join(notes))
    why = "no study here is all that the claim is about" if measured else "no study here has these arms"
    return Finding("not measured here", why, settles, " ".join(notes))


def _with_intervals(found: Found) -> list[Change]:
    confidence = 1 - (1 - CONFIDENCE) / len(found)
    return [
        Change(arm, what, seed_difference(list(of.values()), confidence), missing) for arm, what, of, missing in found
    ]


def _lacks(
    study: OwnStudy,
    model: str,
    targets: Sequence[str],
    splits: Callable[[str], str],
    changes: Sequence[Change],
    needs: int,
) -> Iterator[str]:
    """Why a study cannot settle a claim about the paper's model, whole data and all languages."""
    if study.models[model].published != PAPER_MODEL:
        yield f"{model} is not XLM-R Large"
    if study.limited:
        yield "rows are limited or stand-ins"
    if study.cut:
        yield "trainings are cut to a number of steps"
    if study.source != ENGLISH:
        yield f"its rows are in {study.source}, not English"
    for change in changes:
        if change.missing:
            yield f"{change.arm} lacks {', '.join(change.missing)}"
    whole = 0
    for target in targets:
        scored = [arm for arm in study.arms if study.main(model, arm, target, splits(target))]
        whole += bool(scored) and all(_whole(study, model, arm, target, splits(target)) for arm in scored)
    if whole < len(targets):
        yield f"{whole} of {len(targets)} targets are whole, in all languages"
    if len(changes) < needs:
        yield f"{len(changes)} of {needs} comparisons"
    if any(change.difference.pairs < 2 for change in changes):
        yield "one seed has no interval"


def _whole(study: OwnStudy, model: str, arm: str, target: str, split: str) -> bool:
    return {r["language"] for r in study.main(model, arm, target, split)} >= set(load(target).languages_of(split))


def scores(study: OwnStudy, model: str, arm: str, target: str, split: str) -> SeedScores:
    """Seed -> the target's main score."""
    return over_languages(study.main(model, arm, target, split), None)


def change(study: OwnStudy, model: str, arm: str, base: str, target: str, split: str) -> SeedScores:
    """Seed -> ``arm`` minus ``base`` on a target, over the languages and seeds that both have."""
    rows, others = study.main(model, arm, target, split), study.main(model, base, target, split)
    shared = {r["language"] for r in rows} & {r["language"] for r in others}
    values, bases = over_languages(rows, None, shared), over_languages(others, None, shared)
    return {seed: value - bases[seed] for seed, value in values.items() if seed in bases}


def average_change(
    study: OwnStudy, model: str, arm: str, base: str, splits: Callable[[str], str] = paper_split
) -> tuple[SeedScores, tuple[str, ...]]:
    """Seed -> mean change over the nine targets, or over those there are; and which of them are missing."""
    found = {target: of for target in NINE if (of := change(study, model, arm, base, target, splits(target)))}
    return _mean_over(list(found.values())), tuple(target for target in NINE if target not in found)


def _mean_over(found: Sequence[Mapping[int, float]]) -> SeedScores:
    shared = set.intersection(*(set(of) for of in found)) if found else set()
    return {seed: statistics.fmean(of[seed] for of in found) for seed in sorted(shared)}


def average_of(*tasks_of: tuple[str, ...]) -> Measure:
    """The average change of the first of these arms that the study has."""

    def measure(study: OwnStudy, model: str) -> Found:
        arms = [arm for of in tasks_of if (arm := study.arm_of(*of))]
        if not arms or study.baseline is None:
            return []
        values, missing = average_change(study, model, arms[0], study.baseline)
        return [(arms[0], f"average of {len(NINE) - len(missing)} targets", values, missing)]

    return measure


def each_arm(*targets: str) -> Measure:
    """The change of every arm with one intermediate task on every one of ``targets``."""

    def measure(study: OwnStudy, model: str) -> Found:
        arms = [arm for name in INTERMEDIATE if (arm := study.arm_of(name))]
        if study.baseline is None:
            return []
        return [
            (arm, target, change(study, model, arm, study.baseline, target, paper_split(target)), ())
            for arm in arms
            for target in targets
        ]

    return measure


def plain_against(other: Callable[[OwnStudy], Iterator[tuple[str, str]]], what: str) -> Measure:
    """The mean over pairs of (plain English arm, its other form) of how much the plain one is better on average."""

    def measure(study: OwnStudy, model: str) -> Found:
        found = [average_change(study, model, plain, form) for plain, form in other(study)]
        found = [(values, missing) for values, missing in found if values]
        if not found:
            return []
        missing = tuple(dict.fromkeys(target for _, lacking in found for target in lacking))
        name = f"{len(found)} English arm{'s' * (len(found) > 1)}"
        return [(name, what, _mean_over([values for values, _ in found]), missing)]

    return measure


def _english(study: OwnStudy, arm: str) -> bool:
    return study.languages_of(arm) == (ENGLISH, ENGLISH)


def with_masked_lm(study: OwnStudy) -> Iterator[tuple[str, str]]:
    """English arms, and the same tasks mixed with masked LM on text of at least two other languages."""
    for name, arm in study.arms.items():
        foreign = set(arm.text_languages) - {ENGLISH}
        if arm.tasks and MASKED_LM in arm.tasks and len(arm.tasks) > 1 and _english(study, name) and len(foreign) > 1:
            plain = study.arm_of(*(task for task in arm.tasks if task != MASKED_LM))
            if plain is not None and _english(study, plain):
                yield plain, name


def with_translation(study: OwnStudy) -> Iterator[tuple[str, str]]:
    """English arms, and the same tasks learned from rows in another language; both fine-tuned in English."""
    for name, arm in study.arms.items():
        intermediate, target = study.languages_of(name)
        if arm.tasks and MASKED_LM not in arm.tasks and intermediate != ENGLISH and target == ENGLISH:
            plain = study.arm_of(*arm.tasks)
            if plain is not None and _english(study, plain):
                yield plain, name


def best_per_target(study: OwnStudy, model: str) -> Found:
    """Of the arms with English tasks the one that is best on dev (without dev rows: on test), against the baseline.

    A target is missing where one of these arms is not whole on what is chosen by, or the best one has no test score.
    """
    if study.baseline is None:
        return []
    arms = [name for name, of in study.arms.items() if of.tasks and MASKED_LM not in of.tasks and _english(study, name)]
    found, missing = [], []
    for target in NINE:
        dev = {arm: of for arm in arms if (of := scores(study, model, arm, target, paper_split(target)))}
        best = max(dev, key=lambda arm: statistics.fmean(dev[arm].values())) if dev else None
        of = change(study, model, best, study.baseline, target, "test") if best else {}
        if of:
            found.append(of)
        if not of or not all(_whole(study, model, arm, target, paper_split(target)) for arm in arms):
            missing.append(target)
    what = f"average of {len(found)} targets"
    return [("best per target", what, _mean_over(found), tuple(missing))] if found else []


def is_value(claimed: float) -> Decide:
    """Holds if the interval lies within ``MARGIN`` of the claimed number, contradicted if outside of that band."""

    def decide(changes: Sequence[Change]) -> Verdict | None:
        low, high = changes[0].difference.low, changes[0].difference.high
        if low is None or high is None:
            return None
        least, most = claimed - MARGIN - ROUNDING, claimed + MARGIN + ROUNDING
        if least <= low and high <= most:
            return "holds"
        return "contradicted" if high < least or most < low else None

    return decide


def is_above(changes: Sequence[Change]) -> Verdict | None:
    """Holds if the interval lies above 0, contradicted if below."""
    low, high = changes[0].difference.low, changes[0].difference.high
    if low is None or high is None or low <= 0 <= high:
        return None
    return "holds" if low > 0 else "contradicted"


def most_gain(least: float, arms: int) -> Decide:
    """Holds if at least ``arms`` arms gain more than ``least`` on all that was compared; contradicted if so many cannot."""

    def decide(changes: Sequence[Change]) -> Verdict | None:
        names = dict.fromkeys(c.arm for c in changes)
        of = {arm: [c.difference for c in changes if c.arm == arm] for arm in names}
        sure = sum(all(d.low is not None and d.low > least for d in found) for found in of.values())
        never = sum(any(d.high is not None and d.high < least for d in found) for found in of.values())
        if sure >= arms:
            return "holds"
        return "contradicted" if len(of) - never < arms else None

    return decide


def none_gains(changes: Sequence[Change]) -> Verdict | None:
    """Contradicted if one arm's interval lies above 0; holds if none reaches half a point."""
    differences = [c.difference for c in changes]
    if any(d.low is not None and d.low > 0 for d in differences):
        return "contradicted"
    return "holds" if all(d.high is not None and d.high < 0.5 for d in differences) else None
