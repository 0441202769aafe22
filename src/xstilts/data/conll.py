"""Words with tags, one a line, a blank line between sentences: XTREME's udpos and panx, WikiAnn, WNUT, MasakhaNER."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from xstilts.data.files import lines, place
from xstilts.errors import DataError
from xstilts.task_types import TaggingExample

_OPEN = ("ADJ", "ADV", "INTJ", "NOUN", "PROPN", "VERB")
_CLOSED = ("ADP", "AUX", "CCONJ", "DET", "NUM", "PART", "PRON", "SCONJ")
UPOS = tuple(sorted((*_OPEN, *_CLOSED, "PUNCT", "SYM", "X")))
"""The 17 universal tags, in alphabetical order."""
NER_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")

_PREFIX = re.compile(r"[a-z]{2,3}:")
_BLANK = " \t\r"  # WNUT separates sentences with a lone tab


def read_words(
    paths: Sequence[Path], language: str, tags: Sequence[str] | None = None, first: int = 0
) -> Iterator[TaggingExample]:
    """Sentences of ``word<TAB>tag`` or ``word tag`` lines, or of bare words (test files: ``tags`` is ``None``).

    The first line with text tells which, for the whole file. A ``LL:`` prefix that every word of a file's first sentence
    has (the published PAN-X) is taken off; more than one blank line between sentences is fine.

    Args:
        paths: read one after the other.
        language: only named in errors; a file holds one language.
        tags: the tags that may occur; ``None`` allows any.
        first: the number of the first sentence.
    """
    known = None if tags is None else frozenset(tags)
    for path in paths:
        separator: str | None = None
        prefix = ""
        for start, sentence in _blocks(path):
            if separator is None:
                separator = next((s for s in ("\t", " ") if s in sentence[0]), "")
                prefix = _common_prefix(sentence)
            words, found = _split(path, start, sentence, separator, prefix)
            if known is not None and not known.issuperset(found):
                raise _unknown_tag(path, start, found, tags or ())
            yield TaggingExample(str(first), words, tuple(found) if separator else None)
            first += 1


def read_tag_blocks(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """``(first line, tags)`` of each sentence of a gold file with one tag a line (XTREME's ``labels`` layout)."""
    for start, block in _blocks(path):
        yield start, tuple(tag.strip() for tag in block)


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """``(number of the first line, lines)`` of each run of lines with text."""
    block: list[str] = []
    number = 0
    for number, line in lines(path):
        if line.strip(_BLANK):
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
    if block:
        yield number - len(block) + 1, block


def _common_prefix(sentence: Sequence[str]) -> str:
    match = _PREFIX.match(sentence[0])
    return match.group() if match and all(line.startswith(match.group()) for line in sentence) else ""


def _split(
    path: Path, start: int, sentence: Sequence[str], separator: str, prefix: str
) -> tuple[tuple[str, ...], list[str]]:
    words, tags = [], []
    for number, line in enumerate(sentence, start):
        word, tag = line, ""
        if separator:
            word, _, tag = line.rpartition(separator)
            if not word or not tag:
                raise DataError(
                    f"missing column: expected a word, {separator!r} and a tag, found {line!r}",
                    where=place(path, number),
                )
            tags.append(tag)
        elif "\t" in line:
            raise DataError(f"this file has no tags, but here is {line!r}", where=place(path, number))
        words.append(word[len(prefix) :] if prefix and word.startswith(prefix) else word)
    return tuple(words), tags


def _unknown_tag(path: Path, start: int, found: Sequence[str], known: Sequence[str]) -> DataError:
    at, tag = next((k, t) for k, t in enumerate(found) if t not in known)
    return DataError(f"unknown tag {tag!r}", where=place(path, start + at), hint=f"tags: {', '.join(known)}")
