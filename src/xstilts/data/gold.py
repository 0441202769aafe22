"""Gold that lies apart from its text: XTREME's ``labels/TASK/test-LL.*``, attached by order or by id.

Placeholder gold is refused: XTREME's own download writes one and the same label on every test row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xstilts.data.bitext import read_pairs_of_ids, with_pairs
from xstilts.data.conll import read_tag_blocks
from xstilts.data.files import lines, place
from xstilts.data.squad import read_squad
from xstilts.errors import GoldError
from xstilts.metrics.checks import refuse_counting
from xstilts.task_types import Bitext, PairExample, SpanExample, TaggingExample


def attach_labels(examples: Sequence[PairExample], path: Path, labels: Sequence[str], texts: str) -> list[PairExample]:
    """One label a line, in the order of the rows of ``texts``."""
    rows = [(number, line.strip()) for number, line in lines(path) if line.strip()]
    _same_count(len(rows), len(examples), path, texts)
    for number, label in rows:
        _known(label, labels, path, number)
    return [replace(e, label=label) for e, (_, label) in zip(examples, rows, strict=True)]


def attach_tags(
    examples: Sequence[TaggingExample], path: Path, labels: Sequence[str], texts: str
) -> list[TaggingExample]:
    """One tag a line, a blank line between sentences, in step with the words of ``texts``."""
    blocks = list(read_tag_blocks(path))
    _same_count(len(blocks), len(examples), path, texts, "sentences")
    known = frozenset(labels)
    for example, (start, tags) in zip(examples, blocks, strict=True):
        if len(tags) != len(example.words):
            raise GoldError(
                f"sentence {example.id} has {len(tags)} gold tags here but {len(example.words)} words in {texts}",
                where=place(path, start),
            )
        if known and not known.issuperset(tags):
            for number, tag in enumerate(tags, start):
                _known(tag, labels, path, number)
    return [replace(e, tags=tags) for e, (_, tags) in zip(examples, blocks, strict=True)]


def attach_answers(examples: Sequence[SpanExample], path: Path, language: str, texts: str) -> list[SpanExample]:
    """Answers of a SQuAD JSON file, by question id."""
    gold = {e.id: e.answers for e in read_squad((path,), language)}
    absent = [e.id for e in examples if e.id not in gold]
    if absent:
        raise GoldError(
            f"{len(absent)} of {len(examples)} questions of {texts} have no gold among {len(gold)} here; first {absent[0]!r}",
            where=place(path),
        )
    _same_count(len(gold), len(examples), path, texts, "questions")
    return [replace(e, answers=gold[e.id]) for e in examples]


def attach_neighbours(bitext: Bitext, path: Path, texts: str) -> Bitext:
    """One 0-based line number a line: the foreign line that each English line translates."""
    rows = [(number, line.strip()) for number, line in lines(path) if line.strip()]
    _same_count(len(rows), len(bitext.queries), path, texts)
    gold = []
    for number, text in rows:
        digits = len(str(len(bitext.candidates)))
        if not text.isdecimal() or len(text) > digits or int(text) >= len(bitext.candidates):
            raise GoldError(
                f"{text!r} is not a line number from 0 to {len(bitext.candidates) - 1}", where=place(path, number)
            )
        gold.append(int(text))
    return replace(bitext, gold=tuple(gold))


def attach_pairs(bitext: Bitext, path: Path) -> Bitext:
    """Gold pairs, ``foreign id<TAB>English id``."""
    return with_pairs(bitext, read_pairs_of_ids(path), path)


def refuse_identity(bitext: Bitext, where: str) -> None:
    """Refuse line numbers 0, 1, 2 ... as gold when the English side is sorted: nothing is aligned then."""
    stripped = [query.strip() for query in bitext.queries]
    if stripped == sorted(stripped):
        gold = [line for line in bitext.gold or () if isinstance(line, int)]
        hint = "XTREME sorts the English lines; the true line numbers are in labels/tatoeba, or use LASER's files"
        refuse_counting(gold, where, hint)


def _same_count(found: int, expected: int, path: Path, texts: str, what: str = "rows") -> None:
    if found != expected:
        raise GoldError(f"{found} gold {what} here but {expected} {what} in {texts}", where=place(path))


def _known(label: str, labels: Sequence[str], path: Path, number: int) -> None:
    if labels and label not in labels:
        raise GoldError(f"unknown label {label!r}", where=place(path, number), hint=f"labels: {', '.join(labels)}")
