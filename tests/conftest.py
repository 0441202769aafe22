"""Fixtures: the real data folder and the real encoder, where they are there; hand-made rows; a small tokenizer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

from handmade_rows import FILES, character_tokenizer
from xstilts import tasks
from xstilts.graph.store import Store
from xstilts.task_types import Tokenizer

settings.register_profile("untimed", deadline=None)  # how fast an example is depends on what else runs on the machine
settings.load_profile("untimed")

_SHARED_TOOLS = Path(__file__).resolve().parents[2] / "shared" / "tools"


@pytest.fixture(autouse=True)
def no_task_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task file makes its task known to the whole process: here, until the test is over."""
    monkeypatch.setattr(tasks, "_outside", dict(tasks._outside))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real published files; a test that needs it is skipped, with the reason, where it is not."""
    named = os.environ.get("XSTILTS_REAL_DATA")
    if named:
        if not Path(named).is_dir():
            pytest.fail(f"XSTILTS_REAL_DATA names {named}, which is no folder")
        return Path(named)
    tool = _SHARED_TOOLS / "unpack-data"
    if not tool.is_file():
        pytest.skip("no real data: set XSTILTS_REAL_DATA to a folder of published files")
    done = subprocess.run(["bash", str(tool)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no real data: {tool.name} failed: {done.stderr.strip()[-200:]}")
    return Path(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def e5_small() -> Path:
    """The folder of multilingual-e5-small; a test that needs it is skipped, with the reason, where it is not."""
    named = os.environ.get("XSTILTS_E5_SMALL")
    if not named:
        pytest.skip("no real encoder: set XSTILTS_E5_SMALL to the folder of multilingual-e5-small")
    if not Path(named, "config.json").is_file():
        pytest.fail(f"XSTILTS_E5_SMALL names {named}, which holds no config.json")
    return Path(named)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A data folder with a few hand-made rows for each task."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def characters() -> Tokenizer:
    """A tokenizer whose sub-words are single characters."""
    return character_tokenizer()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which toy nodes note their start and end."""
    place = tmp_path / "log.txt"
    place.touch()
    monkeypatch.setenv("TOY_LOG", str(place))
    return place
