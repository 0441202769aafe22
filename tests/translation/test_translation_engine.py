"""Engines give one translation for one text, or say what went wrong; Apertium's marks are counted and taken out."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from xstilts.errors import TranslationError
from xstilts.translation.apertium import Apertium
from xstilts.translation.engine import Command, Translation

TOY = Path(__file__).parent / "toy_engine.py"


def toy(*more: str) -> Command:
    return Command(" ".join([sys.executable, str(TOY), "{from}", "{to}", *more]), "en", "es")


def test_a_program_translates_line_by_line() -> None:
    found = toy().translate(["A cat.", "two  dogs", "nix", "été 3"])
    assert found == [Translation("A tac."), Translation("owt sgod"), Translation(""), Translation("été 3")]


def test_what_the_program_is_stands_in_its_settings(tmp_path: Path) -> None:
    copy = tmp_path / "toy_engine.py"
    shutil.copyfile(TOY, copy)
    before = Command(f"{sys.executable} {copy}", "en", "es").settings
    assert before["argv"][1] == str(copy)
    copy.write_text(copy.read_text() + "\n# changed\n")
    assert Command(f"{sys.executable} {copy}", "en", "es").settings["files"] != before["files"]
    assert toy().settings["argv"][-2:] == ["en", "es"]
    assert toy().version.endswith("toy_engine.py en es")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("short", "2 texts went in, 1 came out"),
        ("status", "ended with status 1: the dictionary is gone"),
        ("bytes", "not UTF-8"),
    ],
)
def test_an_engine_that_fails_is_told(fault: str, says: str) -> None:
    with pytest.raises(TranslationError, match=says):
        toy("--fault", fault).translate(["a", "b"])


@pytest.mark.parametrize("command", ["", "no-such-program-here -x", "python 'unclosed"])
def test_a_program_that_is_not_there_is_told(command: str) -> None:
    with pytest.raises(TranslationError, match="--engine"):
        Command(command, "en", "es")


FAKE = """#!{python}
import re, sys
if sys.argv[1:] == ["-l"]:
    print("  eng-spa\\n  spa-eng\\n  eng-spa_ES")
    sys.exit()
assert sys.argv[1:] == ["eng-spa"], sys.argv
paragraphs = sys.stdin.read().removesuffix("\\n").split("\\n\\n")
words = {{"zyx": "*zyx", "qed": "@qed", "run": "#correr"}}
out = ["  ".join(words.get(w, w.upper()) for w in p.split()) for p in paragraphs]
sys.stdout.write("\\n\\n".join(out) + "\\n")
"""


@pytest.fixture
def fake_apertium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called apertium with one direction, its pipeline and its data."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "apertium"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    data = tmp_path / "share" / "apertium" / "eng-spa.bin"
    mode = tmp_path / "share" / "apertium" / "modes" / "eng-spa.mode"
    mode.parent.mkdir(parents=True)
    data.write_bytes(b"dictionary")
    mode.write_text(f"lt-proc '{data}' | cat\n")
    monkeypatch.setenv("PATH", str(program.parent))
    return data


def test_apertiums_marks_are_counted_and_taken_out(fake_apertium: Path) -> None:
    found = Apertium("en", "es").translate(["a zyx", "qed  run", "*b #1 @c"])
    assert found == [Translation("A zyx", 1), Translation("qed correr", 2), Translation("*B #1 @C", 0)]


def test_apertiums_data_are_part_of_what_it_is(fake_apertium: Path) -> None:
    before = Apertium("en", "es")
    assert (before.direction, before.version[:8]) == ("eng-spa", "eng-spa,")
    fake_apertium.write_bytes(b"another dictionary")
    assert Apertium("en", "es").settings["data"] != before.settings["data"]


def test_a_direction_that_is_not_installed_is_told(fake_apertium: Path) -> None:
    with pytest.raises(TranslationError, match="no direction from en to de") as caught:
        Apertium("en", "de")
    assert "eng-spa" in caught.value.hint


def test_an_apertium_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TranslationError, match="not installed") as caught:
        Apertium("en", "es")
    assert "apertium-eng-spa" in caught.value.hint


def real_apertium() -> Apertium:
    try:
        return Apertium("en", "es")
    except TranslationError as error:
        pytest.skip(f"no Apertium from en to es: {error.what}")


def test_real_apertium_keeps_texts_apart_and_their_signs() -> None:
    texts = [
        "The cat sleeps in the house",
        "and the dog drinks water.",
        "Wait... is it 5 * 3 = 15? [yes] {no} ^up$ a/b \\ <tag> @me #1",
        "Mr. Zyxwvut lives here.",
        "It costs $5.99 (50% off)!",
        "Yes",
    ]
    together = real_apertium().translate(texts)
    assert together == [real_apertium().translate([text])[0] for text in texts]
    assert "gato" in together[0].text
    assert "perro" in together[1].text
    assert together[3].unknown == 1
    assert "Zyxwvut" in together[3].text
    for sign in ("5 * 3 = 15", "[", "{", "^", "$", "/", "\\", "<", "@", "#1"):
        assert sign in together[2].text
