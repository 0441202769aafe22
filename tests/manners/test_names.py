"""A mistyped name gets the names that are near; what is no name at all gets those there are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from xstilts import cli


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("rnu", "run"),
        ("compare amrs", "arms"),
        ("results --stoer x", "--store"),
        ("plan pokcet", "pocket"),
        ("data fetch pokcet", "pocket"),
        ("recommend xnl", "xnli"),
        ("bench model --target xnl --data DATA", "xnli"),
        ("choose --target xnl", "xnli"),
        ("choose --target xnli --languages ed", "de"),
        ("translate mnl --to es --data DATA", "mnli"),
        ("results smal", "small"),
        ("status smal", "small"),
        ("report smal", "small"),
        ("impact smal", "small"),
        ("compare arms smal", "small"),
        ("compare published smal --store store", "small"),
        ("compare arms small --target xnl", "xnli"),
        ("export smal --as xtreme --to new", "small"),
        ("export small --as xtreme --to new --model bg", "big"),
        ("export small --as xtreme --to new --model big --arm nl", "nli"),
        ("shapes xlmr-xl", "xlm-r-xl"),
        ("embed model x --stream alwais", "always"),
        ("export model --to new --as xtrem", "xtreme"),
        ("completion csh", "fish"),
        ("run pocket --slurm time=9", "slurm"),  # an option without the one it belongs to
        ("run pocket --on slurm --address a:1", "ray"),
    ],
)
def test_a_mistyped_name(
    typed: str, near: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["xstilts", *typed.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and "Traceback" not in said.err
    assert near in re.findall(r"[\w-]+", said.err), said.err
