"""What a claim is, what a check finds, and what checks may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xstilts.published.numbers import Published
from xstilts.published.own import OwnStudy
from xstilts.study import Study

Verdict = Literal["holds", "contradicted", "not measured here"]
RECIPE = "phang2020"
"""The shipped recipe that is read as the paper's."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        verdict: ``not measured here`` also where the measurement is too coarse to say.
        evidence: what was looked at and what was seen.
        settles: what would settle it, with its cost; empty where it is settled.
        note: what bears on it without settling it: smaller studies of ours, printed tables with their marks.
    """

    verdict: Verdict
    evidence: str
    settles: str = ""
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """What checks may look at.

    Args:
        recipes: the shipped studies by name, ``RECIPE`` among them.
        data: a data folder, if there is one.
        studies: results of ours.
        published: printed numbers.
    """

    recipes: Mapping[str, Study]
    data: Path | None
    studies: tuple[OwnStudy, ...]
    published: Published

    @property
    def recipe(self) -> Study:
        """The paper's."""
        return self.recipes[RECIPE]


@dataclass(frozen=True)
class Claim:
    """One claim.

    Args:
        id: C01 to C19.
        text: shortened.
        marked: whether the founding document calls it verified, and its confidence, 0..1.
        kind: what can settle it.
        reading: the rule by which the words become a check.
        check: evidence to finding.
    """

    id: str
    text: str
    marked: tuple[bool, float]
    kind: Literal["data", "config", "config + data", "study"]
    reading: str
    check: Callable[[Evidence], Finding]
