"""Pairs for natural language inference whose hypotheses tell nothing: they are drawn first, and then a premise that fits.

Three kinds of hypotheses: a scene with details (the premise says more, another value of a detail, or nothing of it), a
scene that did not happen, and a quality. In this world a scene happens once: another place or time contradicts.
"""

from __future__ import annotations

from typing import NamedTuple

from xstilts.pocket.concepts import CATEGORIES, CATEGORY_OF, CHAINS, NUMERALS, SCALE_OF, THINGS, TIMES
from xstilts.pocket.draw import Draw
from xstilts.pocket.scenes import Phrase, Saying, Scene, State, number, others_of, person, place, quality, role

LABELS = ("entailment", "neutral", "contradiction")
_DETAILS = ("quality", "count", "place", "time", "character")


class Inference(NamedTuple):
    """What is told, what may follow from it, and whether it does."""

    premise: tuple[Saying, ...]
    hypothesis: Saying
    label: str


def inference(draw: Draw, label: str) -> Inference:
    """A pair with this label; the hypothesis is drawn in the same way for every label."""
    kind = draw.below(10)
    if kind < 6:
        return Inference(*_details(draw, label), label)
    return Inference(*(_undone(draw, label) if kind < 8 else _quality(draw, label)), label)


def _plain(draw: Draw) -> Scene:
    """A scene without any detail, about one thing."""
    category = draw.pick(CATEGORIES)
    who = person(draw, 0.1) if draw.chance(0.4) else role(draw, adjective=0.0)
    return Scene(who, draw.pick(CHAINS[category]), Phrase(draw.pick(THINGS[category])))


def _details(draw: Draw, label: str) -> tuple[tuple[Saying, ...], Saying]:
    """A detailed scene; the premise says it with more, with another value of one detail or denied, or without one."""
    full = _filled(draw, _plain(draw), _DETAILS)
    open_to = [d for d in _DETAILS if d != "character" or full.agent.kind == "noun"]
    said = draw.sample(open_to, 1 + draw.below(2))
    told = draw.pick(said)
    hypothesis = _keep(full, said)
    # At least one further detail for every label, so that no text is told twice and no hypothesis is drawn again.
    rest = draw.shuffled([d for d in open_to if d not in said])
    further = [rest[0], *(d for d in rest[1:] if draw.chance(0.4))]
    by_kind = draw.chance(0.25)
    if label == "entailment":
        premise = _keep(full, [*said, *further])
    elif label == "neutral":
        premise = _keep(full, [*(d for d in said if d != told), *further])
    elif not by_kind and draw.chance(0.3):  # "did not wash the boots" leaves other garments open
        premise = _keep(full, [d for d in further if d == "character"])._replace(negated=True)
    else:
        premise = _changed(draw, _keep(full, [*said, *further]), told)
    if by_kind:
        kind = CATEGORY_OF[hypothesis.object.head]
        hypothesis = hypothesis._replace(object=hypothesis.object._replace(head=kind))
    return (premise,), hypothesis


def _filled(draw: Draw, plain: Scene, details: tuple[str, ...]) -> Scene:
    """``plain`` with a value for every detail."""
    who = plain.agent._replace(adjective=quality(draw, True)) if plain.agent.kind == "noun" else plain.agent
    what = plain.object._replace(adjective=quality(draw), amount=number(draw))
    return plain._replace(agent=who, object=what, place=place(draw), time=draw.pick(TIMES))


def _keep(full: Scene, details: list[str]) -> Scene:
    """``full`` with these details only; without a count several things are a bare plural, as both texts must agree."""
    what = full.object._replace(
        adjective=full.object.adjective if "quality" in details else "",
        amount=full.object.amount if "count" in details else "many",
    )
    return full._replace(
        agent=full.agent if "character" in details else full.agent._replace(adjective=""),
        object=what,
        place=full.place if "place" in details else None,
        time=full.time if "time" in details else "",
    )


def _changed(draw: Draw, scene: Scene, detail: str) -> Scene:
    """``scene`` with another value of one detail."""
    what, who = scene.object, scene.agent
    match detail:
        case "quality":
            other = draw.other(SCALE_OF[what.adjective], what.adjective)
            return scene._replace(object=what._replace(adjective=other))
        case "count":
            value = int(what.amount) - 2 if what.amount.isdecimal() else NUMERALS.index(what.amount)
            other_value = draw.other(range(len(NUMERALS)), value)
            count = str(other_value + 2) if what.amount.isdecimal() else NUMERALS[other_value]
            return scene._replace(object=what._replace(amount=count))
        case "place":
            assert scene.place is not None
            head = draw.other(others_of(scene.place), scene.place.head)
            return scene._replace(place=scene.place._replace(head=head))
        case "time":
            return scene._replace(time=draw.other(TIMES, scene.time))
        case _:
            other = draw.other(SCALE_OF[who.adjective], who.adjective)
            return scene._replace(agent=who._replace(adjective=other))


def _undone(draw: Draw, label: str) -> tuple[tuple[Saying, ...], Saying]:
    """Somebody did not do something: denied by who tells that it was done, open when something else was not done."""
    plain = _plain(draw)._replace(agent=role(draw, adjective=0.0))
    hypothesis = plain._replace(negated=True)
    who = plain.agent._replace(adjective=quality(draw, True))
    premise = hypothesis._replace(agent=who)
    if label == "contradiction":
        full = _filled(draw, plain, _DETAILS)._replace(agent=who)
        full = full._replace(object=full.object._replace(amount=""))
        details = [d for d in ("quality", "place", "time") if draw.chance(0.4)]
        kept = _keep(full, ["character", *details])
        premise = kept._replace(object=kept.object._replace(amount=""))
    elif label == "neutral" and draw.chance(0.5):
        category = CATEGORY_OF[plain.object.head]
        premise = premise._replace(verb=draw.other(CHAINS[category], plain.verb))
    elif label == "neutral":
        head = draw.other(others_of(plain.object), plain.object.head)
        premise = premise._replace(object=plain.object._replace(head=head))
    return (premise,), hypothesis


def _quality(draw: Draw, label: str) -> tuple[tuple[Saying, ...], Saying]:
    """Something was red, or was not: so it is if told, not if another quality of the scale is told, else open."""
    plain = _plain(draw)
    told = quality(draw)
    same = draw.chance(0.5)  # whether the hypothesis denies
    if label == "neutral":
        scales = [word for word in ("red", "big", "new", "clean", "heavy") if word not in SCALE_OF[told]]
        value = draw.pick(SCALE_OF[draw.pick(scales)])
    elif (label == "entailment") == same:
        value = told
    else:
        value = draw.other(SCALE_OF[told], told)
    hypothesis = State(Phrase(plain.object.head), value, negated=not same)
    what = plain.object._replace(adjective="" if label == "neutral" and draw.chance(0.3) else told)
    place_of = place(draw) if draw.chance(0.5) else None
    time = draw.pick(TIMES) if draw.chance(0.3) else ""
    return (plain._replace(object=what, place=place_of, time=time),), hypothesis
