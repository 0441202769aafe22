"""The words of a language: cognates by sound change, the rest from its own syllables, spelled in its script."""

from __future__ import annotations

from xstilts.pocket.concepts import (
    ADJECTIVES,
    CONTENT,
    FUNCTION,
    GIVEN_NAMES,
    NOUNS,
    ORGANISATIONS,
    SURNAMES,
    SYNONYMS,
    TOWNS,
    VERBS,
)
from xstilts.pocket.draw import Draw
from xstilts.pocket.tongues import NameKind, Tongue

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SCRIPTS = {
    "Cyrl": {"sh": "ш", "ch": "ч", **dict(zip(_LETTERS, "абцдефгхийклмнопкрстуввшыз", strict=True))},
    "Geor": {"sh": "შ", "ch": "ჩ", **dict(zip(_LETTERS, "აბცდეფგჰიჯკლმნოპქრსტუვვხიზ", strict=True))},
}
_RESERVED = {"a", "an", "the"}  # SQuAD's script takes them out of answers in every language


class Lexicon:
    """The words of ``tongue``: for each concept one or two (synonyms), for each name one.

    Equal seeds give equal words; no two concepts of a language share a word, and only cognates look like the source's.
    """

    def __init__(self, tongue: Tongue, seed: int) -> None:
        self.tongue = tongue
        self._draw = Draw(seed, "words", tongue.code)
        self._taken: set[str] = set(_RESERVED)
        content = list(dict.fromkeys(CONTENT))
        self.cognates = frozenset(self._draw.sample(content, round(tongue.cognates * len(content))))
        # English words are not invented anew by accident.
        english = {*content, *FUNCTION, *SYNONYMS.values()}
        if tongue.distance:
            self._taken |= english
        self.words: dict[str, tuple[str, ...]] = {}
        for concept in (*content, *FUNCTION):
            sources = (concept, SYNONYMS[concept]) if concept in SYNONYMS else (concept,)
            self.words[concept] = tuple(self._word(concept, source) for source in sources)
        self.names = dict(self._names())

    def word(self, concept: str, second: bool = False) -> str:
        """The word for a concept; its synonym if ``second``, where there is one."""
        forms = self.words[concept]
        return forms[-1] if second else forms[0]

    def spell(self, latin: str) -> str:
        """Letters of the Latin alphabet in the language's script, which may have no capitals."""
        table = _SCRIPTS.get(self.tongue.script)
        if table is None:
            return latin
        spelled = latin.lower()
        for letters, sign in table.items():
            spelled = spelled.replace(letters, sign)
        return spelled.capitalize() if latin[0].isupper() else spelled

    def _word(self, concept: str, source: str) -> str:
        if not self.tongue.distance:
            return source
        shifted = self._shifted(source, concept)
        # A cognate may equal its own source word, never another word of the source or of this language.
        if concept in self.cognates and (shifted not in self._taken or shifted == source):
            word = shifted
        else:
            word = self._invented(concept)
        self._taken.add(word)
        return self.spell(word)

    def _shifted(self, word: str, concept: str) -> str:
        for old, new in self.tongue.shifts:
            word = word.replace(old, new)
        noun, adjective, verb = self.tongue.endings
        ending = noun if concept in NOUNS else adjective if concept in ADJECTIVES else verb if concept in VERBS else ""
        return (word[:-1] if ending and word[-1] in "aeiou" else word) + ending

    def _invented(self, concept: str) -> str:
        """A new word of one short syllable for what is said often, of two or three for the rest."""
        onsets, vowels, codas = (text.split() for text in (self.tongue.onsets, self.tongue.vowels, self.tongue.codas))
        short = concept in FUNCTION
        onsets = [onset for onset in onsets if len(onset) == 1] if short else onsets
        while True:
            syllables = 1 if short else 2 + (concept in NOUNS and self._draw.chance(0.3))
            word = "".join(self._draw.pick(onsets) + self._draw.pick(vowels) for _ in range(syllables))
            if not short or self._draw.chance(0.3):
                word += self._draw.pick(codas).replace("-", "")
            if word not in self._taken:
                return word

    def _names(self) -> list[tuple[str, str]]:
        kinds: list[tuple[NameKind, str]] = [("person", name) for name in GIVEN_NAMES]
        kinds += [("town", name) for name in (*TOWNS, *SURNAMES)]
        kinds += [("organisation", name) for name in ORGANISATIONS]
        return [(name, name if kind in self.tongue.shared_names else self._respelled(name)) for kind, name in kinds]

    def _respelled(self, name: str) -> str:
        parts = []
        for part in name.split():
            word = part.lower()
            for old, new in self.tongue.shifts:
                word = word.replace(old, new)
            parts.append(self.spell(word.capitalize()))
        return " ".join(parts)
