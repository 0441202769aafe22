"""Paragraphs with questions whose answers are spans of them, in SQuAD's JSON; some may have no answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from xstilts.pocket.concepts import CATEGORIES, CHAINS, GIVEN_NAMES, PLACES, ROLES, THINGS, TIMES, TOWNS
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, place_of, text_of
from xstilts.pocket.scenes import Phrase, Role, Scene, number, quality
from xstilts.pocket.text import asked_about, roles_of

SENTENCES = 3
_ABSENT: tuple[Role, ...] = ("place", "time")


class Question(NamedTuple):
    """What is asked about sentence ``at``; ``about`` is the scene as asked, which the paragraph may not tell."""

    at: int
    role: Role
    about: Scene
    answered: bool = True


class Paragraph(NamedTuple):
    """Three scenes and one question about each."""

    told: tuple[Scene, ...]
    questions: tuple[Question, ...]


def paragraph(draw: Draw, unanswerable: float = 0.0) -> Paragraph:
    """Three scenes that share no person, thing, place or time, so that a question is about one of them."""
    names, roles = draw.sample(GIVEN_NAMES, SENTENCES), draw.sample(ROLES, SENTENCES)
    towns, places = draw.sample(TOWNS, SENTENCES), draw.sample(PLACES, SENTENCES)
    times = draw.sample(TIMES, SENTENCES)
    categories = [draw.pick(CATEGORIES), draw.pick(CATEGORIES)]
    category_of = [categories[0], categories[0], categories[1]]  # two do the same kind of thing
    things: list[str] = []
    for category in category_of:
        things.append(draw.pick([t for t in THINGS[category] if t not in things]))
    told = []
    for k in range(SENTENCES):
        who = Phrase(names[k], "person") if draw.chance(0.6) else Phrase(roles[k])
        if who.kind == "noun" and draw.chance(0.3):
            who = who._replace(adjective=quality(draw, True))
        where = Phrase(towns[k], "town") if draw.chance(0.4) else Phrase(places[k])
        what = Phrase(things[k], adjective=quality(draw) if draw.chance(0.4) else "")
        what = what._replace(amount=number(draw) if draw.chance(0.4) else "")
        scene = Scene(who, draw.pick(CHAINS[category_of[k]]), what)
        scene = scene._replace(place=where if draw.chance(0.6) else None, time=times[k] if draw.chance(0.4) else "")
        told.append(scene)
    ordered = tuple(draw.shuffled(told))
    return Paragraph(ordered, tuple(_question(draw, ordered, k, unanswerable) for k in range(SENTENCES)))


def _question(draw: Draw, told: tuple[Scene, ...], at: int, unanswerable: float) -> Question:
    scene = told[at]
    if not draw.chance(unanswerable):
        role = draw.pick(roles_of(scene))
        return Question(at, role, asked_about(scene, role))
    absent = [role for role in _ABSENT if role not in roles_of(scene)]
    if absent and draw.chance(0.6):
        role = draw.pick(absent)
        asked = scene._replace(place=Phrase(PLACES[0]), time=TIMES[0])  # their words give way to the question's
        return Question(at, role, asked_about(asked, role), answered=False)
    # Somebody who is not in the paragraph, in a question that its sentence would answer.
    role = draw.pick([r for r in roles_of(scene) if r != "agent"])
    present = {each.agent.head for each in told}
    stranger = Phrase(draw.pick([name for name in GIVEN_NAMES if name not in present]), "person")
    return Question(at, role, asked_about(scene, role)._replace(agent=stranger), answered=False)


def as_squad(speaker: Speaker, paragraphs: list[Paragraph], limit: int, prefix: str) -> dict[str, Any]:
    """SQuAD's JSON with ``limit`` questions; ids count up behind ``prefix`` and are the same in every language."""
    asked = 0
    written = []
    for number_of, each in enumerate(paragraphs):
        sentences = [speaker.say(scene) for scene in each.told]
        texts = [text_of(words) for words in sentences]
        starts = [sum(len(text) + 1 for text in texts[:k]) for k in range(SENTENCES)]
        questions = []
        for k, question in enumerate(each.questions[: limit - asked]):
            text, start = place_of(sentences[question.at], question.role, starts[question.at])
            questions.append(
                {
                    "id": f"{prefix}_{number_of}_{k}",
                    "question": text_of(speaker.ask(question.about, question.role)),
                    "answers": [{"text": text, "answer_start": start}] if question.answered else [],
                    "is_impossible": not question.answered,
                }
            )
        asked += len(questions)
        if questions:
            written.append(
                {"title": f"{prefix}_{number_of}", "paragraphs": [{"context": " ".join(texts), "qas": questions}]}
            )
    return {"version": "pocket", "data": written}
