"""CCGbank's ``.auto`` files: one derivation a line, its leaves are the words with their supertags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from xstilts.data.files import lines, place
from xstilts.errors import DataError
from xstilts.task_types import TaggingExample

# (<L category modified-POS original-POS word predicate-argument-category>)
_LEAF = re.compile(r"\(<L (\S+) \S+ \S+ (\S+) [^\s>]+>\)")


def read_ccgbank(paths: Sequence[Path], language: str) -> Iterator[TaggingExample]:
    """Sentences with supertags: the category and the word of each leaf ``<L category POS POS word category>``.

    Raises:
        DataError: a line that is neither an ``ID=`` line nor a derivation whose leaves all read.
    """
    count = 0
    for path in paths:
        for number, line in lines(path):
            if not line.strip() or line.startswith("ID="):
                continue
            leaves = _LEAF.findall(line)
            if not leaves or len(leaves) != line.count("(<L "):
                raise DataError(
                    f"{len(leaves)} of {line.count('(<L ')} leaves read; a leaf is (<L category POS POS word category>)",
                    where=place(path, number),
                )
            if not _balanced(line):
                raise DataError("the derivation is cut off: its brackets do not match", where=place(path, number))
            yield TaggingExample(str(count), tuple(word for _, word in leaves), tuple(tag for tag, _ in leaves))
            count += 1


def _balanced(line: str) -> bool:
    """Whether every node ``(<T`` or ``(<L`` is closed; brackets inside a node's own fields do not count."""
    outside = re.sub(r"<[TL] [^>]*>", "", line)
    return outside.count("(") == outside.count(")")
