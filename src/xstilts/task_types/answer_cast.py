"""Questions as text, as mT5 has them (FACTS 6.4): the answer is any text, not a span."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from xstilts.task_types.cast import UNPARSABLE, Rendered, outside
from xstilts.task_types.span import SpanExample

_MARK = re.compile(r"[^\w\s]")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class AnswerCast:
    """``question: Q context: C`` -> the first gold answer; in all three, spaces around punctuation.

    Args:
        unanswerable: the empty text is an answer (SQuAD v2.0; our own choice).
    """

    name: ClassVar[str] = "answer"
    unanswerable: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """Any text may be an answer."""
        return ()

    def render(self, example: SpanExample) -> Rendered:
        """The target is the first answer."""
        inputs = f"question: {padded(example.question)} context: {padded(example.context)}"
        if example.answers is None:
            return Rendered(inputs, None)
        return Rendered(inputs, padded(example.answers[0].text) if example.answers else "")

    def parse(self, example: SpanExample, text: str) -> dict[str, Any]:
        """The characters of the context that the text was written from, at its first place there; else the text itself.

        The official scripts compare with the answers as they are published, without the spaces that ``render`` puts in; mT5
        compares both sides with them.
        """
        if not text.strip():
            flaws = [] if self.unanswerable else [UNPARSABLE]
            return {"id": example.id, "text": "", "start": -1, "flaws": flaws}
        found = _place(example.context, text)
        if found is None:
            return {"id": example.id, "text": text.strip(), "start": -1, "flaws": outside(text, example.context)}
        start, end = found
        return {"id": example.id, "text": example.context[start:end], "start": start, "flaws": []}


def padded(text: str) -> str:
    """Spaces around every character but letters, numbers, marks, underscores and space; single spaces (T5's rule)."""
    spaced = _MARK.sub(lambda m: m[0] if unicodedata.category(m[0])[0] == "M" else f" {m[0]} ", text)
    return _SPACES.sub(" ", spaced).strip()


def _place(context: str, answer: str) -> tuple[int, int] | None:
    """Where in the context the answer was taken from, as whole words if that can be.

    Compared with spaces around punctuation and compatibility forms folded: a sentence-piece model writes no others.
    """
    line, origins = _unfolded(context)
    wanted, _ = _unfolded(answer)
    at = line.find(wanted)
    if at < 0:
        at, wanted = line.find(wanted.strip()), wanted.strip()
        return None if at < 0 or not wanted else (origins[at], origins[at + len(wanted) - 1] + 1)
    return origins[at + 1], origins[at + len(wanted) - 2] + 1


@lru_cache(maxsize=64)  # questions about one paragraph stand together
def _unfolded(text: str) -> tuple[str, list[int]]:
    """The folded text, between two spaces, and for each of its characters the one of ``text`` that it came from."""
    characters, origins = [" "], [0]

    def put(character: str, origin: int) -> None:
        if character != " " or characters[-1] != " ":
            characters.append(character)
            origins.append(origin)

    for origin, original in enumerate(text):
        for folded in unicodedata.normalize("NFKD", original):
            if folded.isspace():
                put(" ", origin)
            elif _MARK.match(folded) and unicodedata.category(folded)[0] != "M":
                for each in (" ", folded, " "):
                    put(each, origin)
            else:
                put(folded, origin)
    put(" ", len(text))
    return "".join(characters), origins
