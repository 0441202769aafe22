"""The world's own machine translation: word for word, and so with the faults of one.

Each word of the source gives way to the other language's word; their order, the articles and what stands for negation stay
the source's. Names and words without a counterpart stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

from xstilts.data.translated import TRANSLATED
from xstilts.pocket.grammar import Speaker, Word
from xstilts.pocket.scenes import Saying

Say = Callable[[Saying], list[Word]]
_KEPT = {"plural", "past"}
ENGINE = {"name": "the pocket world's", "version": "word-for-word translator"}


def interlinear(source: Speaker, speaker: Speaker) -> Say:
    """What says the source's sentences in the words of ``speaker``."""

    def say(saying: Saying) -> list[Word]:
        return [_rendered(word, speaker) for word in source.say(saying)]

    return say


def _rendered(word: Word, speaker: Speaker) -> Word:
    if word.concept not in speaker.lexicon.words:
        return word
    inflection = "+".join(name for name in word.inflection.split("+") if name in _KEPT)
    return word._replace(form=speaker.form(word.concept, word.second, inflection))


def translated(speaker: Speaker, name: str, text: str, rows: int) -> Iterator[tuple[str, str]]:
    """A file of translated rows where a data folder looks for them, and the record that says who translated them.

    Args:
        speaker: of the language they are in.
        name: of the source's file.
        text: the file's content.
        rows: how many; none is lost.
    """
    code = speaker.tongue.code
    place = f"{TRANSLATED}/{code}/{name}"
    record = {
        "task": "mnli",
        "split": "train",
        "from": "en",
        "to": code,
        "engine": ENGINE,
        "rows": {"read": rows, "written": rows, "dropped": {}},
        "file": {"name": name.rpartition("/")[2], "sha256": hashlib.sha256(text.encode()).hexdigest()},
    }
    yield place, text
    yield f"{place}.translation.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n"
