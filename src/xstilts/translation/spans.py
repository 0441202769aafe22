"""Answers of questions in a translated context: translated apart, then looked for.

The context is translated once for all its questions, without marks in it that would change its translation. An answer is
translated apart and looked for in the translated context as whole words, in either case; if it is not there, the answer as
the source has it is looked for, if it has a capital letter or a digit (names, numbers). Where it stands several times, the
place nearest to the answer's relative place in the source counts. What is not found is lost: an inflected answer often is.
"""

from __future__ import annotations

import re
import unicodedata
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
    candidates: list[tuple[str, How]] = [(translated, "as translated")]
    if original != original.lower() or any(character.isdigit() for character in original):
        candidates.append(
            (original, "as in the source")
        )  # another word may be spelled as the source's: red, net in Spanish
    for text, how in candidates:
        wanted = text.strip(_EDGES)
        starts = list(_places(context, wanted, language)) if wanted else []
        if starts:
            start = min(starts, key=lambda at: abs(at / len(context) - place))
            return Found(Answer(context[start : start + len(wanted)], start), how, len(starts) > 1)
    return None


def _places(context: str, wanted: str, language: str) -> Iterator[int]:
    spaced = not _unspaced(language)
    for match in re.finditer(re.escape(wanted), context, re.IGNORECASE):
        if len(match.group()) != len(wanted):  # upper and lower case of a few letters have other lengths
            continue
        if spaced and not (
            _begins_word(context, match.start()) and _begins_word(context[::-1], len(context) - match.end())
        ):
            continue
        yield match.start()


def _begins_word(text: str, at: int) -> bool:
    """Whether no word or number goes on from before ``at``; vowel signs and other marks are parts of a word."""
    if at == 0 or not _of_word(text[at]) or text[at - 1].isspace():
        return True
    if text[at - 1] in ".," and text[at].isdigit():  # 5.000 and 1,5 are one number
        return at == 1 or not text[at - 2].isdigit()
    return not _of_word(text[at - 1])


def _of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _unspaced(language: str) -> bool:
    return language in LANGUAGES and LANGUAGES[language].script in _UNSPACED
