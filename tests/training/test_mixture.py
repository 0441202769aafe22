"""Tasks that take turns: their shares are those declared, each goes through its own rows, and all of them are learned."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import Toy, toy, xlmr_folder

from xstilts.hyperparameters import Mixture, Training
from xstilts.inference.predict import predict
from xstilts.models.heads import HeadSet
from xstilts.models.model import Model
from xstilts.training import Checkpoints, MixtureCourse, TaskCourse, TrainingSummary, train
from xstilts.training.checkpoint_tensors import tensors_of
from xstilts.training.mixture import steps_of_an_epoch, task_shares

CPU = torch.device("cpu")
ROWS = {"anli_plus": 1_108_000, "squad_v2": 130_319, "commonsense_qa": 9_741}
TASKS = {"pairs": toy("classification", 120), "tags": toy("tagging", 60)}
SETTINGS = Training(learning_rate=5e-3, batch_size=8, selection="last", dropout=0.1, attention_dropout=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return xlmr_folder(tmp_path_factory.mktemp("mixture"))


def started(folder: Path) -> Model:
    heads = {name: task.type.head for name, task in TASKS.items()}
    assert all(heads.values())
    return Model.start(folder, heads, 5, dropout=0.1, attention_dropout=0.1)  # type: ignore[arg-type]


def course(model: Model, *, total: int = 60, mixture: Mixture | None = None, seed: int = 3) -> MixtureCourse:
    rows = {name: len(task.examples) for name, task in TASKS.items()}
    alone = {name: of_task(task, model, seed) for name, task in TASKS.items()}
    assert isinstance(model.head, HeadSet)
    return MixtureCourse(alone, task_shares(rows, mixture or Mixture()), total, total, SETTINGS, seed, model.head)


def of_task(task: Toy, model: Model, seed: int) -> TaskCourse:
    return TaskCourse(task.type, task.type.encode(task.examples, model.tokenizer, task.encoding), SETTINGS, seed)


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        (Mixture(), {"anli_plus": 131_072, "squad_v2": 130_319, "commonsense_qa": 9_741}),
        (Mixture(cap=None), ROWS),
        (Mixture(sampling="uniform"), dict.fromkeys(ROWS, 1)),
        (Mixture(sampling="temperature", temperature=2, cap=None), {n: math.sqrt(r) for n, r in ROWS.items()}),
        (
            Mixture(sampling="fixed", weights={"anli_plus": 5, "squad_v2": 3, "commonsense_qa": 2}),
            {"anli_plus": 5, "squad_v2": 3, "commonsense_qa": 2},
        ),
    ],
)
def test_shares_are_as_declared_and_so_are_ten_thousand_steps(
    folder: Path, mixture: Mixture, expected: dict[str, float]
) -> None:
    shares = task_shares(ROWS, mixture)
    assert shares == pytest.approx({name: of / sum(expected.values()) for name, of in expected.items()})
    drawn = MixtureCourse(dict.fromkeys(ROWS), shares, 10_000, 10_000, SETTINGS, 1, None).drawn  # type: ignore[arg-type]
    for task, share in enumerate(shares.values()):
        assert abs(float(np.mean(drawn == task)) - share) < 0.01


def test_an_epoch_shows_every_capped_task_once() -> None:
    sizes = dict.fromkeys(ROWS, 32)
    assert steps_of_an_epoch(ROWS, sizes, Mixture()) == 4096 + 4073 + 305
    assert steps_of_an_epoch(ROWS, {**sizes, "squad_v2": 1}, Mixture(cap=None)) == 34_625 + 130_319 + 305


@given(st.integers(0, 2**31), st.integers(1, 200))
def test_a_tasks_own_steps_are_counted_without_gaps(seed: int, total: int) -> None:
    mixed = MixtureCourse(dict.fromkeys("ab"), {"a": 0.3, "b": 0.7}, total, total, SETTINGS, seed, None)  # type: ignore[arg-type]
    for task in range(2):
        own = mixed.own_steps[mixed.drawn == task]
        assert own.tolist() == list(range(len(own)))


def test_a_step_is_of_one_task_and_is_the_step_that_the_task_alone_would_take(folder: Path) -> None:
    model = started(folder)
    mixed = course(model)
    seen: Counter[str] = Counter()
    for number in range(40):
        step = mixed.step(number, 30, CPU)
        batches = list(step.micro_batches)
        (name,) = {batch.task for batch in batches}
        assert len(batches) > 1
        alone = mixed.courses[name].step(seen[name], 30, CPU)
        for batch, other in zip(batches, alone.micro_batches, strict=True):
            assert torch.equal(batch.batch.input_ids, other.batch.input_ids)
            assert torch.equal(batch.targets, other.targets)
        assert (step.items, step.tokens, step.examples) == (alone.items, alone.tokens, alone.examples)
        seen[name] += 1
    assert set(seen) == set(TASKS)


def trained(folder: Path, log: Path, *, stop: int | None = None, checkpoints: Checkpoints | None = None) -> Any:
    model = started(folder)

    def progress(done: int, *_: Any, **__: Any) -> None:
        torch.rand(3)
        if done == stop:
            raise InterruptedError

    summary = train(
        model,
        course(model),
        micro_batch_tokens=60,
        dev=None,
        progress=progress,
        log=log,
        checkpoints=checkpoints,
    )
    return model, summary


def test_every_task_is_learned_with_its_own_head(folder: Path, tmp_path: Path) -> None:
    model = started(folder)
    assert isinstance(model.head, HeadSet)
    mixed = course(model, total=200)
    summary: TrainingSummary = train(
        model, mixed, micro_batch_tokens=4096, dev=None, progress=lambda *_, **__: None, log=tmp_path / "log"
    )
    assert summary.steps == 200
    for name, task in TASKS.items():
        model.head.use(name)
        outputs, _ = predict(model, task.type, task.examples, task.encoding, micro_batch_tokens=4096)
        assert task.accuracy(outputs) > 0.9, name
    with pytest.raises(KeyError):
        model.head.use("neither")


@pytest.mark.parametrize("stop", [7, 31])
def test_resumed_in_the_middle_it_ends_in_the_very_same_weights(folder: Path, tmp_path: Path, stop: int) -> None:
    calm, _ = trained(folder, tmp_path / "calm")
    places = Checkpoints(tmp_path / "checkpoints", "a node", 0.0)
    with pytest.raises(InterruptedError):
        trained(folder, tmp_path / "log", stop=stop, checkpoints=places)
    resumed, summary = trained(folder, tmp_path / "log", checkpoints=places)
    assert summary.resumed[-1].step == stop - 1
    for name, weight in tensors_of(calm).items():
        assert torch.equal(tensors_of(resumed)[name], weight), name
    times = ("seconds", "tokens_per_second")
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k not in times}
            for line in (tmp_path / n).read_text().splitlines()
        ]
        for n in ("calm", "log")
    ]
    assert logs[0] == logs[1]
