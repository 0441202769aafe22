"""What there is in the pocket world: kinds of things, what is done with them and in which order, qualities, names.

A concept is called by its word in the source language. ``a/b`` are two words for one concept (synonyms).
"""

from __future__ import annotations

from collections.abc import Mapping

_THINGS = {
    "animal": "dog/hound cat horse goat duck lamb rabbit parrot donkey bear",
    "food": "apple carrot onion lemon pear melon egg turnip plum nut",
    "tool": "hammer spade ladder broom bucket/pail rope/cord drill axe",
    "garment": "coat/jacket shirt hat/cap glove boot sock skirt belt",
    "document": "letter book map/chart poster ticket report card diploma",
    "furnishing": "table chair lamp/light sofa/settee bed desk mirror rug/carpet",
    "vehicle": "boat/ship cart/wagon bicycle car van tractor",
}
_ROLES = (
    "baker farmer teacher sailor doctor/medic singer painter guard/warden student judge pilot tailor nurse gardener"
)
_PLACES = "garden kitchen market forest/wood school harbour/port station museum tower bridge"
_CHAINS = {  # what is done with a thing of this kind, in the order in which it is done
    "animal": "call chase brush reward",
    "food": "order peel cook taste",
    "tool": "borrow use mend/repair return",
    "garment": "soak rinse iron fold",
    "document": "open translate sign mail/post",
    "furnishing": "measure paint polish move/shift",
    "vehicle": "hire/rent load steer park",
}
_SOCIAL = "greet invite help/assist thank follow visit"
_GENERAL = "lift watch/observe describe want"
_THING_SCALES = {
    "colour": "red blue green yellow white black brown purple",
    "size": "big/large small/little",
    "age": "new worn",
    "state": "clean dirty",
    "weight": "heavy light",
}
_PERSON_SCALES = {"years": "young old", "height": "tall short", "mood": "happy/glad sad", "wealth": "rich poor"}
_TIMES = "yesterday today tonight early late recently"
_NUMERALS = "two three four five six seven eight nine"
_FUNCTION = "the a and not in near with of was is who what where when how many then like do before after"

SYNONYMS: dict[str, str] = {}
"""Concept -> its second word in the source language."""


def _words(text: str) -> tuple[str, ...]:
    concepts = []
    for word in text.split():
        concept, _, second = word.partition("/")
        concepts.append(concept)
        if second:
            SYNONYMS[concept] = second
    return tuple(concepts)


def _table(rows: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: _words(text) for name, text in rows.items()}


THINGS = _table(_THINGS)
ROLES = _words(_ROLES)
PLACES = _words(_PLACES)
CHAINS = _table(_CHAINS)
SOCIAL = _words(_SOCIAL)
GENERAL = _words(_GENERAL)
THING_SCALES = _table(_THING_SCALES)
PERSON_SCALES = _table(_PERSON_SCALES)
TIMES = _words(_TIMES)
NUMERALS = _words(_NUMERALS)
FUNCTION = _words(_FUNCTION)

CATEGORIES = tuple(THINGS)
CATEGORY_OF = {
    **{thing: category for category, things in THINGS.items() for thing in things},
    **dict.fromkeys(ROLES, "person"),
    **dict.fromkeys(PLACES, "place"),
}
"""Noun -> the noun for its kind: a dog is an animal."""
CATEGORY_NOUNS = (*CATEGORIES, "person", "place")
SCALE_OF = {word: words for scale in (THING_SCALES, PERSON_SCALES) for words in scale.values() for word in words}
"""Quality -> the qualities of its scale, of which a thing has only one."""
NOUNS = (*CATEGORY_OF, *CATEGORY_NOUNS)
VERBS = (*(verb for chain in CHAINS.values() for verb in chain), *SOCIAL, *GENERAL)
ADJECTIVES = tuple(SCALE_OF)
CONTENT = (*NOUNS, *VERBS, *ADJECTIVES, *TIMES, *NUMERALS)

GIVEN_NAMES = _words(
    "Anna Bruno Clara Dario Elena Felix Greta Hugo Irena Jonas Katja Leo Mira Nils Olga "
    "Pavel Rosa Simon Tilda Ugo Vera Walter Yara Zeno Berta Cyril Dora Emil Fanny Gustav"
)
# Places and families share names, and organisations are called after both: a name alone does not tell what it names.
TOWNS = _words("Tolvera Marn Kesslin Orvane Dulby Brenta Hasko Velm Ostrel Pinora Quaden Sarvik")
SURNAMES = (*TOWNS[:5], *_words("Bellamy Corvin Draxler Ferrant Holm Juric Lindow"))
ORGANISATIONS = (
    "Norvo Works",
    "Marn Bank",
    "Velm Press",
    "Corvin Works",
    "Dulby Trust",
    "Holm Press",
    "Altero Bank",
    "Kesslin Trust",
)
