"""The texts of an example, and the example again with its texts translated, or the reason why it is dropped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from xstilts.task_types import ChoiceExample, PairExample, SpanExample
from xstilts.translation.engine import Translation
from xstilts.translation.spans import find_answer

Reason = Literal["in a test set", "no gold", "empty", "too long", "untranslated", "span lost"]
REASONS: dict[Reason, str] = {
    "in a test set": "a test set in the data folder says the same (questions: has the context)",
    "no gold": "the row has no label or answer",
    "empty": "a text or its translation is empty",
    "too long": "a text or its translation is longer than the engine takes",
    "untranslated": "too large a share of the words is untranslated",
    "span lost": "no answer is found in the translated context",
}
_UNSPACED = "\u0e00-\u0e7f\u1000-\u109f\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W\d_])+")
"""A word; of scripts without spaces, a letter."""

Look = Callable[[str], Translation]


def even(text: str) -> str:
    """The text on one line, single spaces: what an engine is given."""
    return " ".join(text.split())


def texts_of(example: Any) -> tuple[str, ...]:
    """The texts of a pair, a question with its context and answers, or a prompt with its choices; evened out.

    An example that will be dropped for want of gold has none.
    """
    found: tuple[str, ...]
    match example:
        case PairExample(label=label):
            found = () if label is None else (example.first, *([example.second] if example.second is not None else []))
        case ChoiceExample(label=label):
            found = () if label is None else (example.prompt, *example.choices)
        case SpanExample(answers=answers):
            found = () if answers is None else (example.question, example.context, *(a.text for a in answers))
        case _:
            raise TypeError(f"{type(example).__name__} has no texts to translate")
    return tuple(text for text in map(even, found) if text)


@dataclass
class Rebuilding:
    """Puts examples together from translated texts, and counts what happened.

    Args:
        translated: the translation of every text that ``texts_of`` names.
        language: of the translations.
        most_untranslated: a larger share of untranslated words drops the example.
    """

    translated: Mapping[str, Translation]
    language: str
    most_untranslated: float
    dropped: Counter[Reason] = field(default_factory=Counter)
    spans: Counter[str] = field(default_factory=Counter)
    words: int = 0
    untranslated: int = 0

    def all(self, examples: Sequence[Any]) -> list[Any]:
        """The examples that are kept; the others are counted by reason."""
        kept = []
        for example in examples:
            rebuilt = self._one(example)
            if isinstance(rebuilt, str):
                self.dropped[cast(Reason, rebuilt)] += 1
            else:
                kept.append(rebuilt)
        return kept

    def _one(self, example: Any) -> Any | Reason:
        match example:
            case PairExample():
                pair = (example.first,) if example.second is None else (example.first, example.second)
                found = self._texts(pair, example.label)
                return found if isinstance(found, str) else replace(example, first=found[0], second=(*found, None)[1])
            case ChoiceExample():
                found = self._texts((example.prompt, *example.choices), example.label)
                return found if isinstance(found, str) else replace(example, prompt=found[0], choices=tuple(found[1:]))
        assert isinstance(example, SpanExample)
        found = self._texts((example.question, example.context), example.answers)
        return found if isinstance(found, str) else self._answered(example, *found)

    def _texts(self, texts: Sequence[str], gold: Any) -> list[str] | Reason:
        """The translations of an example's texts, or why it is dropped."""
        if gold is None:
            return "no gold"
        originals = [even(text) for text in texts]
        if not all(originals):
            return "empty"
        found = [self.translated[text] for text in originals]
        if not all(translation.fits for translation in found):
            return "too long"
        if not all(translation.text for translation in found):
            return "empty"
        words = sum(len(_WORD.findall(translation.text)) for translation in found)
        unknown = sum(untranslated_words(text, its) for text, its in zip(originals, found, strict=True))
        if unknown > self.most_untranslated * words:
            return "untranslated"
        self.words, self.untranslated = self.words + words, self.untranslated + unknown
        return [translation.text for translation in found]

    def _answered(self, example: SpanExample, question: str, context: str) -> SpanExample | Reason:
        places = []
        for answer in example.answers or ():
            original = even(answer.text)
            translated = self.translated[original].text if original else ""
            share = answer.start / max(1, len(example.context))
            if found := find_answer(context, translated, original, share, self.language):
                places.append(found)
        if example.answers and not places:
            return "span lost"
        for found in places:
            self.spans[found.how] += 1
            self.spans["the nearest of several"] += found.several
        answers = tuple(dict.fromkeys(found.answer for found in places))
        return replace(example, question=question, context=context, answers=answers)


def untranslated_words(original: str, translation: Translation) -> int:
    """How many words the engine marked; of an engine that marks none, how many stand in the original as well."""
    if translation.unknown is not None:
        return translation.unknown
    there = {word.casefold() for word in _WORD.findall(original)}
    return sum(word.casefold() in there for word in _WORD.findall(translation.text))
