"""What is found out while planning: mistakes that would otherwise show only in the results."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from xstilts.errors import StudyError


def check_repeats(parts: Mapping[str, Mapping[str, Any]], arm: str) -> None:
    """MNLI is a part of ANLI+: nobody should learn its rows twice without meaning to."""
    for one, other in combinations(parts, 2):
        both = _digests(parts[one]) & _digests(parts[other])
        if both:
            raise StudyError(
                f"{one} and {other} have {len(both)} training file{'s' * (len(both) > 1)} in common",
                where=f"arms.{arm}.intermediate",
                hint="leave one of them out, or mean it: mixture: {repeat: true}",
            )


def _digests(part: Mapping[str, Any]) -> set[str]:
    return {file["sha256"] for file in part["files"]}
