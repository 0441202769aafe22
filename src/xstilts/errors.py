"""The error tree: everything the user can cause or mend is an ``XstiltsError``.

XstiltsError
├── StudyError       the study file: a wrong field, an unknown name
├── DataError        a data file: missing, damaged, a bad row (names ``file:line``)
├── GoldError        gold labels: missing, placeholders, wrong number of lines
├── PredictionError  somebody's predictions: missing language, wrong number of lines
├── ModelError       a model folder or head that does not fit the task
├── StoreError       the store: damaged node, disk full, read-only
├── TrainingError    a run that cannot go on: no rows left
│   └── NotFiniteError   a loss, gradient or dev score that is no number
├── DeviceMemoryError the device's memory does not hold what cannot be made smaller by itself
├── BeginAgainError  one of several processes that train one model ran out of memory: all begin anew with less
├── MeasurementError a measured process failed, or there is nothing to measure
├── MemoryNeedError  what is asked needs more memory than the device has
├── StatisticsError  numbers that cannot bear what is asked of them: too few, not finite
├── TranslationError an engine that translates is missing, fails, or gives other lines than it was given
└── MissingNameError a task, model, arm or node name that does not exist (lists the nearest)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

_MOST_SHOWN = 4000
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, what turns the direction of writing, and halves of surrogate pairs."""


class XstiltsError(Exception):
    """What went wrong, where, and what helps.

    Args:
        what: the problem with the offending value and the rule it breaks.
        where: ``file:line``, a field's path or a node key; empty if there is no such place.
        hint: the nearest names or the command that helps; empty if there is none.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = map(_readable, (what, where, hint))
        super().__init__(self.what, self.where, self.hint)

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return 2

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n  {self.hint}" if self.hint else "")


class StudyError(XstiltsError):
    """The study file says something that cannot be."""


class DataError(XstiltsError):
    """A data file is missing, damaged or holds a bad row."""


class GoldError(XstiltsError):
    """Gold labels are missing, are placeholders, or do not fit the predictions."""


class PredictionError(XstiltsError):
    """Predictions are missing, malformed, or do not fit the gold."""


class ModelError(XstiltsError):
    """A model folder cannot be used for what is asked."""


class StoreError(XstiltsError):
    """The store is damaged, full or read-only."""


class TrainingError(XstiltsError):
    """Training cannot go on."""


class NotFiniteError(TrainingError):
    """A loss, a gradient or a dev score is not a number."""


class DeviceMemoryError(XstiltsError):
    """Memory of the device or the machine does not suffice, and smaller micro-batches do not help."""


class BeginAgainError(XstiltsError):
    """Processes that train one model must all begin anew, with other resources; it ends no run.

    Args:
        what: why.
        again: names of ``Resources`` -> their new values.
    """

    def __init__(self, what: str, again: dict[str, Any]) -> None:
        super().__init__(what)
        self.again = again


class MeasurementError(XstiltsError):
    """A measured process failed, or what is asked cannot be measured."""


class MemoryNeedError(XstiltsError):
    """More memory is needed than there is."""


class StatisticsError(XstiltsError):
    """Too few numbers, or numbers that are none, for the statistic asked."""


class TranslationError(XstiltsError):
    """An engine that translates is missing or fails, or its output does not fit its input."""


class MissingNameError(XstiltsError):
    """A name that does not exist; the hint lists the nearest that do."""

    def __init__(self, kind: str, name: str, names: Iterable[str], *, where: str = "") -> None:
        names = list(names)
        super().__init__(f"unknown {kind} {name!r}", where=where, hint=nearest(name, names))


def shown(value: object) -> str:
    """A value from outside in at most 100 characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def _readable(text: str) -> str:
    """Of what outsiders wrote only so much, and nothing that a terminal obeys or cannot show."""
    if len(text) > _MOST_SHOWN:
        text = f"{text[: _MOST_SHOWN // 2]} ... ({len(text):,} characters) ... {text[-_MOST_SHOWN // 2 :]}"
    return text if text.isprintable() else _COMMANDS.sub(lambda found: repr(found.group())[1:-1], text)


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which known names are closest to ``name``, or list them all when none is close."""
    names = list(names)
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(n) for n in close) + "?"
    return ("known: " + ", ".join(names)) if names else ""
