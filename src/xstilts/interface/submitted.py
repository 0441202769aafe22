"""Official scores of a submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xstilts.interface.words import in_python

if TYPE_CHECKING:
    from xstilts.submission import SubmissionScores


@in_python
def score(
    predictions: str | Path, gold: str | Path, *, partial: bool = False, aligned_tatoeba: bool = False
) -> SubmissionScores:
    """Official scores of anybody's XTREME submission, to the last digit.

    Args:
        predictions: a folder with a sub-folder for each task, ``test-LL.tsv`` or ``.json`` in it.
        gold: the labels in the same layout.
        partial: score what is there, and list what is not, instead of refusing.
        aligned_tatoeba: Tatoeba's English side is in aligned order: the gold 0, 1, 2 ... is right.

    Returns:
        ``overall``, ``groups`` and ``tasks`` (0..100; ``None`` where a mean lacks a task or a language).

    Raises:
        PredictionError, GoldError: a file is missing, malformed, or does not fit the other.
    """
    from xstilts.submission import score_submission

    return score_submission(Path(predictions), Path(gold), partial=partial, aligned_tatoeba=aligned_tatoeba)
