"""What a reader must know of answers that a model wrote: how many could not be taken as they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import mean
from typing import Any

FLAWS = ("unparsable", "outside_input", "other_script", "unplaced", "unfinished")
"""Metrics of what may be wrong with a written answer, in per cent of the rows; docs/text-to-text.md says what each means."""
SHOWN = 0.05
"""Less than this in the worst language is not worth a word."""


def flaw_notes(rows: Iterable[Mapping[str, Any]], model: str, split: str) -> Iterator[str]:
    """The line under a table of a model that writes its answers.

    Args:
        rows: results, those beside the main scores too.
        model: which of them.
        split: of the table.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        if (row["model"], row["split"]) == (model, split) and row["metric"] in FLAWS:
            found[row["target"]][row["metric"]][row["language"]].append(row["value"])
    said = [f"{target} {_said(flaws)}" for target, flaws in found.items()]
    if said:
        yield f"Written answers with a flaw, in per cent of the rows (in brackets the language with most): {'; '.join(said)}."


def _said(flaws: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Means over arms and seeds, then languages."""
    parts = []
    for flaw, by_language in flaws.items():
        means = {language: mean(values) for language, values in by_language.items()}
        worst = max(means, key=lambda language: means[language])
        if means[worst] >= SHOWN:
            parts.append(f"{flaw} {mean(means.values()):.1f} ({worst} {means[worst]:.1f})")
    return ", ".join(parts) or "none"
