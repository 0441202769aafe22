"""What can be said, before any language says it: scenes (who did what to whom, where, when), states, kinds.

Everything here is plain data, so two scenes are equal when they say the same, and gold is derived from fields.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from xstilts.pocket.concepts import (
    CATEGORIES,
    CHAINS,
    GENERAL,
    GIVEN_NAMES,
    NUMERALS,
    ORGANISATIONS,
    PERSON_SCALES,
    PLACES,
    ROLES,
    SOCIAL,
    SURNAMES,
    SYNONYMS,
    THING_SCALES,
    THINGS,
    TIMES,
    TOWNS,
)
from xstilts.pocket.draw import Draw

Kind = Literal["noun", "person", "town", "organisation"]
Front = Literal["", "place", "time"]
Role = Literal["agent", "object", "place", "time", "count"]


class Phrase(NamedTuple):
    """Somebody or something.

    ``head`` is a concept or a name, ``last`` a family name; ``amount`` is a numeral's concept, digits, ``many`` for a bare
    plural, or empty for one; ``second`` takes the head's synonym; ``of`` is the organisation somebody belongs to.
    """

    head: str
    kind: Kind = "noun"
    last: str = ""
    adjective: str = ""
    amount: str = ""
    definite: bool = True
    second: bool = False
    of: str = ""


class Scene(NamedTuple):
    """Somebody did something with something, perhaps somewhere, with somebody, at some time.

    ``front`` names what is said first; ``verb_second`` takes the verb's synonym; ``then`` links to the sentence before.
    """

    agent: Phrase
    verb: str
    object: Phrase
    also: Phrase | None = None
    place: Phrase | None = None
    near: bool = False
    companion: Phrase | None = None
    time: str = ""
    negated: bool = False
    front: Front = ""
    verb_second: bool = False
    then: bool = False


class State(NamedTuple):
    """Something had a quality."""

    subject: Phrase
    adjective: str
    negated: bool = False


class Fact(NamedTuple):
    """A thing is of a kind."""

    noun: str
    category: str


class Likeness(NamedTuple):
    """Two concepts are alike and a third is not; ``synonym`` compares a concept with its other word."""

    first: str
    second: str
    unlike: str
    synonym: bool = False


Saying = Scene | State | Fact | Likeness


def person(draw: Draw, last: float = 0.3) -> Phrase:
    """A person with a name, sometimes with a family name."""
    return Phrase(draw.pick(GIVEN_NAMES), "person", draw.pick(SURNAMES) if draw.chance(last) else "")


def quality(draw: Draw, of_person: bool = False) -> str:
    """A quality of a thing or a person; every scale is as likely."""
    scales = list((PERSON_SCALES if of_person else THING_SCALES).values())
    return draw.pick(draw.pick(scales))


def role(draw: Draw, adjective: float = 0.4, of: float = 0.0) -> Phrase:
    """Somebody known by their work."""
    found = Phrase(draw.pick(ROLES), adjective=quality(draw, True) if draw.chance(adjective) else "")
    return found._replace(of=draw.pick(ORGANISATIONS)) if draw.chance(of) else found


def agent(draw: Draw) -> Phrase:
    """Whoever does something: a name, a role or an organisation."""
    chance = draw.below(10)
    if chance < 5:
        return person(draw)
    return role(draw, of=0.15) if chance < 9 else Phrase(draw.pick(ORGANISATIONS), "organisation")


def place(draw: Draw) -> Phrase:
    """A town, or a place known by its kind."""
    return Phrase(draw.pick(TOWNS), "town") if draw.chance(0.4) else Phrase(draw.pick(PLACES))


def number(draw: Draw) -> str:
    """Two to nine, as a word or in digits (digits are the same in every language)."""
    numeral = draw.pick(NUMERALS)
    return str(NUMERALS.index(numeral) + 2) if draw.chance(0.3) else numeral


def thing(draw: Draw, category: str, adjective: float = 0.4, count: float = 0.25) -> Phrase:
    """One thing, or several, of a kind."""
    several = draw.chance(count)
    head = draw.pick(THINGS[category])
    return Phrase(
        head,
        adjective=quality(draw) if draw.chance(adjective) else "",
        amount=number(draw) if several else "",
        definite=several or draw.chance(0.6),
        second=head in SYNONYMS and draw.chance(0.2),
    )


def scene(draw: Draw, places: float = 0.5, times: float = 0.3) -> Scene:
    """Anything that can happen; about one in four is between persons."""
    place_of = place(draw) if draw.chance(places) else None
    who = agent(draw)
    if draw.chance(0.25):
        verb, what = draw.pick(SOCIAL), person(draw) if draw.chance(0.5) else role(draw)
    else:
        category = draw.pick(CATEGORIES)
        verb = draw.pick(GENERAL) if draw.chance(0.2) else draw.pick(CHAINS[category])
        what = thing(draw, category)
    time = draw.pick(TIMES) if draw.chance(times) else ""
    fronts: list[Front] = [name for name, said in _fronts(place_of, time) if said]
    return Scene(
        who,
        verb,
        what,
        place=place_of,
        near=place_of is not None and place_of.kind == "noun" and draw.chance(0.3),
        companion=person(draw, 0.1) if draw.chance(0.1) else None,
        time=time,
        negated=draw.chance(0.1),
        front=draw.pick(fronts) if fronts and draw.chance(0.2) else "",
        verb_second=verb in SYNONYMS and draw.chance(0.2),
    )


def _fronts(place_of: Phrase | None, time: str) -> tuple[tuple[Front, bool], ...]:
    return (("place", place_of is not None), ("time", bool(time)))


def gist(said: Scene) -> Scene:
    """What is said, without articles and the link to the sentence before: equal for scenes that read the same somewhere."""
    return said._replace(object=said.object._replace(definite=True), then=False)


def others_of(phrase: Phrase) -> tuple[str, ...]:
    """Heads that could stand in the place of this one."""
    table: dict[str, tuple[str, ...]] = {"person": GIVEN_NAMES, "town": TOWNS, "organisation": ORGANISATIONS}
    if phrase.kind != "noun":
        return table[phrase.kind]
    return next(group for group in (*THINGS.values(), ROLES, PLACES) if phrase.head in group)
