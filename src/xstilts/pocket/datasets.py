"""The rows of every data set: distinct, balanced, and the same scenes in every language where the real one is parallel."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from xstilts.pocket.concepts import CATEGORY_OF
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, Word, text_of
from xstilts.pocket.reading import Paragraph, Question, paragraph
from xstilts.pocket.scenes import Fact, Phrase, Saying, Scene, State, quality, role, scene
from xstilts.pocket.text import asked_about, roles_of

Row = TypeVar("Row")


def distinct(make: Callable[[int], Row], count: int, seen: set[Hashable], key: Callable[[Row], Hashable]) -> list[Row]:
    """``count`` rows whose keys are not in ``seen``, which grows by them; ``make`` is told the row's number."""
    rows: list[Row] = []
    while len(rows) < count:
        row = make(len(rows))
        if key(row) not in seen:
            seen.add(key(row))
            rows.append(row)
    return rows


def balanced(draw: Draw, labels: Sequence[str], count: int) -> list[str]:
    """Each label as often as the others, in a random order."""
    return draw.shuffled([labels[k % len(labels)] for k in range(count)])


def utterances(
    draw: Draw, speaker: Speaker, count: int, seen: set[Hashable], questions: bool = True
) -> list[tuple[Saying, Question | None]]:
    """Sentences for tagging: scenes, one in five about a quality or a kind, and one in ten a question if asked for."""
    return distinct(lambda _: _utterance(draw, questions), count, seen, lambda row: text_of(tagged(speaker, row)))


def _utterance(draw: Draw, questions: bool) -> tuple[Saying, Question | None]:
    chance = draw.below(20) if questions else 2 + draw.below(18)
    said = scene(draw)
    if chance < 2:
        said = said._replace(negated=False)
        asked = draw.pick(roles_of(said))
        return said, Question(0, asked, asked_about(said, asked))
    if chance < 5:
        who = role(draw, adjective=0.3, of=0.3)
        return State(who, quality(draw, True), draw.chance(0.3)), None
    if chance < 6:
        noun = draw.pick(tuple(CATEGORY_OF))
        return Fact(noun, CATEGORY_OF[noun]), None
    return said, None


def tagged(speaker: Speaker, row: tuple[Saying, Question | None]) -> list[Word]:
    """The words of an utterance."""
    said, question = row
    return speaker.say(said) if question is None else speaker.ask(question.about, question.role)


def named(draw: Draw, speaker: Speaker, count: int, seen: set[Hashable]) -> list[Scene]:
    """Scenes for entity tagging: nine in ten name somebody or something."""

    def make(_: int) -> Scene:
        while True:
            found = scene(draw, places=0.7)
            if _names(found) or draw.chance(0.1):
                return found

    return distinct(make, count, seen, lambda row: text_of(speaker.say(row)))


def _names(found: Scene) -> bool:
    phrases: tuple[Phrase | None, ...] = (found.agent, found.object, found.place, found.companion)
    return any(p is not None and (p.kind != "noun" or p.of) for p in phrases)


def paragraphs(draw: Draw, questions: int, seen: set[Hashable], unanswerable: float = 0.0) -> list[Paragraph]:
    """As many paragraphs as hold this many questions, three each."""
    count = -(-questions // 3)
    return distinct(lambda _: paragraph(draw, unanswerable), count, seen, lambda row: row.told)


def bio(words: Sequence[Word]) -> Iterator[str]:
    """IOB2 tags. Two names that touch are two entities: a language may put them side by side."""
    before: Word | None = None
    for word in words:
        if not word.entity:
            yield "O"
        else:
            inside = before is not None and before.entity == word.entity and before.supertag == "NP/NP"
            yield f"{'I' if inside else 'B'}-{word.entity}"
        before = word


def translated(draw: Draw, speakers: Sequence[Speaker], count: int, seen: set[Hashable]) -> list[Scene]:
    """Scenes whose sentences are new in every one of the languages; ``seen`` grows by the sentences."""
    found: list[Scene] = []
    while len(found) < count:
        row = scene(draw)
        texts = {(s.tongue.code, text_of(s.say(row))) for s in speakers}
        if not texts & seen:
            seen |= texts
            found.append(row)
    return found
