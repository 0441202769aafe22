"""One small store for what is asked at the command line, with two models, two arms and measurements; nothing is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

import timed_world
from tiny_world import fake_model, tiny_data


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``store`` (study ``small``), ``DATA`` and ``model``."""
    folder = tmp_path_factory.mktemp("manners")
    made = timed_world.world(folder / "store")
    made.measure("xnli", timed_world.xnli_systems())
    made.save()
    (folder / "DATA").symlink_to(tiny_data())
    fake_model(folder / "model")
    return folder
