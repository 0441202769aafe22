"""Tables at 80 columns and at 200: words and numbers are whole at both, and what can fit does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tiny_world import write_study
from xstilts import cli

STUDY = {"name": "s", "models": {"m": {"path": "model"}}, "arms": {"none": {}}, "targets": ["xnli", "panx"]}
FIT = ["tasks", "models", "shapes", "results", "status", "recommend xnli", "impact", "claims", "choose --target xnli"]
FIT += ["compare arms small", "compare published", "compare stores store store", "plan s.yaml --data DATA"]
FIT += ["plan xxl.yaml --data DATA --memory --room 20"]
COPIED = ["data check --data DATA"]
"""With addresses and commands, which are left to the terminal so that they can be copied."""
XXL = {"shape": "xlm-r-xxl", "random_weights": True, "tokenizer": "model"}


def shown(verb: str, columns: int, home: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    patch.chdir(home)
    write_study(home, STUDY)
    write_study(home, STUDY | {"name": "xxl", "models": {"xxl": XXL}})
    patch.setenv("COLUMNS", str(columns))
    patch.setattr(sys, "argv", ["xstilts", *verb.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    return said.out


def words(text: str) -> set[str]:
    """Without how long it took, the lines of tables, and the numbers of rows and ``continued`` of one that has no room."""
    for of in (r"\([\d.]+ s\)", r", continued$", r"^(#|\d+) +(?=[┃│])"):
        text = re.sub(of, "", text, flags=re.MULTILINE)
    return {word for word in text.split() if "━" not in word}


@pytest.mark.parametrize("verb", [*FIT, *COPIED])
def test_no_word_is_broken(
    verb: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = shown(verb, 200, home, monkeypatch, capsys)
    narrow = shown(verb, 80, home, monkeypatch, capsys)
    assert words(narrow) - words(wide) == set()
    assert max(map(len, wide.splitlines())) <= 200
    if verb in FIT:
        assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 80
