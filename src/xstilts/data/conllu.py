"""CoNLL-U treebanks read as XTREME reads them: fused forms instead of their parts, one tag a word.

XTREME runs every treebank through a conversion that puts a multiword token's fused form (``zum``) in the place of its
words (``zu dem``) with the tag of the word nearest to the root; of equally near ones the tag that comes first in a
ranking (FACTS 2.5, checked here against XTREME's own udpos files).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xstilts.data.conll import UPOS
from xstilts.data.files import lines, place
from xstilts.errors import DataError
from xstilts.task_types import TaggingExample

_COLUMNS = 10
_RANK = "VERB,NOUN,PROPN,PRON,ADJ,NUM,ADV,INTJ,AUX,ADP,DET,PART,CCONJ,SCONJ,X,PUNCT"
_LANGUAGE_RANK = {
    "es": "VERB,AUX,PRON,ADP,DET",
    "fr": "VERB,AUX,PRON,NOUN,ADJ,ADV,ADP,DET,PART,SCONJ,CONJ",
    "it": "VERB,AUX,ADV,PRON,ADP,DET,INTJ",
}
_ZERO_WIDTH_NON_JOINER = "\u200c"


@dataclass
class _Sentence:
    start: int
    forms: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    fused: dict[int, tuple[int, str]] = field(default_factory=dict)  # first word -> (last word, form), from 1


def read_conllu(paths: Sequence[Path], language: str, first: int = 0) -> Iterator[TaggingExample]:
    """Sentences with universal tags. Spaces inside words and U+200C are taken out; empty nodes and comments skipped.

    A sentence whose words are all, or all but one, ``_`` (text that must be licensed apart) is dropped; a lone ``_`` in
    other sentences stays, as in XTREME.

    Raises:
        DataError: not ten columns, ids out of order, an unknown tag: with ``file:line``.
    """
    rank = {tag: k for k, tag in enumerate(_LANGUAGE_RANK.get(language, _RANK).split(","))}
    for path in paths:
        for sentence in _sentences(path):
            words, tags = _merge(sentence, rank)
            hidden = words.count("_")
            if hidden and hidden >= len(words) - 1:
                continue
            yield TaggingExample(str(first), tuple(map(_clean, words)), tuple(tags))
            first += 1


def _clean(word: str) -> str:
    return word.strip().replace(_ZERO_WIDTH_NON_JOINER, "").replace(" ", "")


def _sentences(path: Path) -> Iterator[_Sentence]:
    sentence = _Sentence(1)
    for number, line in lines(path):
        if not line.strip():
            if sentence.forms:
                yield sentence
            sentence = _Sentence(number + 1)
        elif not line.startswith("#"):
            _add(sentence, line, path, number)
    if sentence.forms:
        yield sentence


def _add(sentence: _Sentence, line: str, path: Path, number: int) -> None:
    fields = line.split("\t")
    if len(fields) != _COLUMNS:
        raise DataError(f"missing column: {len(fields)} columns, CoNLL-U has {_COLUMNS}", where=place(path, number))
    identity, form, tag, head = fields[0], fields[1], fields[3], fields[6]
    if "." in identity:
        return
    try:
        if "-" in identity:
            start, end = map(int, identity.split("-"))
            if not len(sentence.forms) + 1 == start <= end:
                raise DataError(
                    f"a fused form of the words {identity}, where word {len(sentence.forms) + 1} comes next",
                    where=place(path, number),
                )
            sentence.fused[start] = (end, form)
            return
        expected, found, parent = len(sentence.forms) + 1, int(identity), 0 if head == "_" else int(head)
    except ValueError as error:
        raise DataError(
            f"ids and heads are numbers, found {identity!r}, {head!r}", where=place(path, number)
        ) from error
    if found != expected:
        raise DataError(f"word id {found} where {expected} was expected", where=place(path, number))
    if tag not in UPOS:
        raise DataError(f"unknown tag {tag!r}", where=place(path, number), hint=f"tags: {', '.join(UPOS)}")
    sentence.forms.append(form)
    sentence.tags.append(tag)
    sentence.heads.append(parent)


def _merge(sentence: _Sentence, rank: dict[str, int]) -> tuple[list[str], list[str]]:
    if not sentence.fused:
        return sentence.forms, sentence.tags
    words, tags = [], []
    position = 1
    while position <= len(sentence.forms):
        end, form = sentence.fused.get(position, (position, sentence.forms[position - 1]))
        end = min(end, len(sentence.forms))
        words.append(form)
        tags.append(_fused_tag(sentence, position, end, rank) if end > position else sentence.tags[position - 1])
        position = end + 1
    return words, tags


def _fused_tag(sentence: _Sentence, start: int, end: int, rank: dict[str, int]) -> str:
    depths = {k: _depth(sentence.heads, k) for k in range(start, end + 1)}
    nearest = [k for k, depth in depths.items() if depth == min(depths.values())]
    best = min(nearest, key=lambda k: (rank.get(sentence.tags[k - 1], len(rank)), k))
    return sentence.tags[best - 1]


def _depth(heads: Sequence[int], word: int) -> int:
    """Steps up to the root; a cycle or a head outside the sentence ends the walk."""
    seen: set[int] = set()
    while 0 < word <= len(heads) and word not in seen:
        seen.add(word)
        word = heads[word - 1]
    return len(seen)
