"""A hub that serves the small datasets, and machines in reach of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_world import Machine, fill, put_model
from server import Hub

from tiny_world import fake_model


@pytest.fixture(scope="package")
def _served() -> Iterator[Hub]:
    with Hub().serving() as made:
        yield made


@pytest.fixture(scope="package")
def _warm(_served: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("warm"), _served.url, warm=True)
    yield made
    made.close()


@pytest.fixture
def hub(_served: Hub, tmp_path: Path) -> Hub:
    """A hub with the datasets of ``hub_world`` and something that is taken for a model; nothing was asked of it yet."""
    _served.forget()
    fill(_served)
    put_model(_served, "tests/tiny", fake_model(tmp_path / "model on the hub"))
    return _served


@pytest.fixture
def machine(_warm: Machine, hub: Hub) -> Machine:
    """A machine with an empty cache and no data, in reach of the hub."""
    for name in ("hf", "data", "model"):
        shutil.rmtree(_warm.home / name, ignore_errors=True)
    return _warm
