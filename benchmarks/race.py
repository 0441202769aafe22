"""What is timed against what: contenders that do the same work, and the check that they give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Call = Callable[[], Any]
"""One pass over the work; gives its answers, or ``Timed`` answers."""


@dataclass(frozen=True)
class Timed:
    """Answers of a contender that holds the watch itself, because set-up and a first step are not to be counted."""

    seconds: float
    value: Any


class Ready(NamedTuple):
    """A contender that has loaded what it needs.

    ``note`` says what it chose (a batch size); ``computed`` how many positions a call runs through the encoder, padding
    too, where that is known.
    """

    call: Call
    note: str = ""
    computed: int | None = None


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Args:
        make: loads and calibrates; not timed.
        work: units done in one call. Contenders that draw other batches differ in it, so speeds are compared per unit.
        flops: operations that the answers need on real tokens, in one call: no padding, and heads only where they are
            read. One rule for all contenders, so what is computed beyond it lowers the share of the peak.
    """

    make: Callable[[], Ready]
    work: float
    flops: int | None = None


@dataclass(frozen=True)
class Difference:
    """Two answers that are not the same. ``distance`` says how far: small is a tie that rounding decided."""

    where: str
    distance: float


@dataclass(frozen=True)
class Agreement:
    """Whether contenders gave the same answers.

    Args:
        compared: what was compared, with numbers.
        differences: all of them, near ties too.
        near: a difference of at most this distance is rounding.
        evidence: kept in the record (loss curves).
    """

    compared: str
    differences: Sequence[Difference] = ()
    near: float = 0.0
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Every difference is rounding."""
        return all(d.distance <= self.near for d in self.differences)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, with the largest twenty differences."""
        largest = sorted(self.differences, key=lambda d: -d.distance)[:20]
        return {
            "holds": self.holds,
            "compared": self.compared,
            "near": self.near,
            "number_of_differences": len(self.differences),
            "differences": [{"where": d.where, "distance": float(f"{d.distance:.3g}")} for d in largest],
            **self.evidence,
        }


@dataclass(frozen=True)
class Race:
    """Contenders that take turns.

    Args:
        name: the line, and what is special.
        unit: of ``Contender.work``: "tokens", "queries".
        contenders: by name, in the order of the table.
        base: the contender whose time is 1.
        check: takes each contender's answers of the warm-up.
        memory: whether the peak memory of each is measured too, in a process of its own.
        notes: kept in the record.
    """

    name: str
    unit: str
    contenders: Mapping[str, Contender]
    base: str
    check: Callable[[Mapping[str, Any]], Agreement]
    memory: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
