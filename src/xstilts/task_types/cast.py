"""Casting a task into text and back: what a text-to-text model reads, writes, and how its answer is understood.

``render`` stands left of the predictions file, ``parse`` right of it. ``parse`` never fails: an answer that cannot be read
is a declared wrong answer, and what is wrong with it stands beside it (``FLAWS``).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

FLAWS = {
    "unparsable": "it cannot be read, in whole or in part: a declared wrong answer",
    "outside_input": "it says what does not stand in the input",
    "other_script": "it says that in another script than the input's",
    "unplaced": "it names an entity that stands in the input, but not at whole words that are free",
    "unfinished": "it was cut at the most sub-words an answer may have",
}
"""What may be wrong with the text a model made; in a predictions file, those of each row."""
UNPARSABLE = "unparsable"
"""The label or tag of an answer that cannot be read: no task has it, so it is wrong whatever the gold."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a model reads, and what it should write (``None`` where the gold is missing)."""

    inputs: str
    target: str | None


class Cast(Protocol):
    """One way to say a task in text. Implementations are frozen dataclasses whose fields are plain JSON: part of keys."""

    name: ClassVar[str]

    @property
    def targets(self) -> tuple[str, ...]:
        """Every text that is an answer; empty where any text may be one."""

    def render(self, example: Any) -> Rendered:
        """An example as text."""

    def parse(self, example: Any, text: str) -> dict[str, Any]:
        """A row of the predictions file, as ``decode`` makes it, with ``flaws``. The example's gold is not looked at."""


def words_of(text: str) -> str:
    """Compatibility forms folded (as sentence-piece vocabularies do) and single spaces: how texts are compared."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def script_of(text: str) -> str | None:
    """The script of most letters, named as Unicode names its letters; ``None`` for a text without letters.

    Han and Kana are one script: Japanese writes both.
    """
    scripts = Counter(unicodedata.name(c, "?").split()[0] for c in text if c.isalpha())
    east = sum(scripts.pop(name, 0) for name in ("CJK", "HIRAGANA", "KATAKANA"))
    if east:
        scripts["CJK"] = east
    return max(scripts, key=lambda name: (scripts[name], name)) if scripts else None


def outside(text: str, source: str) -> list[str]:
    """The flaws of a text that should have been taken from ``source`` and was not."""
    written, around = script_of(text), script_of(source)
    other = written is not None and around is not None and written != around
    return ["outside_input", *(["other_script"] if other else [])]
