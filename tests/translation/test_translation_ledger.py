"""What was translated survives a kill; what was half-written is cut away; other work is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.errors import TranslationError
from xstilts.translation.engine import Translation
from xstilts.translation.ledger import Ledger

WHAT = {"task": "mnli", "to": "es"}
FOUND = {0: Translation("uno", 1), 2: Translation("tres\u2028", None), 5: Translation("", fits=False)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "x.translating"
    with Ledger(path, WHAT) as ledger:
        ledger.add(FOUND.items())
    return path


def test_translations_are_there_again(path: Path) -> None:
    with Ledger(path, WHAT) as ledger:
        assert ledger.done == FOUND
        ledger.add([(7, Translation("ocho"))])
    with Ledger(path, WHAT) as ledger:
        assert ledger.done == {**FOUND, 7: Translation("ocho")}


@pytest.mark.parametrize("torn", [1, 5, 20])
def test_a_torn_line_is_cut_away(path: Path, torn: int) -> None:
    path.write_bytes(path.read_bytes()[:-torn])
    with Ledger(path, WHAT) as ledger:
        assert ledger.done == {n: FOUND[n] for n in (0, 2)}
        ledger.add([(5, FOUND[5])])
    with Ledger(path, WHAT) as ledger:
        assert ledger.done == FOUND


def test_a_torn_first_line_begins_anew(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4])
    with Ledger(path, WHAT) as ledger:
        assert ledger.done == {}


def test_other_work_is_refused(path: Path) -> None:
    with pytest.raises(TranslationError, match="with other settings"), Ledger(path, {**WHAT, "to": "de"}):
        pass
    with Ledger(path, WHAT) as ledger:
        assert ledger.done == FOUND


def test_a_damaged_line_is_told(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"text"', b'"txet"', 1))
    with pytest.raises(TranslationError, match="damaged"), Ledger(path, WHAT):
        pass


def test_two_at_once_are_refused(path: Path) -> None:
    with Ledger(path, WHAT), pytest.raises(TranslationError, match="another process"), Ledger(path, WHAT):
        pass
