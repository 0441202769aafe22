"""What the documentation tells a reader to type: every command of README, CONTRIBUTING and docs/, with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"(xstilts|pip|make|python|pytest|cat|cp|export) \S|\.venv/|[A-Z_]+=\S+ xstilts ")
PROMPT = re.compile(r"[a-z]*\$\s+")
INLINE = re.compile(r"`(xstilts [^`]*)`")


@dataclass(frozen=True)
class Line:
    """One line of a page; ``block`` is the language of the fenced block that it stands in, ``None`` for prose."""

    page: Path
    number: int
    text: str
    block: str | None

    @property
    def place(self) -> str:
        """``docs/hub.md:5``."""
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def lines() -> Iterator[Line]:
    """Every line of every page but the fences."""
    for page in PAGES:
        block = None
        for number, text in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            if text.lstrip().startswith("```"):
                block = None if block is not None else text.strip().removeprefix("```")
            else:
                yield Line(page, number, text, block)


def commands() -> Iterator[Line]:
    """What stands behind ``$`` (or ``host$``) in blocks of ``console``, over several lines too; without the remark."""
    before = ""
    for line in lines():
        if line.block != "console" or not (before or PROMPT.match(line.text)):
            continue
        whole = before + re.sub(r"\s+#\s.*", "", PROMPT.sub("", line.text)).strip()
        before = whole.removesuffix("\\") if whole.endswith("\\") else ""
        if not before:
            yield Line(line.page, line.number, whole, "console")


def inline() -> Iterator[Line]:
    """The commands in running text: some are whole, some name a verb or an option only."""
    for line in lines():
        if line.block is None:
            for found in INLINE.findall(line.text):
                yield Line(line.page, line.number, found, None)
