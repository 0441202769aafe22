"""Exact match and F1 of answers, by the three official scripts: SQuAD v1.1, MLQA v1 and SQuAD v2.0.

Every question scores the best of its gold answers; a task's number is the mean over its questions. The scripts' habits
are kept, odd ones too:

* SQuAD and MLQA: an answer that is nothing but articles and punctuation matches itself exactly and has F1 0;
* SQuAD's rule takes English articles and ASCII punctuation out in every language, and cuts words at white space only;
* MLQA in Arabic turns every alef-lam into a space, in the middle of a word too.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from xstilts.errors import GoldError, XstiltsError
from xstilts.languages import private_use
from xstilts.metrics.additive import ROWS, Additive, Contributions
from xstilts.metrics.checks import check_rows

Answers = Sequence[str]
Normalise = Callable[[str], str]
AnswerF1 = Callable[[list[str], list[str]], float]

_ENGLISH = r"\b(?:a|an|the)\b"
_ARTICLES = {
    "en": _ENGLISH,
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",
    "hi": None,
    "zh": None,
}
"""What MLQA's script takes out, by language; Hindi and Chinese have no list."""

_HAN = re.compile("([\u4e00-\u9fa5])")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _squad(golds: Sequence[Answers], predictions: Sequence[str | None], language: str) -> Contributions:
    return _answers(golds, predictions, normalise_squad, _f1)


def _mlqa(golds: Sequence[Answers], predictions: Sequence[str | None], language: str) -> Contributions:
    if language not in _ARTICLES and not private_use(language):
        raise XstiltsError(
            f"MLQA's script has no rule for the language {language!r}", hint=f"it has: {', '.join(sorted(_ARTICLES))}"
        )
    return _answers(golds, predictions, lambda text: normalise_mlqa(text, language), _f1)


def _squad_v2(golds: Sequence[Answers], predictions: Sequence[str | None], language: str) -> Contributions:
    check_rows(golds, predictions)
    kept = [tuple(answer for answer in answers if normalise_squad(answer)) or ("",) for answers in golds]
    return _answers(kept, predictions, normalise_squad, _f1_or_both_empty)


def _means(sums: Mapping[str, Any]) -> dict[str, Any]:
    return {name: 100.0 * sums[name] / sums[ROWS] for name in ("exact_match", "f1")}


squad_metric = Additive(_squad, _means, "question")
"""``exact_match`` and ``f1`` of SQuAD v1.1's script, 0..100 (XQuAD, TyDiQA); the language plays no part.

Args:
    golds: the texts of each question's answers, at least one.
    predictions: the answer to each question; ``None`` is an unanswered question, which scores 0 in both.
    language: not used.

Raises:
    GoldError: gold is missing or a question has no answer.
    PredictionError: the numbers of rows differ.
"""

mlqa_metric = Additive(_mlqa, _means, "question")
"""``exact_match`` and ``f1`` of MLQA's script, 0..100. Arguments and errors as ``squad_metric``.

The language decides on articles and words; a constructed one (private-use code) has no articles. Another one that MLQA does
not have raises ``XstiltsError``.
"""

squad_v2_metric = Additive(_squad_v2, _means, "question")
"""``exact_match`` and ``f1`` of SQuAD v2.0's script, 0..100.

An empty tuple of answers is an unanswerable question, whose right prediction is the empty string. Gold answers that normalise
to nothing do not count. Arguments and errors otherwise as ``squad_metric``.
"""


def normalise_squad(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces."""
    text = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(re.sub(_ENGLISH, " ", text).split())


def normalise_mlqa(text: str, language: str) -> str:
    """Lower case, no punctuation of any script, no articles of the language, single spaces.

    In Chinese each character from U+4E00 to U+9FA5 is a word of its own.
    """
    text = "".join(character for character in text.lower() if not _is_punctuation(character))
    articles = _ARTICLES.get(language)
    if articles is not None:
        text = re.sub(articles, " ", text)
    if language == "zh":
        text = _HAN.sub(r" \1 ", text)
    return " ".join(text.split())


@cache
def _is_punctuation(character: str) -> bool:
    # ASCII symbols such as "$" and "+" are not of Unicode's class P, but the script takes them out too.
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _f1(prediction: list[str], gold: list[str]) -> float:
    shared = sum((Counter(prediction) & Counter(gold)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(prediction), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def _f1_or_both_empty(prediction: list[str], gold: list[str]) -> float:
    return _f1(prediction, gold) if prediction and gold else float(prediction == gold)


def _answers(
    golds: Sequence[Answers], predictions: Sequence[str | None], normalise: Normalise, answer_f1: AnswerF1
) -> Contributions:
    """Exact match (0 or 1) and F1 (0 to 1) of each question."""
    check_rows(golds, predictions)
    exact: list[float] = []
    f1: list[float] = []
    for row, (answers, prediction) in enumerate(zip(golds, predictions, strict=True)):
        if isinstance(answers, str) or not answers:
            raise GoldError(f"the gold of question {row} is {answers!r}: a tuple of one answer or more is needed")
        found = None if prediction is None else normalise(prediction)
        wanted = [] if found is None else [normalise(answer) for answer in answers]
        exact.append(float(found in wanted))
        f1.append(0.0 if found is None else max(answer_f1(found.split(), gold.split()) for gold in wanted))
    return Contributions({"exact_match": exact, "f1": f1})
