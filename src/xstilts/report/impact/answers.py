"""What intermediate training does to inference: every answer that the measurements of a store give, as typed values.

``sections`` makes tables of them, ``words`` sentences, ``page`` the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xstilts.errors import StoreError
from xstilts.graph.store import Store
from xstilts.languages import LANGUAGES
from xstilts.report.impact.gate import Standing, standing
from xstilts.report.impact.iso import COSTS, EqualScore, equal_scores, on_front
from xstilts.report.impact.layers import LayerRead, layers_read
from xstilts.report.impact.measured import Measured, measurements, unfinished
from xstilts.report.impact.same_graph import Instrument, Ratio, instruments, ratios
from xstilts.report.impact.work import Training, Work, training_of, work_of
from xstilts.report.random_weights import random_models, random_notes
from xstilts.report.sources import translated_notes
from xstilts.tasks import load, names


@dataclass(frozen=True)
class Answers:
    """What one measurement on one target says.

    Args:
        source: the study's source language.
        own_languages: code -> name of the study's own languages.
        baselines: names of the arms without intermediate training.
        standings: every arm measured, with the score that its speed stands beside.
        notes: what the study says of its rows and models.
        works, trainings: by the name of the system; only of those that have a score.
        random: models whose weights were drawn: only their speed means anything.
    """

    measured: Measured
    source: str
    own_languages: Mapping[str, str]
    baselines: frozenset[str]
    standings: tuple[Standing, ...]
    checks: tuple[Instrument, ...]
    ratios: tuple[Ratio, ...]
    layers: tuple[LayerRead, ...]
    notes: tuple[str, ...]
    works: Mapping[str, Work]
    trainings: Mapping[str, Training]
    random: tuple[str, ...] = ()

    @property
    def parallel(self) -> bool:
        """Whether every language has the same rows, translated: only then do their costs compare languages."""
        return self.measured.target in names() and load(self.measured.target).parallel

    @property
    def shown(self) -> list[Standing]:
        """Those that passed the gate."""
        return [s for s in self.standings if s.speed is not None and s.score is not None]

    def arms(self, intermediate: bool) -> list[Standing]:
        """Those of ``shown`` with intermediate training, or without."""
        return [s for s in self.shown if (s.system.arm not in self.baselines) == intermediate]

    @cached_property
    def fronts(self) -> dict[str, list[Standing]]:
        """Cost -> the arms that none of their own kind (with or without intermediate training) beats in score and cost."""
        return {name: on_front(self.arms(False), name) + on_front(self.arms(True), name) for name in COSTS}

    @cached_property
    def equal(self) -> dict[str, list[EqualScore]]:
        """Cost -> each arm with intermediate training against the baseline's front."""
        return {name: equal_scores(self.arms(False), self.arms(True), name) for name in COSTS}

    @property
    def references(self) -> list[Standing]:
        """The system of each model that the others are compared with."""
        return [s for s in self.shown if s.system.of is None]

    def language_name(self, code: str) -> str:
        """``de German``."""
        known = {lang: of.name for lang, of in LANGUAGES.items()} | dict(self.own_languages)
        return f"{code} {known[code]}" if code in known else code

    @property
    def on_same_dev(self) -> bool:
        """Whether the scores are of the BUCC dev pairs that also chose the layer and the thresholds."""
        return (self.measured.target, self.measured.split) == ("bucc2018", "dev")

    def delta(self, of: Standing) -> float | None:
        """Points of score over the baseline arm of the same model (and, in retrieval, the same way to choose the layer).

        ``None`` for a baseline arm itself and where one has no score.
        """
        if of.system.arm in self.baselines:
            return None
        way = of.system.name.removeprefix(f"{of.system.model}/{of.system.arm}")
        names = {f"{of.system.model}/{arm}{way}" for arm in self.baselines}
        reference = next((s for s in self.standings if s.system.name in names), None)
        if of.score is None or reference is None or reference.score is None:
            return None
        return of.score.value - reference.score.value


@dataclass(frozen=True)
class Impact:
    """All answers of a study, or of every study of a store, and what is planned but not measured."""

    answers: tuple[Answers, ...]
    unfinished: tuple[str, ...]


def impact(store: Store, study: str | None = None) -> Impact:
    """Everything that the measurements of ``study`` (or of all studies) say.

    Raises:
        MissingNameError: no such study.
        StoreError: nothing is measured, or a node is not what was committed.
    """
    found, waiting = measurements(store, study), unfinished(store, study)
    if not found:
        raise nothing_measured(store, waiting)
    return Impact(tuple(_answers(store, each) for each in found), tuple(waiting))


def nothing_measured(store: Store, waiting: list[str]) -> StoreError:
    """The error of a store without measurements: what is missing, and which command helps."""
    if waiting:
        hint = f"planned: {'; '.join(waiting)}; xstilts status says what is missing"
    else:
        hint = "a study file asks for measurements under `measurements:`; then run it: xstilts run STUDY"
    return StoreError("nothing is measured here", where=str(store.root), hint=hint)


def _answers(store: Store, measured: Measured) -> Answers:
    payload = store.studies()[measured.study]
    study = payload["study"]
    standings = tuple(standing(store, measured, system) for system in measured.arms)
    checks = tuple(instruments(measured))
    scored = [(s.system.name, s.score) for s in standings if s.score is not None]
    return Answers(
        measured=measured,
        source=study["source"],
        own_languages={code: of["name"] for code, of in study.get("own_languages", {}).items()},
        baselines=frozenset(name for name, arm in study["arms"].items() if arm["intermediate"] is None),
        standings=standings,
        checks=checks,
        ratios=tuple(ratios(standings, checks)),
        layers=tuple(layers_read(store, standings, checks, {measured.study: study["retrieval"]["pooling"]})),
        notes=(*random_notes(payload), *translated_notes(payload), *_notes(study)),
        random=tuple(m for m in random_models(payload) if m in {s.system.model for s in standings}),
        works={name: work_of(store, score) for name, score in scored},
        trainings={name: training_of(store, score) for name, score in scored},
    )


def _notes(study: Mapping[str, Any]) -> Iterator[str]:
    """What qualifies every score of the study: rows from elsewhere, and the notes of its models and its own."""
    for split, files in study["data"]["files"].items():
        yield f"Rows of {split} come from {', '.join(files)}, not from the published file."
    for name, model in study["models"].items():
        if model["note"]:
            yield f"{name}: {model['note'].strip()}"
    yield from (text.strip() for text in study["notes"].values())
