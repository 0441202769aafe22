"""Answers of questions in a translated context: translated apart, then looked for.

The context is translated once for all its questions, without marks in it that would change its translation. An answer is
translated apart and looked for in the translated context as whole words, in either case; if it is not there, the answer as
the source has it is looked for (names, numbers). Where it stands several times, the place nearest to the answer's relative
place in the source counts. What is not found is lost: an inflected answer often is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xstilts.languages import LANGUAGES
from xstilts.task_types import Answer

RULE = "answers are translated apart and looked for in the translated context; else as they stand in the source"
_UNSPACED = {"Hans", "Hant", "Jpan", "Thai", "Mymr", "Khmr", "Laoo"}
_EDGES = " .,;:!?\"'«»“”„‘’()[]。，、！？"

How = Literal["as translated", "as in the source"]


@dataclass(frozen=True, slots=True)
class Found:
    """An answer in a translated context, how it was found, and whether it stands there several times."""

    answer: Answer
    how: How
    several: bool


def find_answer(context: str, translated: str, original: str, place: float, language: str) -> Found | None:
    """Where an answer stands in ``context``; ``None`` if it is lost.

    Args:
        context: the translated context.
        translated: the answer, translated apart.
        original: the answer in the source.
        place: where the answer starts in the source's context, as a share of its length.
        language: of ``context``; scripts without spaces have no word boundaries.
    """
    candidates: tuple[tuple[str, How], ...] = ((translated, "as translated"), (original, "as in the source"))
    for text, how in candidates:
        wanted = text.strip(_EDGES)
        starts = list(_places(context, wanted, language)) if wanted else []
        if starts:
            start = min(starts, key=lambda at: abs(at / len(context) - place))
            return Found(Answer(context[start : start + len(wanted)], start), how, len(starts) > 1)
    return None


def _places(context: str, wanted: str, language: str) -> Iterator[int]:
    edge = "" if _unspaced(language) else r"\b"
    first, last = (edge if wanted[k].isalnum() else "" for k in (0, -1))
    for match in re.finditer(f"{first}{re.escape(wanted)}{last}", context, re.IGNORECASE):
        if len(match.group()) == len(wanted):  # upper and lower case of a few letters have other lengths
            yield match.start()


def _unspaced(language: str) -> bool:
    return language in LANGUAGES and LANGUAGES[language].script in _UNSPACED
