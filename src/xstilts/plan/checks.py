"""What is found out while planning: mistakes that would otherwise show only in the results."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from xstilts.errors import StudyError
from xstilts.hyperparameters import MASKED_LM, Encoding
from xstilts.study import Study
from xstilts.tasks import load


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


def check_lengths(study: Study, model: str, positions: int, otherwise: str) -> None:
    """No task may encode longer sequences than a model numbers: found out here, not after it was made.

    Args:
        model: what the study calls it.
        positions: sub-words of the longest sequence that it numbers.
        otherwise: what else helps, for the hint.
    """
    arms = [task for arm in study.arms.values() for task in arm.learned]
    for role, names in (("intermediate", arms), ("target", study.targets)):
        for task in names:
            defaults = Encoding() if task == MASKED_LM else load(task).encoding
            length = study.encoding_of(task, role, defaults).max_length
            if length > positions:
                raise StudyError(
                    f"{task} is encoded in up to {length} sub-words, but models.{model} numbers {positions}",
                    where=f"encoding.{task}.max_length",
                    hint=f"say so in the study file: encoding: {{{role}: {{max_length: {positions}, stride: "
                    f"{positions // 4}}}}}, or {otherwise}",
                )


def _digests(part: Mapping[str, Any]) -> set[str]:
    return {file["sha256"] for file in part["files"]}
