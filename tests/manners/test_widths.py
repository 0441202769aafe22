"""Tables at 80 columns and at 200: words and numbers are whole at both, and what can fit does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tiny_world import write_study
from xstilts import cli

STUDY = {"name": "s", "models": {"m": {"path": "model"}}, "arms": {"none": {}}, "targets": ["xnli", "panx"]}
FIT = ["tasks", "models", "results", "status", "recommend xnli", "plan s.yaml --data DATA"]
FIT += ["compare arms small"]
WIDE = [
    "choose --target xnli",
    "data check --data DATA",
    "impact",
    "claims",
    "shapes",
    "compare published",
    "compare stores store store",
]
"""With more columns of numbers than 80 columns hold, or with sentences that are left to the terminal."""


def shown(verb: str, columns: int, home: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    patch.chdir(home)
    write_study(home, STUDY)
    patch.setenv("COLUMNS", str(columns))
    patch.setattr(sys, "argv", ["xstilts", *verb.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    return said.out


def words(text: str) -> set[str]:
    """Without the lines of tables, and without how long it took."""
    return {word for word in re.sub(r"\([\d.]+ s\)", "", text).split() if "━" not in word}


@pytest.mark.parametrize("verb", [*FIT, *WIDE])
def test_no_word_is_broken(
    verb: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = shown(verb, 200, home, monkeypatch, capsys)
    narrow = shown(verb, 80, home, monkeypatch, capsys)
    assert words(narrow) - words(wide) == set()
    assert max(map(len, wide.splitlines())) <= 200
    if verb in FIT:
        assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 80
