"""Where things lie: folders named from anywhere, files that cannot be read, systems that do not say their cores."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tiny_world import fake_model, tiny_data, write_study
from xstilts import journey
from xstilts.errors import DataError
from xstilts.plan import Plan


def study(folder: Path, **changes: Any) -> Path:
    """A study file beside a model folder."""
    fake_model(folder / "model")
    arms = {"none": {}, "mnli": {"intermediate": "mnli"}}
    models = {"m": {"path": "model"}}
    few = {"name": "s", "models": models, "arms": arms, "targets": ["pawsx"], "seeds": [1], "precision": "fp32"}
    return write_study(folder, {**few, **changes})


def planned(file: Path, data: Path, store: Path) -> Plan:
    with journey.open_store(store) as opened:
        return journey.plan_study(file, data, opened)


def test_relative_folders_hold_the_files_a_study_points_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_data(), tmp_path / "data")
    (tmp_path / "data" / "mine.tsv").write_text("one\ttwo\t1\nthree\tfour\t0\n")
    mine = study(tmp_path / "studies", data={"files": {"pawsx.train": "mine.tsv"}})
    monkeypatch.chdir(tmp_path)
    near = planned(Path("studies/s.yaml"), Path("data"), Path("store"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    far = planned(mine, Path("../data"), Path("../store"))
    whole = planned(mine, tmp_path / "data", tmp_path / "store")
    assert [n.key for n in near.graph.nodes] == [n.key for n in far.graph.nodes] == [n.key for n in whole.graph.nodes]
    monkeypatch.chdir("/")
    for plan in (near, far):
        assert "mine.tsv" in {Path(path).name for path in plan.files.values()}
        assert all(Path(path).is_file() for path in plan.files.values()), "workers find them from anywhere"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    mine = study(tmp_path)
    monkeypatch.setattr("xstilts.graph.digests.digest_file", locked)
    with pytest.raises(DataError, match="cannot read the file: Permission denied") as caught:
        planned(mine, tiny_data(), tmp_path / "store")
    assert Path(caught.value.where).is_file()


def test_cores_are_counted_where_the_system_does_not_say_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(study(tmp_path), tiny_data(), tmp_path / "store")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert [slot.threads for slot in journey.resources(plan, ["cpu", "cpu"])] == [3, 3]
