"""Pairs of sentences or questions that say the same, or not, with words that do not tell: PAWS's way of making them.

Both labels undergo the same changes of form; who and whom, two qualities or one word then differ, or not.
"""

from __future__ import annotations

from typing import NamedTuple

from xstilts.pocket.concepts import CATEGORIES, CHAINS, SOCIAL, SYNONYMS, THINGS, TIMES
from xstilts.pocket.draw import Draw
from xstilts.pocket.scenes import Front, Phrase, Role, Scene, person, place, quality, role


class Paraphrase(NamedTuple):
    """Two scenes; ``asked`` is the role that both ask for, if they are questions."""

    first: Scene
    second: Scene
    asked: Role | None
    label: str


def paraphrase(draw: Draw, label: str, question: bool = False) -> Paraphrase:
    """A pair with label ``1`` (the same is said) or ``0``."""
    kind = draw.below(4)
    if kind == 0:
        pair = _roles(draw, label)
    elif kind == 1:
        pair = _qualities(draw, label)
    else:
        pair = _one_word(draw, label)
    first, second = pair
    if not question:
        return Paraphrase(first, second, None, label)
    asked: Role = draw.pick(("place", "time"))
    return Paraphrase(_asking(first, asked), _asking(second, asked), asked, label)


def _asking(scene: Scene, asked: Role) -> Scene:
    """What is asked for cannot stand first: the other detail does."""
    return scene._replace(front="time" if asked == "place" else "place") if scene.front == asked else scene


def _stage(draw: Draw) -> tuple[Scene, Front]:
    """Where and when, and what the second text says first."""
    nobody = Phrase("")
    scene = Scene(nobody, "", nobody, place=place(draw), time=draw.pick(TIMES))
    front: Front = draw.pick(("place", "time"))
    return scene, front


def _roles(draw: Draw, label: str) -> tuple[Scene, Scene]:
    """Anna helped the baker: today Anna helped the baker, or the baker Anna."""
    stage, front = _stage(draw)
    one, two = person(draw), role(draw, adjective=0.3)
    who, whom = (one, two) if draw.chance(0.5) else (two, one)
    first = stage._replace(agent=who, verb=draw.pick(SOCIAL), object=whom)
    second = first._replace(front=front)
    return first, second if label == "1" else second._replace(agent=whom, object=who)


def _qualities(draw: Draw, label: str) -> tuple[Scene, Scene]:
    """A red boot and a blue coat, or a blue boot and a red coat."""
    stage, front = _stage(draw)
    category = draw.pick(CATEGORIES)
    head, other = draw.sample(THINGS[category], 2)
    value = quality(draw)
    value_of_other = draw.other([quality(draw) for _ in range(4)] + ["red", "small"], value)
    one, two = Phrase(head, adjective=value), Phrase(other, adjective=value_of_other)
    first = stage._replace(agent=person(draw), verb=draw.pick(CHAINS[category]), object=one, also=two)
    if label == "0":
        one, two = one._replace(adjective=value_of_other), two._replace(adjective=value)
    return first, first._replace(object=one, also=two, front=front)


def _one_word(draw: Draw, label: str) -> tuple[Scene, Scene]:
    """Two words for one thing, or words for two things; a place or a time may move to the front."""
    stage, front = _stage(draw)
    category = draw.pick([c for c in CATEGORIES if sum(thing in SYNONYMS for thing in THINGS[c]) > 1])
    with_synonyms = [thing for thing in THINGS[category] if thing in SYNONYMS]
    head = draw.pick(with_synonyms)
    what = Phrase(head, adjective=quality(draw) if draw.chance(0.5) else "", second=draw.chance(0.5))
    first = stage._replace(agent=person(draw), verb=draw.pick(CHAINS[category]), object=what)
    if label == "1":
        changed = what._replace(second=not what.second)
    else:
        changed = what._replace(head=draw.other(with_synonyms, head), second=not what.second)
    return first, first._replace(object=changed, front=front if draw.chance(0.5) else "")
