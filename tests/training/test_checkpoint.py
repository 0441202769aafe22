"""Stopped at any step and taken up again, a training ends with the very weights of one that was never stopped."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import SETTINGS, STEPS, STOPS, TASK, Attempts, toy_start, undisturbed
from toys import xlmr_folder

from xstilts.errors import TrainingError
from xstilts.models.model import Model
from xstilts.training import Checkpoints, TrainingState, adamw
from xstilts.training.checkpoint_tensors import tensors_of


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return undisturbed(tmp_path_factory.mktemp("calm"), toy_start)


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path, toy_start)


def test_a_stopped_xlmr_ends_bit_for_bit_equal(tmp_path: Path) -> None:
    """The real encoder and head, packed, with dropout in both and in attention."""
    base = xlmr_folder(tmp_path)

    def start() -> Model:
        return Model.start(base, TASK.type.head, 0, dropout=0.2, attention_dropout=0.1)

    (tmp_path / "calm").mkdir()
    expected, stopped = undisturbed(tmp_path / "calm", start), Attempts(tmp_path, start)
    for stop in sorted(STOPS):
        stopped.stopped_at(stop)
    assert stopped.outcome(stopped.run()) == expected


@pytest.mark.parametrize("stop", STOPS)
def test_a_stopped_training_ends_bit_for_bit_equal(attempts: Attempts, expected: Any, stop: int) -> None:
    attempts.stopped_at(stop)
    assert attempts.kept == [step for step in (stop - 2, stop - 1) if step]
    summary = attempts.run()
    assert [r.step for r in summary.resumed] == [stop - 1]
    assert summary.resumed[0].same_conditions
    assert summary.resumed[0].damaged == ()
    assert attempts.shown[-1]["resumed at"] == f"step {stop - 1}"
    assert attempts.outcome(summary) == expected


def test_stopped_at_every_chance_it_still_ends_equal(attempts: Attempts, expected: Any) -> None:
    for stop in sorted(STOPS):
        attempts.stopped_at(stop)
    summary = attempts.run()
    assert [r.step for r in summary.resumed] == [stop - 1 for stop in sorted(STOPS)]
    assert attempts.outcome(summary) == expected


def test_saving_changes_nothing_and_the_last_step_is_not_saved(attempts: Attempts, expected: Any) -> None:
    summary = attempts.run()
    assert attempts.outcome(summary) == expected
    assert attempts.kept == [STEPS - 2, STEPS - 1], "training ended by patience: nothing is left to go on with"
    assert summary.checkpoint_seconds > 0


def test_other_conditions_go_on_and_are_named(attempts: Attempts, expected: Any) -> None:
    attempts.stopped_at(8)
    summary = attempts.run(tokens=90)
    (resumption,) = summary.resumed
    assert not resumption.same_conditions
    assert resumption.differs == ("micro_batch_tokens",)
    assert attempts.shown[-1]["not as before"] == "micro_batch_tokens"
    assert attempts.outcome(summary)[0] != expected[0], (
        "masks of dropout depend on the cut: the name is no idle warning"
    )


def test_a_loss_that_is_not_a_number_comes_again_at_the_same_step(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the store drops the checkpoints of a TrainingError: nothing is won by going on from them."""
    monkeypatch.setattr("attempts.SETTINGS", SETTINGS.model_copy(update={"learning_rate": 1e38, "warmup": 0.3}))
    told = []
    for _ in range(2):
        with pytest.raises(TrainingError) as error:
            attempts.run()
        told.append(str(error.value))
    assert attempts.shown[-1]["resumed at"] == f"step {attempts.kept[-1]}"
    assert told[0] == told[1]


def test_a_checkpoint_of_another_node_is_passed_over(attempts: Attempts, expected: Any) -> None:
    attempts.stopped_at(2)
    record = attempts.folder / "step-00000001" / "checkpoint.json"
    assert json.loads(record.read_text(encoding="utf-8"))["of"] == "a node"
    other = Checkpoints(attempts.folder, "another node")
    model = toy_start()
    before = {name: tensor.clone() for name, tensor in tensors_of(model).items()}
    state = TrainingState(adamw(model, SETTINGS))
    resumption = other.resume(model, state, attempts.home / "log", {})
    assert resumption is not None
    assert resumption.step == 0
    assert "another training" in resumption.damaged[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(model).items())


def test_checkpoints_are_written_as_often_as_asked_and_their_time_is_counted_apart(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saved = 0.0, []

    def save(places: Checkpoints, model: Any, state: Any, *_: Any) -> None:
        nonlocal now
        saved.append(state.step)
        now += 1000

    def tick() -> float:
        nonlocal now
        now += 0.25  # a step asks five times: at its start and end, twice for its log lines
        return now

    monkeypatch.setattr("xstilts.training.loop.time.monotonic", tick)
    monkeypatch.setattr(Checkpoints, "save", save)
    summary = attempts.run(every_seconds=4.0)
    assert 2 <= len(saved) <= 6
    assert STEPS not in saved
    assert min(np.diff(saved)) >= 3
    assert summary.seconds < 100
    assert summary.checkpoint_seconds > 1000 * len(saved)


def test_training_draws_from_no_global_generator_but_torchs(attempts: Attempts) -> None:
    """And from torch's only after seeding it: ``progress`` and dev draw from it between all steps of these tests."""
    random.seed(5)
    np.random.seed(5)
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    attempts.run()
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy  # type: ignore[index]


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path: Path) -> None:
    def tied(seed: int) -> tuple[torch.nn.Module, torch.optim.AdamW]:
        torch.manual_seed(seed)
        model = torch.nn.ModuleDict({"words": torch.nn.Embedding(7, 4), "out": torch.nn.Linear(4, 7)})
        model["out"].weight = model["words"].weight
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        model["out"](model["words"](torch.arange(7))).square().sum().backward()
        optimizer.step()
        return model, optimizer

    (first, moments), (second, others) = tied(1), tied(2)
    assert set(tensors_of(first)) == {"words.weight", "out.bias"}
    places, log = Checkpoints(tmp_path / "c", "x"), tmp_path / "log"
    log.write_text("{}\n")
    places.save(first, TrainingState(moments, step=1, loss=0.5), log, {})
    state = TrainingState(others)
    assert places.resume(second, state, log, {}) is not None
    assert state.step == 1
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert second["out"].weight is second["words"].weight  # type: ignore[index]
    for one, two in zip(moments.state.values(), others.state.values(), strict=True):
        assert all(torch.equal(one[kind], two[kind]) for kind in ("step", "exp_avg", "exp_avg_sq"))
