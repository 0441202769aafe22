from pathlib import Path

import pytest

from xstilts.graph.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which toy nodes note their start and end."""
    place = tmp_path / "log.txt"
    place.touch()
    monkeypatch.setenv("TOY_LOG", str(place))
    return place
