"""The languages of the pocket world: one source that is like English, and four others at declared, growing distances.

Everything in which languages differ is a field of ``Tongue``, so a language is one declaration. After Dufter and Schuetze
2020 (arXiv 2005.00396) and K et al. 2020 (arXiv 1912.07840), who change one such thing at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["before", "after"]
NameKind = Literal["person", "town", "organisation"]


@dataclass(frozen=True, kw_only=True)
class Tongue:
    """A constructed language.

    Args:
        code: ISO 639's private-use codes; the source has ``en`` because tasks are trained in ``en``.
        name: invented.
        distance: from the source, as declared; 0 is the source.
        order: of subject (S), verb (V) and object (O).
        adjective: before or after its noun.
        adposition: before or after its noun phrase.
        negation: an auxiliary and a particle before the verb, or a particle before or after it.
        question: the question word comes first, or stands in the place of what is asked for.
        articles: whether it has any.
        script: of its words; names follow unless they are shared.
        plural, past, accusative, locative: suffixes; empty where the language does not mark it.
        agreement: whether adjectives take the plural, too.
        cognates: share of the content words that come from the source's word by ``shifts``.
        shifts: sound changes, applied one after the other.
        endings: added to cognates that are nouns, adjectives, verbs.
        onsets, vowels, codas: what its invented syllables are made of; an empty coda is ``-``.
        shared_names: kinds of names that are written as in the source; others are spelled by ``shifts`` and script.
        mixed: share of the lines of its text in which some words are the source's (anchors).
        bitext: lines of translations, as a share of the world's ``bitext_lines``.
        taught: it has training rows of its own, as the source has: it can be the source language of a study.
    """

    code: str
    name: str
    distance: int
    order: Literal["SVO", "VSO", "SOV"] = "SVO"
    adjective: Side = "before"
    adposition: Side = "before"
    negation: Literal["auxiliary", "before", "after"] = "after"
    question: Literal["first", "in place"] = "first"
    articles: bool = True
    script: Literal["Latn", "Cyrl", "Geor"] = "Latn"
    plural: str = ""
    past: str = ""
    accusative: str = ""
    locative: str = ""
    agreement: bool = False
    cognates: float = 0.0
    shifts: tuple[tuple[str, str], ...] = ()
    endings: tuple[str, str, str] = ("", "", "")
    onsets: str = ""
    vowels: str = ""
    codas: str = ""
    shared_names: tuple[NameKind, ...] = ()
    mixed: float = 0.0
    bitext: float = 0.0
    taught: bool = False


SOURCE = Tongue(
    code="en",
    name="Pocket English",
    distance=0,
    negation="auxiliary",
    plural="s",
    past="ed",
    cognates=1.0,
    shared_names=("person", "town", "organisation"),
    taught=True,
)
ALDERISH = Tongue(
    code="qaa",
    name="Alderish",
    distance=1,
    negation="after",
    plural="er",
    past="et",
    cognates=0.6,
    shifts=(("th", "d"), ("sh", "sk"), ("ck", "kk"), ("c", "k"), ("w", "v"), ("oo", "u"), ("ee", "i"), ("y", "i")),
    onsets="b d f g h k l m n r s t v st br kl gr",
    vowels="a e i o u",
    codas="- - n r l s nd rt",
    shared_names=("person", "town", "organisation"),
    mixed=0.4,
    bitext=1.0,
)
LUMANO = Tongue(
    code="qab",
    name="Lumano",
    distance=2,
    adjective="after",
    negation="before",
    plural="i",
    past="ava",
    agreement=True,
    cognates=0.3,
    shifts=(("th", "t"), ("sh", "x"), ("ck", "qu"), ("w", "gu"), ("k", "c"), ("oo", "ou"), ("ee", "ie"), ("h", "")),
    endings=("o", "e", "a"),
    onsets="b c d f g l m n p r s t v z tr pl",
    vowels="a e i o u ia io",
    codas="- - - l n r",
    shared_names=("person", "organisation"),
    mixed=0.3,
    bitext=0.75,
    taught=True,
)
DRAVESK = Tongue(
    code="qac",
    name="Dravesk",
    distance=3,
    order="VSO",
    adjective="after",
    negation="before",
    articles=False,
    script="Cyrl",
    plural="y",
    past="il",
    accusative="u",
    cognates=0.1,
    shifts=(("th", "t"), ("sh", "s"), ("w", "v"), ("c", "k")),
    endings=("", "y", ""),
    onsets="b v g d z k l m n p r s t h br dr kr sl zv",
    vowels="a e i o u y",
    codas="- n k l m t st v",
    shared_names=("organisation",),
    mixed=0.2,
    bitext=0.5,
)
OKHURI = Tongue(
    code="qad",
    name="Okhuri",
    distance=4,
    order="SOV",
    adjective="after",
    adposition="after",
    negation="after",
    question="in place",
    articles=False,
    script="Geor",
    plural="ebi",
    past="da",
    accusative="is",
    locative="shi",
    agreement=True,
    cognates=0.0,
    onsets="b g d z t k l m n p j r s k q c x h mt gv",
    vowels="a e i o u",
    codas="- - b r l n m",
    mixed=0.1,
    bitext=0.25,
)
TONGUES = (SOURCE, ALDERISH, LUMANO, DRAVESK, OKHURI)
