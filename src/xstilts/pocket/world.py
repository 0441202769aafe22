"""A world's settings: everything that its bytes follow from."""

from __future__ import annotations

from dataclasses import dataclass

from xstilts.errors import DataError
from xstilts.pocket.tongues import TONGUES, Tongue

SMALLEST = 12
"""Rows that any file has: one twelfth of them still makes a round of ANLI."""


@dataclass(frozen=True, kw_only=True)
class World:
    """How much of everything there is. Equal worlds give equal bytes.

    Args:
        seed: of all chance: words, scenes, rows.
        tongues: the languages; the first is the source.
        text_lines: lines of text for masked LM in each language.
        bitext_lines: lines of translations; each language has its share of them (``Tongue.bitext``).
        train_rows: training rows of pair and tagging tasks (SNLI and ANLI's three rounds together are half as many).
        train_questions: of each question-answering task.
        train_choices: of each multiple-choice task.
        dev_rows, test_rows: of every task but retrieval, in each language.
        tatoeba_pairs: sentences that find their translation.
        bucc_dev, bucc_test: sentences in each pool, and how many of them have a translation in the other.
    """

    seed: int = 1
    tongues: tuple[Tongue, ...] = TONGUES
    text_lines: int = 20_000
    bitext_lines: int = 6_000
    train_rows: int = 6_000
    train_questions: int = 3_000
    train_choices: int = 2_000
    dev_rows: int = 200
    test_rows: int = 300
    tatoeba_pairs: int = 300
    bucc_dev: tuple[int, int] = (400, 150)
    bucc_test: tuple[int, int] = (600, 225)

    def __post_init__(self) -> None:
        """Raise ``DataError`` for a world that would have empty files or no source."""
        codes = [tongue.code for tongue in self.tongues]
        if not codes or self.tongues[0].distance or len(set(codes)) != len(codes):
            raise DataError(f"the source comes first and every code once, found {codes}", where="tongues")
        for name in ("train_rows", "train_questions", "train_choices", "dev_rows", "test_rows", "tatoeba_pairs"):
            if getattr(self, name) < SMALLEST:
                raise DataError(f"{getattr(self, name)} rows, at least {SMALLEST} are needed", where=name)
        for name in ("bucc_dev", "bucc_test"):
            pool, planted = getattr(self, name)
            if not 0 < planted <= pool:
                raise DataError(f"{planted} of {pool} sentences cannot have a translation", where=name)


POCKET = World()
"""The default world."""
