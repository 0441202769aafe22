"""Multiple choice whose choices do not tell: each wrong one shares as much with the others as the right one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xstilts.pocket.concepts import CATEGORIES, CHAINS, THINGS
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, text_of
from xstilts.pocket.scenes import Phrase, Scene, person, place, quality

HELD_OUT = {category: things[-2:] for category, things in THINGS.items()}
"""Things that only dev questions name, as right answers and as wrong ones: their kinds are told in the text alone."""


class Choice(NamedTuple):
    """A story (in two parts), a question that may be empty, choices and the right one's index."""

    story: str
    start: str
    question: str
    choices: tuple[str, ...]
    right: int


def ending(speaker: Speaker, draw: Draw, right: int) -> Choice:
    """Who did one thing goes on with the next thing to do, with the same object: one of two verbs, one of two objects."""
    category = draw.pick(CATEGORIES)
    step, (verb, wrong) = _next(draw, CHAINS[category])
    first, what, other = _told(draw, category, CHAINS[category][step])
    start = f"{speaker.form('then')} {text_of(speaker.phrase(first.agent))}"
    endings = [_done(speaker, v, o) for v in (verb, wrong) for o in (what, other)]
    choices = _placed(draw, endings, right)
    return Choice(_story(speaker, draw, first, other), start, "", choices, right)


def before_or_after(speaker: Speaker, draw: Draw, right: int) -> Choice:
    """What did somebody do before, or after? One of two verbs, one of two objects."""
    category = draw.pick(CATEGORIES)
    after = draw.chance(0.5)
    chain = CHAINS[category] if after else CHAINS[category][::-1]
    step, verbs = _next(draw, chain)
    first, what, other = _told(draw, category, chain[step])
    answers = [_done(speaker, v, o) for v in verbs for o in (what, other)]
    question = text_of(speaker.ask_around(first.agent, "after" if after else "before"))
    choices = _placed(draw, answers, right)
    return Choice(_story(speaker, draw, first, other), "", question, choices, right)


def which_kind(speaker: Speaker, draw: Draw, right: int, held_out: bool) -> Choice:
    """Which of five things is of a kind, or is what one does something with? Train and dev name other things."""
    kinds = draw.sample(CATEGORIES, 5)
    known = {c: HELD_OUT[c] if held_out else tuple(t for t in THINGS[c] if t not in HELD_OUT[c]) for c in kinds}
    things = [speaker.form(draw.pick(known[c])) for c in kinds]
    category = kinds[0]
    if draw.chance(0.5):
        kind = text_of(speaker.phrase(Phrase(category, definite=False)))
        question = f"what is {kind}?"
    else:
        who = Scene(person(draw, 0.0), draw.pick(CHAINS[category]), Phrase(draw.pick(known[category])))
        question = text_of(speaker.ask(who, "object"))
    choices = _placed(draw, things, right)
    return Choice("", "", question, choices, right)


def _next(draw: Draw, chain: Sequence[str]) -> tuple[int, tuple[str, str]]:
    """A step, the verb that follows it and a wrong one. Of two verbs either is right as often: alone they tell nothing."""
    right = 1 + draw.below(len(chain) - 1)
    return right - 1, (chain[right], draw.other(chain[1:], chain[right]))


def _told(draw: Draw, category: str, verb: str) -> tuple[Scene, Phrase, Phrase]:
    """The scene, its object as one speaks of it later, and another object of the story."""
    head, other = draw.sample(THINGS[category], 2)
    what = Phrase(head, adjective=quality(draw) if draw.chance(0.3) else "")
    scene = Scene(person(draw, 0.0), verb, what, place=place(draw) if draw.chance(0.5) else None)
    return scene, Phrase(head), Phrase(other)


def _story(speaker: Speaker, draw: Draw, first: Scene, other: Phrase) -> str:
    """The scene, and what somebody else did with the other object, so that both objects were named."""
    category = next(c for c in CATEGORIES if other.head in THINGS[c])
    somebody = person(draw, 0.0)
    while somebody.head == first.agent.head:
        somebody = person(draw, 0.0)
    aside = Scene(somebody, draw.pick(CHAINS[category]), other)
    told = (aside, first) if draw.chance(0.5) else (first, aside)
    return " ".join(text_of(speaker.say(scene)) for scene in told)


def _done(speaker: Speaker, verb: str, what: Phrase) -> str:
    """``washed the cup.``: in the source, where what is done follows who did it."""
    scene = Scene(Phrase("Anna", "person"), verb, what)
    return text_of([word for word in speaker.say(scene) if word.role != "agent"])


def _placed(draw: Draw, choices: Sequence[str], right: int) -> tuple[str, ...]:
    """The choices in a new order, the first of them at ``right``."""
    others = draw.shuffled(choices[1:])
    return (*others[:right], choices[0], *others[right:])
