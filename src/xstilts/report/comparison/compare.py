"""A study's arms, compared: from its rows and what it declares to one comparison for each model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xstilts.errors import StatisticsError
from xstilts.graph.store import Store
from xstilts.report.comparison.cells import Comparison, Drawn, Paired, judged
from xstilts.report.comparison.columns import columns_of
from xstilts.report.comparison.kept_rows import drawn_scores
from xstilts.report.comparison.scores import BEST, Row, Scores, best_arms, with_best
from xstilts.report.comparison.to_come import Test, tests_to_come
from xstilts.report.masked_lm import MASKED_LM
from xstilts.report.random_weights import random_notes
from xstilts.report.results import Results
from xstilts.report.retries import retry_notes
from xstilts.report.sources import baseline_of, source_of
from xstilts.statistics.bootstrap import check_rounds
from xstilts.statistics.corrections import Declared
from xstilts.statistics.samples import check_share
from xstilts.tasks import load

ROUNDS = 1000
Folder = Callable[[str], Path]


def compare_study(
    store: Store, results: Results, split: str = "test", *, level: float | None = None, rounds: int = ROUNDS
) -> list[Comparison]:
    """One comparison for each model of a study that has scores on the split.

    Args:
        store: with the study's scores; those that are missing are left out, and said.
        results: of the study (``report.results.study_results``).
        split: ``dev`` or ``test``.
        level: another one than the study declares.
        rounds: draws of the example bootstrap; 0 for none.

    Raises:
        StatisticsError: a level not between 0 and 1, too few rounds for it, or no arm to compare with.
        StoreError: the rows that a score node keeps do not give its score.
    """
    payload, rows = results.payload, results.main
    declared = Declared(**payload["study"].get("comparison", {}))
    asked = None if level in (None, declared.level) else level
    against = _against(payload["study"], declared.against)
    to_come = tests_to_come(payload, split, against, declared.family, store.has)
    targets = payload.get("targets", {})
    found = compare(rows, payload["study"], split, declared, targets, store.path, rounds, asked, to_come)
    notes = {of.model: tuple(retry_notes(payload, rows, of.model)) for of in found}
    return [replace(of, retries=notes[of.model], remarks=random_notes(payload, of.model)) for of in found]


def compare(
    rows: Sequence[Row],
    study: Mapping[str, Any],
    split: str,
    declared: Declared,
    targets: Mapping[str, Mapping[str, Any]],
    folder: Folder | None = None,
    rounds: int = 0,
    level: float | None = None,
    to_come: frozenset[Test] = frozenset(),
) -> list[Comparison]:
    """The comparison of rows, wherever they are from.

    Args:
        rows: those that count for main scores, of all splits (``report.results.Results.main``).
        study: as the store records it.
        split: which one is compared.
        declared: level, correction, family and the arm to compare with.
        targets: the ``group`` of targets from outside the package; shipped ones may be left out.
        folder: where the node with a key lies; without it there is no example bootstrap.
        rounds: draws of the example bootstrap; 0 for none.
        level: another one than is declared.
        to_come: the tests that an unfinished study still lacks scores for.

    Raises:
        StatisticsError: as ``compare_study``.
    """
    used = declared.level if level is None else level
    check_share(used, "the level")
    if rounds:
        check_rounds(rounds, 1 - used)
    asked = _Asked(study, split, declared, level, _against(study, declared.against), targets, folder, rounds)
    found = [
        _one_model(asked, model, shown, Scores.of(rows, model, "dev"))
        for model in study["models"]
        if (shown := Scores.of(rows, model, split)).values
    ]
    return judged(found, to_come)


def _against(study: Mapping[str, Any], declared: str | None) -> dict[str, str]:
    """Arm -> the arm that it is compared with; the first of these is compared with none."""
    if declared is not None:
        return {arm: declared for arm in study["arms"] if arm != declared}
    found = {arm: base for arm in study["arms"] if (base := baseline_of(study, arm)) is not None}
    if not found and not any(of["intermediate"] is None for of in study["arms"].values()):
        raise StatisticsError(
            "every arm has intermediate training: there is no baseline arm to compare with",
            where="comparison.against",
            hint="name one in the study file: comparison: {against: ARM}",
        )
    return found


@dataclass(frozen=True)
class _Asked:
    study: Mapping[str, Any]
    split: str
    declared: Declared
    level: float | None
    against: Mapping[str, str]
    targets: Mapping[str, Mapping[str, Any]]
    folder: Folder | None
    rounds: int


def _plain(study: Mapping[str, Any], arm: str) -> bool:
    """Whether an arm learns intermediate tasks alone, both stages in the study's language: what "best per target" is of."""
    learned = study["arms"][arm]["intermediate"]
    names = [learned] if isinstance(learned, str) else learned or []
    sources = {source_of(study, arm), source_of(study, arm, retrieved=True)}
    return bool(names) and MASKED_LM not in names and sources == {study["source"]}


def _one_model(asked: _Asked, model: str, shown: Scores, dev: Scores) -> Comparison:
    study = asked.study
    baseline = next(arm for arm in study["arms"] if arm not in asked.against)
    arms = [arm for arm in asked.against if any(at[0] == arm for at in shown.values)]
    drawn: Drawn = {}
    without: tuple[str, ...] = ()
    if asked.folder is not None and asked.rounds:
        drawn, without = drawn_scores(asked.folder, shown, asked.rounds)
    alike = [arm for arm in arms if asked.against[arm] == baseline and _plain(study, arm)]
    chosen = best_arms(shown, asked.split, dev, alike)
    groups = {t: asked.targets[t]["group"] if t in asked.targets else load(t).group for t in shown.languages}
    columns = columns_of(shown.languages, study, groups)
    paired = Paired(
        Scores(with_best(shown.values, chosen), with_best(shown.keys, chosen), with_best(shown.states, chosen)),
        with_best(drawn, chosen),
        {**asked.against, BEST: baseline},
        {**{arm: source_of(study, arm) for arm in study["arms"]}, BEST: source_of(study, baseline)},
        study["seeds"],
        1 - (asked.declared.level if asked.level is None else asked.level),
    )
    names = [*arms, BEST] if len(alike) > 1 else arms
    return Comparison(
        model=model,
        split=asked.split,
        baseline=baseline,
        against={arm: paired.against[arm] for arm in names},
        arms=tuple(names),
        columns=tuple(columns),
        cells={(arm, column): paired.cell(arm, column) for arm in (baseline, *names) for column in columns},
        chosen=chosen,
        declared=asked.declared,
        tests=0,
        seeds=tuple(study["seeds"]),
        rounds=asked.rounds if drawn else 0,
        without_rows=without,
        asked_level=asked.level,
    )
