"""Which model and arm to take for a target, within limits of latency and memory: the best measured score, with evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from xstilts import tasks
from xstilts.errors import MissingNameError, XstiltsError
from xstilts.graph.store import Store
from xstilts.report.grid import NOTHING, Grid, milliseconds, number, plural, print_grid
from xstilts.report.impact.answers import nothing_measured
from xstilts.report.impact.gate import Standing, standing
from xstilts.report.impact.measured import Measured, measurements, unfinished
from xstilts.report.impact.work import Training, training_of
from xstilts.report.random_weights import random_models
from xstilts.statistics.percentiles import EarlyStopping


@dataclass(frozen=True)
class Limits:
    """What a choice must meet; ``None`` is no limit. Latency is the 99th percentile by the early-stopping rule."""

    max_p99_ms: float | None = None
    max_memory_gib: float | None = None
    min_score: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A measured arm of a model.

    Args:
        failures: the limits it does not meet, or why nothing can be said; empty if it may be taken.
        excess: the largest share by which a limit is missed; infinite where that cannot be told.
        training: what its training cost; ``None`` where there is no score.
    """

    standing: Standing
    failures: tuple[str, ...]
    excess: float
    training: Training | None

    @property
    def name(self) -> str:
        """``e5-small/nli, measured in small/arms: xnli, test``."""
        return f"{self.standing.system.name}, measured in {self.standing.measured.title}"


@dataclass(frozen=True)
class Choice:
    """The recommendation with its evidence, and the others, best first, with why not."""

    target: str
    languages: tuple[str, ...]
    limits: Limits
    chosen: Candidate
    others: tuple[tuple[Candidate, str], ...]


def choose(
    store: Store,
    target: str,
    limits: Limits,
    languages: Sequence[str] | None = None,
    *,
    split: str | None = None,
    device: str | None = None,
) -> Choice:
    """The best score among the measured arms that meet the limits; among equal ones the cheapest.

    Args:
        store: with finished measurements; of every study in it.
        target: the target task.
        limits: what must be met.
        languages: scores and costs are over these; by default over those that every measurement of the target has.
        split: of the target, where both are measured.
        device: a part of its name, where several are measured: what is fast on one says nothing of another.

    Raises:
        MissingNameError: no such target; the nearest names.
        StoreError: nothing is measured, or not for this target.
        XstiltsError: the languages are not measured, or nothing meets the limits: then the nearest is named.
    """
    measured = _comparable(_measured(store, target), split, device)
    chosen = _languages(measured, languages)
    found = [_candidate(store, m, s.name, chosen, limits) for m in measured for s in m.arms]
    found = [_unlearned(store, each) for each in found]
    fitting = sorted((c for c in found if not c.failures), key=_rank)
    if not fitting:
        raise _nothing_meets(found, limits, target)
    best, *rest = fitting
    others = [(c, _why_not(c, best)) for c in rest]
    failed = sorted((c for c in found if c.failures), key=lambda c: c.excess)
    others += [(c, "; ".join(c.failures)) for c in failed]
    return Choice(target, chosen, limits, best, tuple(others))


def _measured(store: Store, target: str) -> list[Measured]:
    every = measurements(store)
    found = list({m.key: m for m in every if m.target == target}.values())
    if found:
        return found
    declared = {t for payload in store.studies().values() for t in payload["study"]["targets"]}
    if target not in declared | set(tasks.names()):
        raise MissingNameError("target", target, sorted({m.target for m in every} or declared), where="--target")
    error = nothing_measured(store, unfinished(store))
    if every:
        error.hint = f"measured: {', '.join(sorted({m.target for m in every}))}"
    raise type(error)(f"nothing is measured for {target}", where=error.where, hint=error.hint)


def _comparable(measured: Sequence[Measured], split: str | None, device: str | None) -> list[Measured]:
    """Measurements of one split on one device in one precision: others cannot be ranked together."""
    found = [m for m in measured if split in (None, m.split) and (device or "").lower() in _place(m).lower()]
    places = sorted({f"{m.split} on {_place(m)}" for m in found})
    if len(places) == 1:
        return found
    there = "; ".join(places or sorted({f"{m.split} on {_place(m)}" for m in measured}))
    what = "scores and speeds of several splits or devices cannot be ranked together" if found else "not measured so"
    raise XstiltsError(what, hint=f"say which: --split, --device (a part of the name); measured: {there}")


def _place(of: Measured) -> str:
    return f"{of.device['kind']}: {of.device['name']}, {of.device['threads']} threads, {of.device['precision']}"


def _languages(measured: Sequence[Measured], asked: Sequence[str] | None) -> tuple[str, ...]:
    every = dict.fromkeys(language for m in measured for language in m.languages)
    if asked is not None:
        if unknown := [language for language in asked if language not in every]:
            raise MissingNameError("measured language", unknown[0], every, where="--languages")
        return tuple(dict.fromkeys(asked))
    common = tuple(language for language in every if all(language in m.languages for m in measured))
    if not common:
        places = "; ".join(f"{m.title} in {' '.join(m.languages)}" for m in measured)
        raise XstiltsError("the measurements have no language in common", hint=f"say --languages; measured: {places}")
    return common


def _candidate(store: Store, measured: Measured, name: str, languages: Sequence[str], limits: Limits) -> Candidate:
    system = measured.systems[name]
    if lacking := [language for language in languages if language not in measured.languages]:
        reason = f"not measured in {' '.join(lacking)}"
        return Candidate(Standing(measured, system, None, None, reason), (reason,), math.inf, None)
    found = standing(store, measured, system, languages)
    training = training_of(store, found.score) if found.score else None
    if found.withheld:
        return Candidate(found, (f"withheld: {found.withheld}",), math.inf, training)
    missed = list(_missed(found, limits))
    return Candidate(found, tuple(m for m, _ in missed), max((e for _, e in missed), default=0.0), training)


def _unlearned(store: Store, of: Candidate) -> Candidate:
    """A model with random weights is never chosen: nobody wants its answers."""
    drawn = random_models(store.studies()[of.standing.measured.study])
    if of.standing.system.model not in drawn:
        return of
    return replace(of, failures=("its weights are random", *of.failures), excess=math.inf)


def _missed(of: Standing, limits: Limits) -> Iterator[tuple[str, float]]:
    """Each limit that is not met, in words, and by which share of it."""
    assert of.speed is not None and of.score is not None
    if limits.min_score is not None and of.score.value < limits.min_score:
        short = (limits.min_score - of.score.value) / limits.min_score
        yield f"score {of.score.value:.1f} is below {limits.min_score:g}", short
    if limits.max_p99_ms is not None:
        p99 = of.speed.p99
        if p99 is None:
            yield "p99 is not known: single-stream was not run", math.inf
        elif p99.estimate is None:
            yield f"p99 is not known: {p99.queries} queries, {p99.needed} are needed", math.inf
        elif 1000 * p99.estimate > limits.max_p99_ms:
            excess = 1000 * p99.estimate / limits.max_p99_ms - 1
            yield f"p99 {milliseconds(p99.estimate)} ms is above {limits.max_p99_ms:g} ms", excess
    memory = of.speed.memory_gib
    if limits.max_memory_gib is not None and memory is None:
        yield "memory is not known: this system does not tell it", math.inf
    elif limits.max_memory_gib is not None and memory is not None and memory > limits.max_memory_gib:
        excess = memory / limits.max_memory_gib - 1
        yield f"memory {number(memory)} GiB is above {limits.max_memory_gib:g} GiB", excess


def _rank(of: Candidate) -> tuple[float, float]:
    assert of.standing.score is not None and of.standing.speed is not None
    return -of.standing.score.value, of.standing.speed.seconds_per_1000 or math.inf


def _why_not(other: Candidate, best: Candidate) -> str:
    assert other.standing.score is not None and best.standing.score is not None
    behind = best.standing.score.value - other.standing.score.value
    error = math.hypot(best.standing.score.error, other.standing.score.error)
    if behind == 0:
        return "as good, but not cheaper"
    close = ", within one standard error" if behind < error else ""
    return f"{behind:.1f} points lower{close}"


def _nothing_meets(found: Sequence[Candidate], limits: Limits, target: str) -> XstiltsError:
    names = {
        "max_p99_ms": "p99 of at most {:g} ms",
        "max_memory_gib": "at most {:g} GiB",
        "min_score": "a score of at least {:g}",
    }
    asked = ", ".join(
        text.format(value) for name, text in names.items() if (value := getattr(limits, name)) is not None
    )
    nearest = min(found, key=lambda c: (c.excess, len(c.failures)))
    if not asked:
        what = f"no measured arm of {target} has a speed and a score of the same configuration"
    else:
        what = f"no measured arm of {target} meets {asked}"
    return XstiltsError(what, hint=f"nearest: {nearest.name}: {'; '.join(nearest.failures)}")


def as_json(of: Choice) -> dict[str, Any]:
    """Everything as plain data: seconds, bytes, points."""
    return {
        "target": of.target,
        "languages": list(of.languages),
        "limits": vars(of.limits),
        "chosen": _evidence(of.chosen),
        "others": [{**_evidence(c), "why_not": why} for c, why in of.others],
    }


def _evidence(of: Candidate) -> dict[str, Any]:
    measured, system, speed, score = of.standing.measured, of.standing.system, of.standing.speed, of.standing.score
    found: dict[str, Any] = {
        "model": system.model,
        "arm": system.arm,
        "layer": system.layer,
        "seed": system.seed,
        "study": measured.study,
        "measurement": measured.name,
        "split": measured.split,
        "device": measured.device["name"],
        "precision": measured.device["precision"],
        "measure_key": measured.key,
    }
    if score is not None and of.training is not None:
        found |= {
            "score": score.value,
            "score_error": score.error,
            "score_rows": score.count,
            "score_by_language": dict(score.by_language),
            "score_key": score.key,
            "training_seconds": of.training.seconds,
            "training_tokens": of.training.tokens,
        }
    if speed is not None:
        found |= speed.summary()
    return found


def print_choice(of: Choice, console: Console) -> None:
    """The recommendation, its evidence and the runners-up, for people."""
    chosen = of.chosen.standing
    console.print(f"[bold]{chosen.system.name}[/bold] for {of.target} ({' '.join(of.languages)})")
    for line in evidence_lines(of.chosen):
        console.print(Padding(escape(line), (0, 0, 0, 2)), highlight=False)
    if of.others:
        console.print()
        several = len({c.standing.measured.key for c in (of.chosen, *(c for c, _ in of.others))}) > 1
        rows = tuple((c.name if several else c.standing.system.name, *_row(c), why) for c, why in of.others)
        columns = ("runner-up", "score", "p99 ms", "memory GiB", "s per 1,000", "why not")
        print_grid(Grid("", columns, rows, (), frozenset({"why not"})), console)


def evidence_lines(of: Candidate) -> list[str]:
    """What the recommendation rests on, one line each."""
    measured, speed, score, training = of.standing.measured, of.standing.speed, of.standing.score, of.training
    assert speed is not None and score is not None and training is not None
    device = (
        f"{measured.device['name']}, {plural(measured.device['threads'], 'thread')}, {measured.device['precision']}"
    )
    lines = [
        f"score {score.text} (standard error of {score.count:,} rows, one seed); key {score.key[:12]}",
        f"offline {number(speed.seconds_per_1000)} s for 1,000 examples; memory {number(speed.memory_gib)} GiB",
        f"training {number(training.seconds)} device-seconds, {training.tokens:,} tokens",
        f"measured in {measured.title} on {device}{measured.note and f'; {measured.note}'}; key {measured.key[:12]}",
    ]
    if of.standing.system.layer is not None:
        lines.insert(
            0, f"read at layer {of.standing.system.layer} of {of.standing.system.num_layers}, those above are not run"
        )
    if speed.p50 is not None:
        lines.insert(-3, f"latency p50 {milliseconds(speed.p50)} ms, {_tail(speed.p90, 90)}, {_tail(speed.p99, 99)}")
    return lines


def _tail(found: EarlyStopping | None, p: int) -> str:
    if found is None:
        return f"p{p} not known"
    if found.estimate is None:
        return f"p{p} not known ({found.queries} queries, {found.needed} are needed)"
    return f"p{p} {milliseconds(found.estimate)} ms"


def _row(of: Candidate) -> tuple[str, ...]:
    speed, score = of.standing.speed, of.standing.score
    p99 = None if speed is None else speed.p99
    return (
        NOTHING if score is None else score.text,
        NOTHING if p99 is None else milliseconds(p99.estimate),
        NOTHING if speed is None else number(speed.memory_gib),
        NOTHING if speed is None else number(speed.seconds_per_1000),
    )
