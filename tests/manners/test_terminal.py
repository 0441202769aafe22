"""Colours on a terminal and nowhere else, NO_COLOR, the width, how a command ends, and which places it uses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from at_a_terminal import at_terminal

from tiny_world import CLI, command, environment

COLOUR = re.compile("\x1b\\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|38|48)[;m]")
VERBS = [["results"], ["plan", "nope"], []]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_pipe_gets_plain_text(verb: list[str], home: Path) -> None:
    done = subprocess.run([*CLI, *verb], capture_output=True, cwd=home, env=environment(), timeout=60, check=False)
    assert done.returncode == (2 if verb == ["plan", "nope"] else 0)
    assert b"\x1b" not in done.stdout + done.stderr and done.stdout + done.stderr


def test_what_is_printed_is_utf_8_whatever_the_locale_says(home: Path) -> None:
    env = environment() | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*CLI, "impact", "--markdown"], capture_output=True, cwd=home, env=env, timeout=60, check=False
    )
    assert done.returncode == 0 and "–".encode() in done.stdout, done.stderr


def test_a_terminal_gets_styles_and_no_color_takes_colours_away(home: Path) -> None:
    shown, status = at_terminal([*CLI, "results"], home=home)
    assert status == 0 and "\x1b[" in shown
    shown, _ = at_terminal([*CLI, "results"], home=home, more={"NO_COLOR": "1"})
    assert not COLOUR.search(shown)
    shown, _ = at_terminal([*CLI, "results"], home=home, more={"TERM": "dumb"})
    assert "\x1b" not in shown


def test_help_ends_with_the_exit_statuses() -> None:
    said = command("--help")
    for status in (0, 1, 2, 130, 143, 141):
        assert re.search(rf"\b{status}\b", said[said.index("Exit status") :]), status


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_has_its_status(sent: signal.Signals, expected: int, home: Path, tmp_path: Path) -> None:
    """While an engine translates that never ends."""
    engine = f'command:{sys.executable} -c "import time; time.sleep(60)"'
    words = ["translate", "qqp", "--to", "xx", "--data", "DATA", "--out", str(tmp_path), "--engine", engine]
    process = subprocess.Popen([*CLI, *words], cwd=home, env=environment(), stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 60
    while not children.read_text().strip() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (expected, 128 - expected), (
        said
    )  # the latter is how Python says what a shell calls 143
    assert "Traceback" not in said


def test_places_come_from_the_environment(home: Path, tmp_path: Path) -> None:
    """The store, and the hub's cache where it is looked for; a home of one's own stays empty."""
    env = environment() | {
        "XSTILTS_STORE": str(home / "store"),
        "HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path),
    }
    (tmp_path / "home").mkdir()
    for verb in (["results"], ["claims"]):
        done = subprocess.run(
            [*CLI, *verb], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").iterdir()) == []
