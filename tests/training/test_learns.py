"""Every shape learns what is easy: encode, loss, update, logits and decode fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toys import SHAPES, Toy, toy, xlmr_folder

from xstilts.hyperparameters import Training
from xstilts.inference.predict import predict
from xstilts.models.model import Model
from xstilts.training import TaskCourse, TrainingSummary, train

SETTINGS = Training(learning_rate=1e-2, batch_size=16, epochs=4, weight_decay=0.0)


def accuracy(model: Any, of: Toy) -> float:
    """Per cent of rows answered as the gold says."""
    outputs, _ = predict(model, of.type, of.examples, of.encoding, micro_batch_tokens=256)
    return 100 * of.accuracy(outputs)


def learn(model: Any, task: Toy, settings: Training, log: Path, dev: Toy, tokens: int = 256) -> TrainingSummary:
    return train(
        model,
        TaskCourse(task.type, task.type.encode(task.examples, model.tokenizer, task.encoding), settings, 1),
        micro_batch_tokens=tokens,
        dev=lambda: accuracy(model, dev),
        progress=lambda *_, **__: None,
        log=log,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_learns_an_easy_task(shape: str, tmp_path: Path) -> None:
    train_set, dev_set, test_set = (toy(shape, n, seed=s) for s, n in enumerate((200, 50, 100)))
    model = train_set.model()
    before = accuracy(model, test_set)
    learn(model, train_set, SETTINGS, tmp_path / "log", dev_set)
    assert before < 75
    assert accuracy(model, test_set) > 95


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_learned_by_an_xlmr(shape: str, tmp_path: Path) -> None:
    """The same with the real encoder and heads, small and random."""
    rows = {"classification": 300, "multiple_choice": 300, "tagging": 100, "span": 250}[shape]
    train_set, dev_set, test_set = (toy(shape, n, seed=s) for s, n in enumerate((rows, 50, 100)))
    model = Model.start(xlmr_folder(tmp_path), train_set.type.head, 0, dropout=0.0, attention_dropout=0.0)
    before = accuracy(model, test_set)
    settings = SETTINGS.model_copy(update={"learning_rate": 3e-3, "epochs": 3})
    learn(model, train_set, settings, tmp_path / "log", dev_set)
    assert before < 75
    assert accuracy(model, test_set) > 95


def test_two_trainings_of_an_xlmr_with_dropout_give_equal_weights(tmp_path: Path) -> None:
    task, folder = toy("tagging", 40), xlmr_folder(tmp_path)
    models = [Model.start(folder, task.type.head, 0, dropout=0.1, attention_dropout=0.1) for _ in range(2)]
    for model in models:
        learn(model, task, SETTINGS.model_copy(update={"epochs": 2}), tmp_path / "log", task)
    other = models[1].state_dict()
    assert all(bool((weight == other[name]).all()) for name, weight in models[0].state_dict().items())
