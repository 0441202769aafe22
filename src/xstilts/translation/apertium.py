"""Apertium, a rule-based engine, by its command line (Forcada et al. 2011; on Debian: apertium, apertium-eng-spa ...).

Texts stand apart by blank lines: Apertium sees a line end as a space, so sentences on neighbouring lines would be
translated as one. It marks words it cannot translate (``*`` not in its dictionary, ``@`` without a translation, ``#`` without
a form); the marks are counted and taken out, so the same marks in a text are hidden from it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xstilts.errors import TranslationError
from xstilts.graph.disk import digest_file
from xstilts.languages import LANGUAGES
from xstilts.translation.engine import BATCH, Translation, exchange

_MARK = re.compile(r"[*@#](?=\w)")
_HIDDEN = str.maketrans("*@#", "\ue02a\ue040\ue023")  # of the private use area
_SHOWN = str.maketrans("\ue02a\ue040\ue023", "*@#")
_FILE = re.compile(r"'?(/[^\s'|]+)'?")


class Apertium:
    """The installed Apertium for one pair of languages.

    Args:
        source, target: XTREME's codes; Apertium's directions have those or three-letter ones.
        batch: texts of one process.

    Raises:
        TranslationError: Apertium or the pair is not installed.
    """

    name = "apertium"

    def __init__(self, source: str, target: str, batch: int = BATCH) -> None:
        program = shutil.which("apertium")
        pair = f"{_iso3(source)}-{_iso3(target)}"
        if program is None:
            raise TranslationError(
                "Apertium is not installed",
                where="--engine apertium",
                hint=f"on Debian: apt install apertium apertium-{pair} (apt search apertium lists the pairs)",
            )
        known = subprocess.run([program, "-l"], capture_output=True, text=True, check=False).stdout.split()
        self.direction = next((d for d in _directions(source, target) if d in known), "")
        if not self.direction:
            raise TranslationError(
                f"Apertium has no direction from {source} to {target} here",
                where="--engine apertium",
                hint=f"it has: {', '.join(sorted(d for d in known if d.count('-') == 1)) or 'none'}",
            )
        self.argv = [program, self.direction]
        self.batch = batch
        data = _digest(Path(program).resolve().parents[1] / "share" / "apertium" / "modes" / f"{self.direction}.mode")
        self.settings: dict[str, Any] = {"direction": self.direction, "data": data, "program": digest_file(program)}
        self.version = f"{self.direction}, data {data[:12]}"

    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """One process for all of ``texts``; the count of marked words is ``unknown``."""
        found = exchange(self.argv, [text.translate(_HIDDEN) for text in texts], "\n\n")
        return [Translation(_MARK.sub("", text).translate(_SHOWN), len(_MARK.findall(text))) for text in found]


def _iso3(code: str) -> str:
    return LANGUAGES[code].iso3 if code in LANGUAGES else code


def _directions(source: str, target: str) -> Iterator[str]:
    for one in (source, _iso3(source)):
        for other in (target, _iso3(target)):
            yield f"{one}-{other}"


def _digest(mode: Path) -> str:
    """Sha-256 over a direction's pipeline and the linguistic data that it names."""
    if not mode.is_file():
        raise TranslationError("Apertium's pipeline is not where it should be", where=str(mode))
    text = mode.read_text(encoding="utf-8")
    named = [Path(name) for name in _FILE.findall(text)]
    data = {path.name: digest_file(path) for path in named if path.is_file()}
    return hashlib.sha256("\n".join([text, *(f"{n} {d}" for n, d in sorted(data.items()))]).encode()).hexdigest()
