"""Sentences to be matched across languages: Tatoeba (LASER's and XTREME's names) and BUCC 2018."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from xstilts.data.files import lines, place, suffix
from xstilts.errors import DataError
from xstilts.task_types import Bitext


def read_tatoeba(paths: Sequence[Path], language: str) -> Iterator[Bitext]:
    """One ``Bitext``: the English lines query the foreign side. ``paths``: the foreign file, then the English one.

    In LASER's files (``.eng``) line i translates line i, so the gold is the line's index. XTREME sorts the English side
    (``.en``): its gold is in ``labels/tatoeba`` only, and ``None`` here.
    """
    foreign_path, english_path = paths
    foreign = tuple(text for _, text in lines(foreign_path))
    english = tuple(text for _, text in lines(english_path))
    if len(foreign) != len(english):
        raise DataError(
            f"the two sides differ in length: {len(foreign)} lines in {foreign_path.name}, {len(english)} here",
            where=place(english_path),
        )
    aligned = suffix(english_path) == ".eng"
    numbers = tuple(map(str, range(len(foreign))))
    gold = tuple(range(len(english))) if aligned else None
    yield Bitext(language, numbers, english, numbers, foreign, gold)


def read_bucc(paths: Sequence[Path], language: str) -> Iterator[Bitext]:
    """One ``Bitext``: foreign queries, English candidates. ``paths``: the foreign file, the English one, the gold if any.

    Lines are ``id<TAB>sentence``; gold lines ``foreign id<TAB>English id``.
    """
    foreign, english = _sentences(paths[0]), _sentences(paths[1])
    gold = read_pairs_of_ids(paths[2]) if len(paths) > 2 else None
    bitext = Bitext(
        language,
        query_ids=tuple(identity for identity, _ in foreign),
        queries=tuple(text for _, text in foreign),
        candidate_ids=tuple(identity for identity, _ in english),
        candidates=tuple(text for _, text in english),
        gold=None,
    )
    yield bitext if gold is None else with_pairs(bitext, gold, paths[2])


def read_pairs_of_ids(path: Path) -> list[tuple[int, str, str]]:
    """``(line, foreign id, English id)`` of a gold file."""
    return [(number, *_two(path, number, line)) for number, line in lines(path) if line]


def with_pairs(bitext: Bitext, pairs: Sequence[tuple[int, str, str]], path: Path) -> Bitext:
    """``bitext`` with these gold pairs; an id that is in neither side raises ``DataError`` with its line."""
    foreign, english = set(bitext.query_ids), set(bitext.candidate_ids)
    for line, source, target in pairs:
        if source not in foreign or target not in english:
            absent = source if source not in foreign else target
            raise DataError(f"gold id {absent!r} is not among the sentences", where=place(path, line))
    gold = tuple(sorted({(source, target) for _, source, target in pairs}))
    return replace(bitext, gold=gold)


def _sentences(path: Path) -> list[tuple[str, str]]:
    rows = [_two(path, number, line) for number, line in lines(path) if line]
    if len({identity for identity, _ in rows}) != len(rows):
        seen: set[str] = set()
        for identity, _ in rows:
            if identity in seen:
                raise DataError(f"the id {identity!r} stands twice", where=place(path))
            seen.add(identity)
    return rows


def _two(path: Path, number: int, line: str) -> tuple[str, str]:
    identity, tab, rest = line.partition("\t")
    if not tab or not identity:
        raise DataError(
            f"missing column: expected an id, a tab and a text, found {line[:80]!r}", where=place(path, number)
        )
    return identity, rest.strip()
