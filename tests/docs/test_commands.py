"""Every command that the documentation shows is run, as it is written or with the tiny names declared in ``tiny_names``."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guide
import pytest
import tiny_names
import typer.main

from tiny_world import environment
from xstilts import cli
from xstilts.errors import XstiltsError
from xstilts.graph.store import Store

COMMANDS = list(guide.commands())
PAGES = list(dict.fromkeys(line.page for line in COMMANDS))
OURS = typer.main.get_command(cli.app)


class Reader:
    """Somebody who types what stands there, in one folder, and never leaves this process."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self.patch = home, patch

    def call(self, *words: object, stdin: bytes = b"") -> str:
        """``xstilts ...``; what it printed. A status that is not 0 is an error with what was said."""
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", list(map(str, words)))
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert not ended.value.code, (
            f"{shlex.join(map(str, words))}: status {ended.value.code}\n{err.getvalue()[-2000:]}"
        )
        out.flush()
        return out.buffer.getvalue().decode()

    def _other(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment())
        return done.stdout

    def type(self, command: str) -> None:
        """One line of a page, its pipes and settings of the environment included."""
        stdin = ""
        for part in tiny_names.INSTEAD.get(command, command).split(" | "):
            words = shlex.split(part)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words[0] == "export":
                for setting in words[1:]:
                    name, _, value = setting.partition("=")
                    self.patch.setenv(name, value)
            elif words[0] == "xstilts":
                words = tiny_names.typed(words)
                stdin = self.call(*(self.key() if word == "KEY" else word for word in words), stdin=stdin.encode())
            elif words[0] == "cp":
                self._other("bash", "-ec", part.replace("python ", f"{shlex.quote(sys.executable)} "))
            elif asked := re.fullmatch(r'eval "\$\((.*)\)"', part):
                self._other("bash", "-ec", self.call(*shlex.split(asked[1])))
            else:
                assert words[0] in ("cat", "head"), f"what is {words[0]}?"
                stdin = self._other(*words) if words[0] == "cat" else stdin

    def key(self) -> str:
        """A number's key, as a reader takes one from the rows."""
        return str(next(iter(Store(self.home / "store").studies()["STUDY"]["cells"]))["key"][:12])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name in ("XSTILTS_DATA", "XSTILTS_STORE"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "200")
        made = Reader(home, patch)
        tiny_names.make(home, made.call, patch)
        yield made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(guide.ROOT)))
def test_every_command_of_a_page_runs(page: Path, reader: Reader) -> None:
    shown = [line for line in COMMANDS if line.page == page]
    for line in shown:
        if line.text in tiny_names.NOT_RUN or line.text in tiny_names.OTHERS:
            continue
        make_room(reader.home)
        try:
            reader.type(line.text)
        except (AssertionError, XstiltsError, subprocess.CalledProcessError) as error:
            pytest.fail(f"{line.place}: {line.text}\n{error}")


def make_room(home: Path) -> None:
    """What an earlier command exported makes room: ``export`` overwrites nothing."""
    if (home / "left-the-store").exists():
        (home / "left-the-store").rename(home / f"left-{len(list(home.iterdir()))}")


def parsed(words: list[str]) -> Any:
    """The verb's context as the real parser makes it; what it refuses is raised. Nothing is run."""
    command, name = OURS, "xstilts"
    words = words[1:]
    while hasattr(command, "commands") and words and words[0] in command.commands:
        name, command, words = f"{name} {words[0]}", command.commands[words[0]], words[1:]
    return command.make_context(name, list(words))


@pytest.mark.parametrize("command", tiny_names.NOT_RUN)
def test_what_is_not_run_is_parsed(command: str) -> None:
    assert parsed(shlex.split(command)).command.callback is not None


def test_the_lists_of_exceptions_name_what_is_there() -> None:
    shown = {line.text for line in COMMANDS}
    listed = {*tiny_names.NOT_RUN, *tiny_names.OTHERS, *tiny_names.INSTEAD}
    assert listed <= shown, f"in no page: {sorted(listed - shown)}"
    assert not [begin for begin in tiny_names.BEHIND if not any(text.startswith(begin) for text in shown)]


def test_what_others_install_and_make_is_there() -> None:
    makefile = (guide.ROOT / "Makefile").read_text(encoding="utf-8")
    extras = tomllib.loads((guide.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    for command in tiny_names.OTHERS:
        if command.startswith("make "):
            assert re.search(rf"^{command.split()[1]}:.* ## ", makefile, re.MULTILINE), command
        for named in re.findall(r"xstilts\[(\w+)\]", command):
            assert named in extras, command


def test_commands_stand_in_blocks_where_they_are_found() -> None:
    lost = [line.place for line in guide.lines() if line.block != "console" and line.block is not None
            and guide.COMMAND.match(line.text.removeprefix("$ "))]  # fmt: skip
    assert not lost, f"a command outside a block of console is run by nobody: {lost}"
    shown = [line for line in guide.lines() if line.block == "console"]
    goes_on = {(line.page, line.number + 1) for line in shown if line.text.endswith("\\")}
    bare = [x.place for x in shown if not guide.PROMPT.match(x.text) and (x.page, x.number) not in goes_on]
    assert not bare, f"a line of console without $ is run by nobody: {bare}"


@pytest.mark.parametrize("line", list(guide.inline()), ids=lambda line: line.place)
def test_verbs_and_options_in_running_text_exist(line: guide.Line) -> None:
    command, words = OURS, line.text.split()[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands or words[0].isupper(), f"{line.place}: no verb {words[0]!r}"
        if words[0].isupper():
            return
        command, words = command.commands[words[0]], words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    for word in words:
        option = re.match(r"--?[a-z][a-z-]*", word)
        assert option is None or option[0] in known, f"{line.place}: no option {option[0]}"
