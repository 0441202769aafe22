"""TAB in real shells offers what the parser knows and what the store holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import at_a_terminal
import pytest

from tiny_world import CLI, command, environment
from xstilts import cli
from xstilts.cli import completion

OFFERED = [
    ("xstilts pl", {"plan"}),
    ("xstilts plan pocket-f", {"pocket-full"}),
    ("xstilts results --st", {"--store"}),
    ("xstilts recommend x", {"xnli", "xquad"}),
    ("xstilts bench m --target tat", {"tatoeba"}),
    ("xstilts translate mn", {"mnli"}),
    ("xstilts shapes xlm-r-x", {"xlm-r-xl", "xlm-r-xxl"}),
    ("xstilts compare ", {"arms", "stores", "published"}),
    ("xstilts compare arms sm", {"small"}),
    ("xstilts export small --as xt", {"xtreme"}),
    ("xstilts export small --as xtreme --model ", {"big", "half"}),
    ("xstilts export small --as xtreme --arm ", {"none", "nli"}),
    ("xstilts results --store nowhere ", set()),
]
IN_BASH = [OFFERED[0], OFFERED[-2], OFFERED[-1]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path whose ``xstilts`` is this one."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "xstilts").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xstilts "$@"\n')
    (folder / "xstilts").chmod(0o755)
    return f"{folder}:{environment()['PATH']}"


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on the path")
    return found


@pytest.mark.parametrize(("line", "names"), OFFERED)
def test_what_is_offered(
    line: str, names: set[str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked as bash asks, in this process."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("XSTILTS_STORE", raising=False)
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    monkeypatch.setenv(completion.VARIABLE, "complete_bash")
    monkeypatch.setattr(sys, "argv", ["xstilts"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert (ended.value.code or 0, set(said.out.split()), said.err) == (0, names, "")


def test_bash_offers_names(home: Path, path: str) -> None:
    """The function that the script defines, with the words and the cursor as bash hands them over."""
    asked = ""
    for line, _ in IN_BASH:
        words = line.split(" ")
        listed = " ".join(f"'{word}'" for word in words)
        asked += f"COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
        asked += '_xstilts_completion xstilts; echo "= ${COMPREPLY[*]}"\n'
    script = f'eval "$(xstilts completion bash)"\nIFS=" "\n{asked}'
    done = subprocess.run(
        [shell("bash"), "--norc", "-ec", script],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment() | {"PATH": path},
        timeout=100,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    offered = [set(re.split(r"\s+", part.strip())) - {""} for part in done.stdout.split("= ")[1:]]
    assert offered == [names for _, names in IN_BASH]


@pytest.fixture
def bash(home: Path, path: str) -> Iterator[at_a_terminal.Terminal]:
    words = [shell("bash"), "--norc", "--noprofile", "-i"]
    with at_a_terminal.Terminal(words, home=home, more={"PATH": path, "PS1": "> "}) as terminal:
        terminal.press('eval "$(xstilts completion bash)"; echo rea""dy\n')
        terminal.until("ready")
        yield terminal


def test_the_tab_key_completes_in_bash(bash: at_a_terminal.Terminal) -> None:
    bash.press("xstilts sta\t")
    bash.until("xstilts status ")
    bash.press("sm\t")
    bash.until("small ")


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_take_their_script(name: str, home: Path, path: str) -> None:
    program = shell(name)
    script = command("completion", name)
    if name == "zsh":
        text = f"autoload -Uz compinit; compinit -D -u\n{script}\n(( $+_comps[xstilts] )) && echo ${{_comps[xstilts]}}"
        words = [program, "-fc", text]
    else:
        words = [program, "--no-config", "-c", f'{script}\ncomplete --do-complete "xstilts compare arm"']
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=home, env=environment() | {"PATH": path}, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == ("_xstilts_completion" if name == "zsh" else "arms")


def test_what_cannot_be_looked_up_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "store" / "studies").mkdir(parents=True)
    (tmp_path / "store" / "studies" / "torn.json").write_text('{"cut')
    asked = {"COMP_WORDS": "xstilts results ", "COMP_CWORD": "2", completion.VARIABLE: "complete_bash"}
    done = subprocess.run(
        CLI, capture_output=True, text=True, cwd=tmp_path, env=environment() | asked, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
