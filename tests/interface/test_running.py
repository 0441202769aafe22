"""A study of Python on Ray and in jobs of Slurm: what is handed on, with no cluster here; and the plan of its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import typer

import xstilts
from tiny_world import fake_model, tiny_data, tiny_study
from xstilts import cli, journey, tracking
from xstilts.errors import MissingNameError, StudyError
from xstilts.graph.run import Summary
from xstilts.graph.store import Store
from xstilts.interface import running
from xstilts.interface.opened import OpenStudy
from xstilts.plan import Plan
from xstilts.study_source import chosen_study


@pytest.fixture
def study(tmp_path: Path) -> OpenStudy:
    """Of a model folder that is named in the call, with threads and two workers."""
    fake_model(tmp_path / "model")
    raw = tiny_study(name="away", models={"m": {"path": "not/here"}}, targets=["pawsx"], languages=["en", "de"])
    return xstilts.open_study(
        raw,
        data=tiny_data(),
        store=tmp_path / "a store",
        model={"m": tmp_path / "model"},
        device=["cpu", "cpu"],
        threads=1,
        seeds=[3, 4],
    )


def test_jobs_of_slurm_get_a_command_line_that_says_the_same(
    study: OpenStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def jobs(planned: Plan, store: Store, arguments: list[str], count: int, options: Any, listen: Any) -> Any:
        told.append((planned, arguments, count, options))
        return planned, Summary(0, left=(next(iter(planned.graph)).key,))

    monkeypatch.setattr(running, "run_jobs", jobs)
    monkeypatch.setitem(tracking.TRACKERS, "trackio", lambda project: print)
    ended = study.run(
        on="slurm",
        jobs=3,
        slurm={"partition": "gpu", "time": 240},
        micro_batch_tokens=99,
        gradient_checkpointing=True,
        memory_check=False,
        stream="never",
        track="trackio",
        progress=False,
    )
    assert not ended.complete
    ((planned, arguments, count, options),) = told
    assert (count, options) == (3, {"partition": "gpu", "time": "240", "cpus_per_task": "2"})
    run = cast(Any, typer.main.get_command(cli.app)).commands[arguments[0]]
    said = run.make_context("run", arguments[1:]).params
    assert chosen_study(said["study"]) == study.study
    assert {name: said[name] for name in ("data", "store", "device", "threads", "seeds", "model", "on")} == {
        "data": study.data,
        "store": study.store,
        "device": ["cpu", "cpu"],
        "threads": 1,
        "seeds": None,  # the file has them
        "model": (),
        "on": "here",
    }
    assert (said["micro_batch_tokens"], said["gradient_checkpointing"], said["memory_check"]) == (99, True, False)
    assert (said["stream"], said["track"]) == ("never", "trackio")
    again = journey.plan_study(said["study"], said["data"], Store(said["store"]), devices=said["device"], threads=1)
    assert {node.key for node in again.graph} == {node.key for node in planned.graph}


def test_a_ray_cluster_is_joined_with_what_the_study_says(study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[Any] = []

    @contextmanager
    def ray_engine(planned: Plan, store: Store, common: Any, *how: Any) -> Iterator[str]:
        joined.append((common.micro_batch_tokens, *how))
        yield "an engine"
        joined.append("left")

    def run_study(planned: Plan, store: Store, engine: Any, listen: Any, trackers: Any) -> Any:
        joined.append(engine)
        return planned, Summary(1)

    monkeypatch.setattr(running, "ray_engine", ray_engine)
    monkeypatch.setattr(journey, "run_study", run_study)
    assert study.run(on="ray", address="head:6379", micro_batch_tokens=99, progress=False).complete
    assert joined == [(99, ("cpu", "cpu"), 1, "head:6379"), "an engine", "left"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"on": "ray", "slurm": {}}, "slurm says nothing of on='ray'"),
        ({"address": "head:6379"}, "address says nothing of on='here'"),
        ({"jobs": 2}, "jobs says nothing of on='here'"),
        ({"on": "slurm", "jobs": -1}, "-1 is no whole number from 0"),
        ({"on": "slurm", "track": print}, "a function cannot be told"),
    ],
)
def test_arguments_that_would_say_nothing_are_refused(study: OpenStudy, given: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        study.run(**given)
    assert not study.store.exists()


def test_an_unknown_place_names_those_there_are(study: OpenStudy) -> None:
    with pytest.raises(MissingNameError, match="unknown place to run 'rey'"):
        study.run(on=cast(Any, "rey"))


def test_the_memory_of_a_plan_is_that_of_the_command_line(tmp_path: Path) -> None:
    fake_model(tmp_path / "words")
    models = {"xxl": {"shape": "xlm-r-xxl", "random_weights": True, "tokenizer": str(tmp_path / "words")}}
    study = xstilts.open_study(tiny_study(models=models, targets=["pawsx"]), data=tiny_data(), store=tmp_path / "s")
    planned = study.plan(memory=True, room=20, micro_batch_tokens=512)
    memory = planned.summary["memory"]
    assert (memory["micro_batch_tokens"], memory["free_gib"]) == (512, {"cpu": 20})
    assert {of["node"]: of["fits"] for of in memory["nodes"]}["train xxl/pawsx"] is False
    assert "What does not fit" in repr(planned)
    assert "memory" not in study.plan().summary
