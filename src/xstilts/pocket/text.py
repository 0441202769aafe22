"""Text for masked LM, one short paragraph a line, and translations: narration, questions, facts, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from xstilts.pocket.concepts import CATEGORIES, CATEGORY_OF, CHAINS, SCALE_OF, SYNONYMS, THINGS
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, Word, text_of
from xstilts.pocket.scenes import (
    Fact,
    Likeness,
    Phrase,
    Role,
    Saying,
    Scene,
    State,
    agent,
    gist,
    person,
    place,
    scene,
    thing,
)

MIXED_WORDS = 0.3
"""Share of the words of a mixed line that are the source's."""


def monolingual(
    speaker: Speaker, source: Speaker, draw: Draw, lines: int, reserved: Collection[Saying]
) -> Iterator[str]:
    """Paragraphs in one language, some of them with words of the source mixed in."""
    for _ in range(lines):
        sentences = _paragraph(speaker, draw, reserved)
        if draw.chance(speaker.tongue.mixed):
            sentences = [mix(sentence, source, draw) for sentence in sentences]
        yield " ".join(map(text_of, sentences))


def bitext(speaker: Speaker, source: Speaker, draw: Draw, lines: int, reserved: Collection[Saying]) -> Iterator[str]:
    """Translations, ``foreign<TAB>source``: a sentence or two, one in ten about kinds and qualities."""
    for _ in range(lines):
        about_things = draw.chance(0.1)
        said = (_about_things(draw),) if about_things else _happened(draw, 1 + draw.chance(0.3), reserved)
        yield "\t".join(" ".join(text_of(s.say(each)) for each in said) for s in (speaker, source))


def mix(sentence: Sequence[Word], source: Speaker, draw: Draw) -> list[Word]:
    """``sentence`` with some words in the source's form: anchors (word order and the rest stay)."""
    kept = {"plural", "past"}
    mixed = []
    for word in sentence:
        if word.concept and word.concept in source.lexicon.words and draw.chance(MIXED_WORDS):
            inflection = "+".join(name for name in word.inflection.split("+") if name in kept)
            inflection = "" if word.upos == "ADJ" else inflection
            word = word._replace(form=source.form(word.concept, word.second, inflection))
        mixed.append(word)
    return mixed


def unreserved(make: Callable[[], tuple[Scene, ...]], reserved: Collection[Saying]) -> tuple[Scene, ...]:
    """Scenes as they will be said: ``make`` draws them anew, all together, until no test pair says one of them."""
    while True:
        told = make()
        if not any(gist(each) in reserved for each in told):
            return told


def _happened(draw: Draw, count: int, reserved: Collection[Saying], negated: bool = True) -> tuple[Scene, ...]:
    """Scenes that have nothing to do with each other; without ``negated`` all of them happened."""

    def make() -> tuple[Scene, ...]:
        found = (scene(draw) for _ in range(count))
        return tuple(found if negated else (each._replace(negated=False) for each in found))

    return unreserved(make, reserved)


def chain(draw: Draw, steps: int) -> tuple[Scene, ...]:
    """What somebody did with one thing, in the order in which it is done."""
    category = draw.pick(CATEGORIES)
    verbs = CHAINS[category]
    start = draw.below(len(verbs) - steps + 1)
    who, what = person(draw, 0.1), thing(draw, category, count=0.0)._replace(definite=True)
    where = place(draw) if draw.chance(0.3) else None
    first = Scene(who, verbs[start], what, place=where)
    later = what._replace(adjective="")
    rest = (Scene(who, verb, later, then=True) for verb in verbs[start + 1 : start + steps])
    return (first, *rest)


def roles_of(said: Scene) -> list[Role]:
    """What can be asked about a scene."""
    roles: list[Role] = ["agent", "object"]
    if said.object.amount not in ("", "many"):
        roles.append("count")
    if said.place is not None:
        roles.append("place")
    if said.time:
        roles.append("time")
    return roles


def asked_about(said: Scene, role: Role) -> Scene:
    """The scene as a question names it: what is not asked for is said without its details."""
    return said._replace(
        object=said.object._replace(adjective="", definite=True),
        place=said.place if role in ("place", "agent", "object") else None,
        time=said.time if role == "time" else "",
        companion=None,
        front="",
    )


def _paragraph(speaker: Speaker, draw: Draw, reserved: Collection[Saying]) -> list[list[Word]]:
    genre = draw.below(20)
    if genre < 5:
        steps = 2 + draw.below(2)
        return [speaker.say(each) for each in unreserved(lambda: chain(draw, steps), reserved)]
    if genre < 10:
        return [speaker.say(each) for each in _happened(draw, 1 + draw.below(3), reserved)]
    if genre < 12:
        return _before_or_after(speaker, draw, reserved)
    if genre < 15:
        return _questioned(speaker, draw, reserved)
    return [speaker.say(_about_things(draw)) for _ in range(2)]


def _questioned(speaker: Speaker, draw: Draw, reserved: Collection[Saying]) -> list[list[Word]]:
    """One or two scenes, a question about one of them, its answer."""
    told = _happened(draw, 1 + draw.below(2), reserved, negated=False)
    about = draw.pick(told)
    role = draw.pick(roles_of(about))
    answer = speaker.answer(about, role)
    return [*map(speaker.say, told), speaker.ask(asked_about(about, role), role), [*answer, Word(".", "PUNCT", ".")]]


def _before_or_after(speaker: Speaker, draw: Draw, reserved: Collection[Saying]) -> list[list[Word]]:
    """One thing that was done, a question about the one before or after it, the answer."""
    after = draw.chance(0.5)

    def make() -> tuple[Scene, ...]:
        first, second = chain(draw, 2)
        told, other = (first, second) if after else (second, first)
        return told._replace(then=False), other._replace(place=None)

    told, other = unreserved(make, reserved)
    answer = [word for word in speaker.say(other) if word.role != "agent"]
    return [speaker.say(told), speaker.ask_around(told.agent, "after" if after else "before"), answer]


def _about_things(draw: Draw) -> Saying:
    kind = draw.below(10)
    noun = draw.pick(tuple(CATEGORY_OF))
    if kind < 5:
        return Fact(noun, CATEGORY_OF[noun])
    if kind < 7:
        category = draw.pick(CATEGORIES)
        first, second = draw.sample(THINGS[category], 2)
        return Likeness(first, second, draw.pick(THINGS[draw.other(CATEGORIES, category)]))
    if kind < 8:
        first = draw.pick(tuple(c for c in SYNONYMS if c in CATEGORY_OF or c in SCALE_OF))
        group = tuple(CATEGORY_OF) if first in CATEGORY_OF else tuple(SCALE_OF)
        return Likeness(first, first, draw.other(group, first), synonym=True)
    return _quality(draw)


def _quality(draw: Draw) -> State:
    """Something had a quality, or had not its opposite."""
    if draw.chance(0.3):
        who = agent(draw)
        if who.kind == "noun" and who.adjective:
            return State(who._replace(adjective=""), who.adjective, draw.chance(0.3))
    what = thing(draw, draw.pick(CATEGORIES), adjective=1.0, count=0.0)
    return State(Phrase(what.head, second=what.second), what.adjective, draw.chance(0.3))
