"""A language's grammar: scenes become sentences whose every word knows its tag, its entity, its supertag and its role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xstilts.pocket.concepts import CATEGORY_OF
from xstilts.pocket.lexicon import Lexicon
from xstilts.pocket.scenes import Fact, Likeness, Phrase, Role, Saying, Scene, State
from xstilts.pocket.tongues import Tongue

_VOWELS = frozenset("aeiou") | frozenset("аеиоуы") | frozenset("აეიოუ")
_ADJUNCT = "(S\\NP)\\(S\\NP)"
_ORDERS = {"SVO": "SVOCPT", "VSO": "VSOCPT", "SOV": "STPCOV"}
"""Subject, verb, object, companion, place, time."""
_PLACES = {"": "", "agent": "S", "object": "O", "place": "P", "time": "T", "count": "O"}


class Word(NamedTuple):
    """A word in a sentence: its form, universal tag, supertag, entity type, role in the scene and what it inflects."""

    form: str
    upos: str
    supertag: str
    entity: str = ""
    role: str = ""
    concept: str = ""
    second: bool = False
    inflection: str = ""


class Speaker:
    """Says things in one language.

    Supertags follow English (CCGbank's categories, kept small enough for application alone) and are meant for the source.
    """

    def __init__(self, tongue: Tongue, seed: int) -> None:
        self.tongue = tongue
        self.lexicon = Lexicon(tongue, seed)
        # A word or a phrase is made once: the same list is given out again, so nobody changes one.
        self._forms: dict[tuple[str, bool, str], str] = {}
        self._words: dict[tuple[str, str, str, str, bool, str], Word] = {}
        self._phrases: dict[tuple[Phrase, str, str], list[Word]] = {}

    def say(self, saying: Saying) -> list[Word]:
        """One sentence with its full stop."""
        match saying:
            case Scene():
                words = self._clause(saying)
            case State():
                words = self._state(saying)
            case Fact():
                words = self._fact(saying)
            case Likeness():
                words = self._likeness(saying)
        return [*words, Word(".", "PUNCT", ".")]

    def ask(self, scene: Scene, role: Role) -> list[Word]:
        """The question for one role of a scene that is neither negated nor linked."""
        return [*self._clause(scene._replace(negated=False, then=False), role), Word("?", "PUNCT", ".")]

    def answer(self, scene: Scene, role: Role) -> list[Word]:
        """The words that answer it, without articles, numerals and adpositions."""
        return [word for word in self._clause(scene) if word.role == role]

    def ask_around(self, who: Phrase, when: str) -> list[Word]:
        """``what did Anna do before?``, or ``after``."""
        do = self._content("do", "VERB", "X", inflection="past" if self.tongue.distance else "")
        did = [] if self.tongue.distance else [Word("did", "AUX", "X", concept="did")]
        what, subject = [self._function("what", "PRON", "X"), *did], self.phrase(who)
        words = [*what, *subject, do] if self.tongue.question == "first" else [*subject, *what, do]
        return [*words, self._function(when, "ADV", "X"), Word("?", "PUNCT", ".")]

    def form(self, concept: str, second: bool = False, inflection: str = "") -> str:
        """A concept's word, inflected (``plural``, ``past``, ``accusative``, ``locative``, joined by ``+``)."""
        key = (concept, second, inflection)
        if key not in self._forms:
            form = self.lexicon.word(concept, second)
            for name in inflection.split("+") if inflection else ():
                form = self.inflected(form, name)
            self._forms[key] = form
        return self._forms[key]

    def inflected(self, form: str, inflection: str) -> str:
        """``form`` with a suffix; its last vowel gives way to one that starts with a vowel."""
        suffix = self.lexicon.spell(getattr(self.tongue, inflection)) if getattr(self.tongue, inflection) else ""
        if suffix and form[-1] in _VOWELS and suffix[0] in _VOWELS:
            form = form[:-1]
        return form + suffix

    def _function(self, concept: str, upos: str, supertag: str) -> Word:
        return self._content(concept, upos, supertag)

    def _content(
        self, concept: str, upos: str, supertag: str, role: str = "", second: bool = False, inflection: str = ""
    ) -> Word:
        key = (concept, upos, supertag, role, second, inflection)
        word = self._words.get(key)
        if word is None:
            form = self.form(concept, second, inflection)
            word = self._words[key] = Word(form, upos, supertag, "", role, concept, second, inflection)
        return word

    def phrase(self, phrase: Phrase, role: str = "", case: str = "") -> list[Word]:
        """A noun phrase; ``role`` is given to the words that answer a question, ``case`` to the head."""
        key = (phrase, role, case)
        words = self._phrases.get(key)
        if words is None:
            words = self._phrases[key] = self._phrase(phrase, role, case)
        return words

    def _phrase(self, phrase: Phrase, role: str, case: str) -> list[Word]:
        if phrase.kind != "noun":
            return self._name(phrase, role, case)
        several = bool(phrase.amount)
        inflection = "+".join(name for name in ("plural" * several, case) if name)
        middle = [self._content(phrase.head, "NOUN", "N", role, phrase.second, inflection)]
        if phrase.adjective:
            agrees = "plural" if several and self.tongue.agreement else ""
            adjective = self._content(phrase.adjective, "ADJ", "N/N", role, inflection=agrees)
            middle = [adjective, *middle] if self.tongue.adjective == "before" else [*middle, adjective]
        counted = phrase.amount not in ("", "many")
        numeral = [self._numeral(phrase.amount, role)] if counted else []
        words = [*self._article(phrase, middle[0].form), *numeral, *middle]
        if not phrase.of:
            return words
        owner = self._name(Phrase(phrase.of, "organisation"), "", "")
        of = self._beside("of", owner, "(NP\\NP)/NP")
        return [*words, *of] if self.tongue.adposition == "before" else [*of, *words]

    def _article(self, phrase: Phrase, following: str) -> list[Word]:
        if not self.tongue.articles or phrase.amount not in ("", "many"):
            return []
        article = self._function("the" if phrase.definite or phrase.amount else "a", "DET", "NP/N")
        if article.form == "a" and not self.tongue.distance and following[0] in _VOWELS:
            article = article._replace(form="an")
        return [article]

    def _numeral(self, count: str, role: str) -> Word:
        role = "count" if role == "object" else ""
        if count.isdecimal():
            return Word(count, "NUM", "NP/N", role=role)
        return self._content(count, "NUM", "NP/N", role)

    def _name(self, phrase: Phrase, role: str, case: str) -> list[Word]:
        entity = {"person": "PER", "town": "LOC", "organisation": "ORG"}[phrase.kind]
        names = [self.lexicon.names[name] for name in (phrase.head, phrase.last) if name]
        parts = [part for name in names for part in name.split()]
        if case and case != "plural":
            parts[-1] = self.inflected(parts[-1], case)
        tags = ["NP/NP"] * (len(parts) - 1) + ["NP"]
        return [Word(part, "PROPN", tag, entity, role) for part, tag in zip(parts, tags, strict=True)]

    def _beside(self, adposition: str, phrase: list[Word], supertag: str) -> list[Word]:
        """A noun phrase with its adposition, on the language's side."""
        word = [self._function(adposition, "ADP", supertag)]
        return [*word, *phrase] if self.tongue.adposition == "before" else [*phrase, *word]

    def _verb(self, scene: Scene, asked: str) -> list[Word]:
        def verb(inflection: str, supertag: str) -> Word:
            return self._content(scene.verb, "VERB", supertag, second=scene.verb_second, inflection=inflection)

        if self.tongue.negation == "auxiliary":
            if asked and asked != "agent":
                return [verb("", "(S[b]\\NP)/NP")]
            if scene.negated:
                did = Word("did", "AUX", "(S[dcl]\\NP)/(S[b]\\NP)", concept="did")
                return [
                    did,
                    self._function("not", "PART", "(S[b]\\NP)/(S[b]\\NP)"),
                    verb("", "(S[b]\\NP)/NP"),
                ]
        finite = verb("past", "(S[dcl]\\NP)/NP")
        return self._negated([finite], "(S\\NP)\\(S\\NP)") if scene.negated else [finite]

    def _negated(self, verb: list[Word], supertag: str) -> list[Word]:
        particle = [self._function("not", "PART", supertag)]
        return [*particle, *verb] if self.tongue.negation == "before" else [*verb, *particle]

    def _clause(self, scene: Scene, asked: str = "") -> list[Word]:
        front = scene.front
        adjunct = "S/S" if front == "time" else _ADJUNCT
        tail = "(S/S)/NP" if front == "place" else f"({_ADJUNCT})/NP"
        objects = self._objects(scene, asked)
        parts = {
            "S": self.phrase(scene.agent, "agent"),
            "V": self._verb(scene, asked),
            "O": objects,
            "C": self._beside("with", self.phrase(scene.companion), f"({_ADJUNCT})/NP") if scene.companion else [],
            "P": self._place(scene, tail),
            "T": [self._content(scene.time, "ADV", adjunct, "time")] if scene.time else [],
        }
        order = _ORDERS[self.tongue.order]
        place = _PLACES[asked]
        if place:
            parts[place] = self._asked(scene, asked)
            if self.tongue.question == "first":
                order = place + order.replace(place, "")
                if not self.tongue.distance and asked != "agent":
                    parts[place].append(Word("did", "AUX", "X", concept="did"))
        lead = _PLACES[front]
        if lead and lead != place:
            order = lead + order.replace(lead, "")
        then = [self._function("then", "ADV", "S/S")] if scene.then else []
        words = list(then)
        for part in order:
            words += parts[part]
        return words

    def _objects(self, scene: Scene, asked: str) -> list[Word]:
        case = "accusative" if self.tongue.accusative else ""
        words = self.phrase(scene.object, "object", case)
        if scene.also is None:
            return words
        return [*words, self._function("and", "CCONJ", "conj"), *self.phrase(scene.also, "also", case)]

    def _place(self, scene: Scene, supertag: str) -> list[Word]:
        if scene.place is None:
            return []
        phrase = self.phrase(scene.place, "place", "locative" if self.tongue.locative else "")
        return self._beside("near" if scene.near else "in", phrase, supertag)

    def _asked(self, scene: Scene, asked: str) -> list[Word]:
        if asked == "count":
            case = "+accusative" if self.tongue.accusative else ""
            head = self._content(scene.object.head, "NOUN", "X", second=scene.object.second, inflection="plural" + case)
            return [self._function("how", "ADV", "X"), self._function("many", "ADJ", "X"), head]
        thing = "who" if asked == "agent" or CATEGORY_OF.get(scene.object.head, "person") == "person" else "what"
        word, upos = {"place": ("where", "ADV"), "time": ("when", "ADV")}.get(asked, (thing, "PRON"))
        return [self._function(word, upos, "X")]

    def _state(self, state: State) -> list[Word]:
        subject = self.phrase(state.subject)
        adjective = [self._content(state.adjective, "ADJ", "S[adj]\\NP")]
        verb = [self._function("was", "AUX", "(S[dcl]\\NP)/(S[adj]\\NP)")]
        return self._copula(subject, verb, adjective, "(S[adj]\\NP)/(S[adj]\\NP)" if state.negated else "")

    def _fact(self, fact: Fact) -> list[Word]:
        subject = self.phrase(Phrase(fact.noun, definite=False))
        verb = [self._function("is", "AUX", "(S[dcl]\\NP)/NP")]
        return self._copula(subject, verb, self.phrase(Phrase(fact.category, definite=False)), "")

    def _likeness(self, likeness: Likeness) -> list[Word]:
        def named(concept: str, second: bool = False) -> list[Word]:
            if concept in CATEGORY_OF:
                return self.phrase(Phrase(concept, definite=False, second=second))
            return [self._content(concept, "ADJ", "NP", second=second)]

        subject, verb = named(likeness.first), [self._function("is", "AUX", "(S[dcl]\\NP)/PP")]
        like = self._beside("like", named(likeness.second, likeness.synonym), "PP/NP")
        unlike = self._beside("like", named(likeness.unlike), "PP/NP")
        contrast = [self._function("and", "CCONJ", "conj"), self._function("not", "PART", "PP/PP"), *unlike]
        return self._copula(subject, verb, [*like, *contrast], "")

    def _copula(self, subject: list[Word], verb: list[Word], rest: list[Word], negated: str) -> list[Word]:
        if negated and self.tongue.negation == "auxiliary":
            verb = [*verb, self._function("not", "PART", negated)]
        elif negated:
            verb = self._negated(verb, negated)
        order = self.tongue.order
        if order == "VSO":
            return [*verb, *subject, *rest]
        return [*subject, *rest, *verb] if order == "SOV" else [*subject, *verb, *rest]


def text_of(words: Sequence[Word]) -> str:
    """Running text: spaces between words, none before punctuation."""
    text = " ".join([word.form for word in words])
    return text.replace(" .", ".").replace(" ?", "?")


def place_of(words: Sequence[Word], role: str, start: int = 0) -> tuple[str, int]:
    """The text of a role's words, which stand together, and its first character when ``words`` start at ``start``."""
    at, found, first = start, [], -1
    for number, word in enumerate(words):
        at += 0 if number == 0 or word.upos == "PUNCT" else 1
        if word.role == role:
            first = at if first < 0 else first
            found.append(word.form)
        at += len(word.form)
    return " ".join(found), first
