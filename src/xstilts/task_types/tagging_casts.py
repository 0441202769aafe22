"""Tags as text: entities as mT5 writes them (FACTS 6.4), and one tag a word in a form of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xstilts.task_types.cast import UNPARSABLE, Rendered, outside, words_of
from xstilts.task_types.tagging import TaggingExample

Entity = tuple[str, str]
"""Type and text."""
_BETWEEN = "$$"
_NUMBERED = re.compile(r"(\d+)\s+(\S+)")


@dataclass(frozen=True)
class EntityCast:
    """``tag: w1 w2 w3`` -> ``PER: w1 $$ LOC: w3``: the entities in their order; the empty text where there is none.

    Args:
        prefix: ``tag:`` in mT5.
        types: of entities.
    """

    name: ClassVar[str] = "entities"
    prefix: str
    types: tuple[str, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """Any text may be an answer."""
        return ()

    def render(self, example: TaggingExample) -> Rendered:
        """Words with single spaces; the target lists the entities."""
        inputs = " ".join((self.prefix, *example.words))
        if example.tags is None:
            return Rendered(inputs, None)
        return Rendered(inputs, f" {_BETWEEN} ".join(": ".join(e) for e in entities(example.words, example.tags)))

    def parse(self, example: TaggingExample, text: str) -> dict[str, Any]:
        """``entities`` as they were written, and ``tags``: each entity at its leftmost match that no other has taken."""
        found: list[Entity] = []
        flaws: dict[str, None] = {}
        for part in filter(None, map(str.strip, text.split(_BETWEEN))):
            kind, _, said = part.partition(":")
            if kind.strip() in self.types and said.strip():
                found.append((kind.strip(), words_of(said)))
            else:
                flaws[UNPARSABLE] = None
        tags = ["O"] * len(example.words)
        folded = ["".join(words_of(word).split()) for word in example.words]
        for kind, said in found:
            place = _leftmost(said.replace(" ", ""), folded, tags)
            if place is None:
                sentence = " ".join(example.words)
                flaws |= dict.fromkeys(["unplaced"] if said in words_of(sentence) else outside(said, sentence))
                continue
            tags[place.start] = f"B-{kind}"
            tags[place.start + 1 : place.stop] = [f"I-{kind}"] * (len(place) - 1)
        return {"id": example.id, "tags": tags, "entities": [list(e) for e in found], "flaws": list(flaws)}


def entities(words: Sequence[str], tags: Sequence[str]) -> Iterator[Entity]:
    """Types and texts of the entities that IOB2 tags mark, in order; an ``I-`` with nothing before it opens one."""
    kind, text = "", list[str]()
    for word, tag in zip((*words, ""), (*tags, "O"), strict=True):
        mark, _, here = tag.partition("-")
        if text and (mark != "I" or here != kind):
            yield kind, " ".join(text)
            text = []
        if mark != "O":
            kind = here
            text.append(word)


def _leftmost(text: str, words: Sequence[str], tags: Sequence[str]) -> range | None:
    """The first free words that together are ``text``; space aside, which WikiAnn has as words too (Thai)."""
    for start in range(len(words)):
        rest, end = text, start
        while words[start] and rest and end < len(words) and tags[end] == "O" and rest.startswith(words[end]):
            rest, end = rest[len(words[end]) :], end + 1
        if not rest and end > start:
            return range(start, end)
    return None


@dataclass(frozen=True)
class TagCast:
    """``pos: 1 The 2 cat`` -> ``1 DET 2 NOUN``: a tag for each number. Our own: mT5 has published none.

    The numbers keep words and tags together: a word that is skipped costs one tag, not all that follow.

    Args:
        prefix: names the task.
        labels: tags; empty where they are those of the training rows (CCG), then any is taken.
    """

    name: ClassVar[str] = "tags"
    prefix: str
    labels: tuple[str, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """Any text may be an answer."""
        return ()

    def render(self, example: TaggingExample) -> Rendered:
        """Numbered words; the target numbers the tags."""
        inputs = f"{self.prefix} {_numbered(example.words)}"
        return Rendered(inputs, None if example.tags is None else _numbered(example.tags))

    def parse(self, example: TaggingExample, text: str) -> dict[str, Any]:
        """The first tag written for each number; a word without one gets a tag that no task has."""
        said: dict[int, str] = {}
        for number, tag in _NUMBERED.findall(text):
            said.setdefault(int(number), tag if not self.labels or tag in self.labels else UNPARSABLE)
        tags = [said.get(number, UNPARSABLE) for number in range(1, len(example.words) + 1)]
        return {"id": example.id, "tags": tags, "flaws": [UNPARSABLE] * (UNPARSABLE in tags)}


def _numbered(texts: Sequence[str]) -> str:
    return " ".join(f"{number} {text}" for number, text in enumerate(texts, start=1))
