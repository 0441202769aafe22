"""Two stores, number by number: what both have and where they differ; equal keys say that the very same thing was asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.report.grid import NOTHING, Grid, plural

Row = Mapping[str, Any]
PLACE = ("study", "model", "arm", "target", "split")
NUMBER = ("language", "seed", "metric", "layer", "pooling", "selection")
"""With ``PLACE``, what makes a number the same number in another store."""
SAME = 1e-9
"""Points below which two numbers are equal: the rest is how a sum was rounded."""


@dataclass(frozen=True)
class Pair:
    """A number that at least one of two stores has; ``None`` where one lacks it.

    Args:
        at: fields ``PLACE`` and ``NUMBER``.
        same_key: whether both come from a node with the same key: the same spec, code version and inputs.
    """

    at: tuple[Any, ...]
    first: float | None
    second: float | None
    same_key: bool

    @property
    def difference(self) -> float | None:
        """Second minus first, in points."""
        return None if self.first is None or self.second is None else self.second - self.first


def pairs(first: Sequence[Row], second: Sequence[Row]) -> list[Pair]:
    """The numbers of two stores side by side, in the order of the first, then what only the second has.

    Args:
        first, second: result rows with the name of their ``study``; places without a score count as lacking.
    """
    ours, theirs = ({_at(row): row for row in rows if row["value"] is not None} for rows in (first, second))
    found = []
    for at in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(at), theirs.get(at)
        same = one is not None and other is not None and one["key"] == other["key"]
        found.append(Pair(at, _value(one), _value(other), same))
    return found


def stores_grid(found: Sequence[Pair], names: tuple[str, str]) -> Grid:
    """One row for each study, model, arm, target and split."""
    places: dict[tuple[Any, ...], list[Pair]] = defaultdict(list)
    for pair in found:
        places[pair.at[: len(PLACE)]].append(pair)
    body = tuple((f"{at[0]}: {at[1]}/{at[2]}", f"{at[3]} {at[4]}", *_counts(of)) for at, of in places.items())
    both = [p for p in found if p.difference is not None]
    equal = sum(abs(p.difference or 0.0) <= SAME for p in both)
    apart = [p for p in both if p.same_key and abs(p.difference or 0.0) > SAME]
    notes = [
        f"{len(both):,} numbers are in both stores, {equal:,} of them equal. Differences are {names[1]} minus {names[0]}, in "
        "points, with their sign: the one that is largest, and the mean.",
        "same key: numbers of nodes that were asked for the very same thing (spec, code version, inputs).",
    ]
    if apart:
        notes.append(
            f"Different under one key: {plural(len(apart), 'number')} (another machine, thread count or library version)."
        )
    columns = (
        "arm",
        "target",
        "in both",
        "same key",
        "equal",
        "largest",
        "mean",
        f"only {names[0]}",
        f"only {names[1]}",
    )
    return Grid(f"{names[0]} beside {names[1]}", columns, body, tuple(notes), frozenset({"target"}))


def plain(found: Sequence[Pair]) -> list[dict[str, Any]]:
    """One row a number."""
    return [
        dict(zip((*PLACE, *NUMBER), pair.at, strict=True))
        | {"first": pair.first, "second": pair.second, "difference": pair.difference, "same_key": pair.same_key}
        for pair in found
    ]


def _value(row: Row | None) -> float | None:
    return None if row is None else float(row["value"])


def _at(row: Row) -> tuple[Any, ...]:
    return tuple(row[field] for field in (*PLACE, *NUMBER))


def _counts(of: Sequence[Pair]) -> tuple[str, ...]:
    differences = [p.difference for p in of if p.difference is not None]
    shown = (NOTHING, NOTHING)
    if differences:
        largest = max(differences, key=abs)
        shown = (f"{largest:+.2f}", f"{sum(differences) / len(differences):+.2f}")
    return (
        str(len(differences)),
        str(sum(p.same_key for p in of)),
        str(sum(abs(d) <= SAME for d in differences)),
        *shown,
        str(sum(p.second is None for p in of)),
        str(sum(p.first is None for p in of)),
    )
