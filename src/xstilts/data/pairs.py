"""Pairs of texts with a label: XNLI, MultiNLI, SNLI, ANLI, GLUE MNLI and QQP, PAWS-X, MRPC, and XTREME's own tables.

The format of a file is told from its suffix and its first line or keys, so any task of the same kind can be pointed at
any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from xstilts.data.files import json_lines, lines, place, require, require_text, suffix
from xstilts.data.tables import header, header_rows, missing_column, quoted_rows
from xstilts.errors import DataError
from xstilts.task_types import PairExample

NLI_LABELS = ("entailment", "neutral", "contradiction")
PARAPHRASE_LABELS = ("0", "1")

_SPELLINGS = {"contradictory": "contradiction", "e": "entailment", "n": "neutral", "c": "contradiction"}
_NO_MAJORITY = "-"  # the annotators disagree: 785 rows of SNLI train (FACTS 1.1)
_HEADERS = (
    ("sentence1", "sentence2", "gold_label"),  # XNLI, MultiNLI, SNLI, GLUE MNLI
    ("sentence1", "sentence2", "label"),  # PAWS-X
    ("question1", "question2", "is_duplicate"),  # GLUE QQP
    ("#1 String", "#2 String", "Quality"),  # MRPC
    ("premise", "hypo", "label"),  # XNLI-MT
)
_HEADER_WORDS = {name for names in _HEADERS for name in names}

Row = tuple[int, str, str, str | None]


def read_nli(paths: Sequence[Path], language: str) -> Iterator[PairExample]:
    """Premise, hypothesis and one of ``NLI_LABELS`` (``None`` in test files without labels).

    Rows whose gold label is ``-`` are dropped. In a file of all languages only the rows of ``language`` are read.
    """
    return _examples(paths, language, NLI_LABELS, _SPELLINGS)


def read_paraphrase(paths: Sequence[Path], language: str) -> Iterator[PairExample]:
    """Two sentences or questions and ``0`` or ``1`` (``None`` in test files without labels)."""
    return _examples(paths, language, PARAPHRASE_LABELS, {})


def _examples(
    paths: Sequence[Path], language: str, labels: tuple[str, ...], spellings: Mapping[str, str]
) -> Iterator[PairExample]:
    count = 0
    for path in paths:
        for line, first, second, label in _rows(path, language, {*labels, *spellings}):
            if label is not None and label not in labels:
                if label == _NO_MAJORITY and labels == NLI_LABELS:
                    continue
                if label not in spellings:
                    raise DataError(
                        f"unknown label {label!r}", where=place(path, line), hint=f"labels: {', '.join(labels)}"
                    )
                label = spellings[label]
            yield PairExample(str(count), first, second, label)
            count += 1


def _rows(path: Path, language: str, labels: Collection[str]) -> Iterator[Row]:
    if suffix(path) in (".jsonl", ".json"):
        return _json_rows(path, language)
    names = header(path)
    if len(names) == 3 and names[2] in labels:  # a row, even one whose texts look like column names
        return _bare_rows(path)
    for first, second, label in _HEADERS:
        if first in names and second in names:
            if label not in names and {"label", "gold_label", "is_duplicate"} & set(names):
                continue
            return _header_rows(path, names, (first, second, label if label in names else None), language)
    if known := _HEADER_WORDS & set(names):
        raise DataError(
            f"missing column: the header has {sorted(known)} but not both texts of a pair",
            where=place(path, 1),
            hint="headers that are read: " + "; ".join(" ".join(h) for h in _HEADERS),
        )
    if len(names) == 5:
        return _translated_rows(path, labels)
    return _bare_rows(path)


def _bare_rows(path: Path) -> Iterator[Row]:
    """XTREME's rows: two texts, and a label but for test files."""
    return ((n, f[0], f[1], f[2] if len(f) == 3 else None) for n, f in quoted_rows(path, (2, 3)))


def _translated_rows(path: Path, labels: Collection[str]) -> Iterator[Row]:
    """XTREME's translate-train rows, unquoted: the English pair, the translated pair, a label (read in TensorFlow Datasets).

    Some published rows of PAWS-X are damaged: they end in no label. They are left out, and `data check` counts them.
    """
    for number, fields in _tab_rows(path):
        if len(fields) == 5 and (fields[4] in labels or "0" not in labels):
            yield number, fields[2], fields[3], fields[4]
        elif "0" not in labels:
            raise DataError(f"{len(fields)} columns, expected 5", where=place(path, number))


def damaged_rows(path: Path) -> int:
    """How many rows of a translate-train file of PAWS-X are damaged; 0 for other files."""
    if suffix(path) != ".tsv" or len(header(path)) != 5 or _HEADER_WORDS & set(header(path)):
        return 0
    return sum(len(fields) != 5 or fields[4] not in PARAPHRASE_LABELS for _, fields in _tab_rows(path))


def _tab_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    return ((number, line.split("\t")) for number, line in lines(path) if line)


def _header_rows(
    path: Path, names: Sequence[str], columns: tuple[str, str, str | None], language: str
) -> Iterator[Row]:
    wanted = (*columns, "language" if "language" in names else None)
    for number, fields in header_rows(path, wanted):
        if not fields:
            raise missing_column(path, number, wanted)
        first, second, label, row_language = fields
        if row_language is None or row_language == language:
            assert first is not None and second is not None
            yield number, first, second, label


def _json_rows(path: Path, language: str) -> Iterator[Row]:
    for number, row in json_lines(path):
        if row.get("language", language) != language:
            continue
        if "context" in row:  # ANLI
            first, second, label = "context", "hypothesis", "label"
        else:  # MultiNLI, SNLI, XNLI
            first, second, label = "sentence1", "sentence2", "gold_label"
        gold = require(row, label, path, number)
        yield (
            number,
            require_text(row, first, path, number),
            require_text(row, second, path, number),
            None if gold is None else str(gold),
        )
