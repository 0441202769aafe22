"""Memory runs out within a step: the step is begun anew in smaller micro-batches, and nothing is lost or counted twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import Attempts, toy_start
from toys import SHAPES, toy, xlmr_folder

from xstilts.batching import Batch
from xstilts.errors import DeviceMemoryError
from xstilts.hyperparameters import Training
from xstilts.models.model import Model
from xstilts.training import TaskCourse, TrainingSummary, train
from xstilts.training.memory import is_out_of_memory

SETTINGS = Training(learning_rate=5e-3, batch_size=10, epochs=2, dropout=0.0, attention_dropout=0.0, selection="last")
CPU = "[enforce fail at alloc_cpu.cpp:120] err == 0. DefaultCPUAllocator: can't allocate memory: 9 bytes are too many."
KINDS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), RuntimeError(CPU), MemoryError()]


def short_of_memory(model: Any, fits: Callable[[int], int], error: BaseException = KINDS[0]) -> list[int]:
    """``model`` fails for more sub-words than ``fits(forward passes so far)``; gives the sizes that were tried."""
    whole, tried = model.logits, list[int]()

    def logits(batch: Batch) -> Any:
        tried.append(batch.num_tokens)
        result = whole(batch)
        if batch.num_tokens > fits(len(tried)):
            raise error
        return result

    model.logits = logits
    return tried


def learn(model: Any, shape: str, log: Path, *, tokens: int = 4096, settings: Training = SETTINGS) -> TrainingSummary:
    task = toy(shape, 40)
    features = task.type.encode(task.examples, model.tokenizer, task.encoding)
    course = TaskCourse(task.type, features, settings, 1)
    learn_shown.clear()

    def progress(*_: Any, **notes: Any) -> None:
        learn_shown.append(notes)

    return train(model, course, micro_batch_tokens=tokens, dev=None, progress=progress, log=log)


learn_shown: list[dict[str, Any]] = []


def losses(log: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in log.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("shape", "fits"), [*zip(SHAPES, (60, 100, 150, 150), strict=True)])
def test_losses_are_those_of_a_training_that_had_the_memory(shape: str, fits: int, tmp_path: Path) -> None:
    undisturbed, short = toy(shape, 40).model(), toy(shape, 40).model()
    summary = learn(undisturbed, shape, tmp_path / "calm")
    tried = short_of_memory(short, lambda passes: 10**6 if passes <= 2 else fits)
    halved = learn(short, shape, tmp_path / "short")
    assert (halved.examples, halved.tokens, halved.steps) == (summary.examples, summary.tokens, summary.steps)
    assert losses(tmp_path / "short") == pytest.approx(losses(tmp_path / "calm"), abs=1e-5)
    for name, weight in undisturbed.state_dict().items():
        if name == "output.bias" and shape in ("multiple_choice", "span"):
            continue  # one number for all choices: its gradient is nothing but rounding
        torch.testing.assert_close(short.state_dict()[name], weight, atol=1e-4, rtol=0)
    assert halved.halvings[0].step == 3
    assert halved.halvings[-1].micro_batch_tokens <= fits < max(tried)
    lines = [json.loads(line) for line in (tmp_path / "short").read_text().splitlines()]
    told = {line["step"]: line["halved_to"] for line in lines if "halved_to" in line}
    assert told == {each.step: each.micro_batch_tokens for each in halved.halvings}, (
        "a step's last halving is in its line"
    )
    step, last = halved.halvings[-1].step, halved.halvings[-1].micro_batch_tokens
    assert "out of memory" not in learn_shown[1]
    assert learn_shown[-1]["out of memory"] == f"at step {step}, {last} sub-words a micro-batch since"
    assert halved.as_json()["halvings"][-1] == {"step": step, "micro_batch_tokens": last}


def test_with_dropout_it_is_bit_for_bit_a_training_of_the_smaller_size(tmp_path: Path) -> None:
    """The packed encoder: what was computed before memory ran out leaves no trace, in gradients or random numbers."""
    folder, settings = xlmr_folder(tmp_path), SETTINGS.model_copy(update={"dropout": 0.2, "attention_dropout": 0.1})
    head = toy("classification", 1).type.head
    models = [Model.start(folder, head, 0, dropout=0.2, attention_dropout=0.1) for _ in range(3)]
    # Not at the first micro-batch: gradients of others are there already.
    short_of_memory(models[0], lambda passes: 0 if passes == 2 else 10**6)
    halved = learn(models[0], "classification", tmp_path / "log", tokens=60, settings=settings)
    (halving,) = halved.halvings
    assert halving.step == 1
    learn(models[1], "classification", tmp_path / "log", tokens=halving.micro_batch_tokens, settings=settings)
    learn(models[2], "classification", tmp_path / "log", tokens=60, settings=settings)
    first, smaller, larger = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], smaller[name]) for name in first)
    assert any(not torch.equal(first[name], larger[name]) for name in first), "masks depend on the size"


def test_one_example_that_does_not_fit_is_named(tmp_path: Path) -> None:
    model = toy("multiple_choice", 40).model()
    short_of_memory(model, lambda _: 8, MemoryError())
    with pytest.raises(
        DeviceMemoryError, match=r"(?s)step 1 .*one example.*training row \d+ .*sub-words.*MemoryError.*lora"
    ):
        learn(model, "multiple_choice", tmp_path / "log")


def test_memory_that_the_optimizer_lacks_is_no_matter_of_micro_batches(tmp_path: Path) -> None:
    def step(*_: Any, **__: Any) -> None:
        raise RuntimeError(CPU)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(
            DeviceMemoryError, match=r"(?s)optimizer at step 1.*weights take .* GB.*DefaultCPUAllocator"
        ):
            learn(toy("span", 40).model(), "span", tmp_path / "log")


def test_other_errors_are_not_taken_for_it(tmp_path: Path) -> None:
    assert all(map(is_out_of_memory, KINDS))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    model = toy("span", 40).model()
    tried = short_of_memory(model, lambda _: 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        learn(model, "span", tmp_path / "log")
    assert len(tried) == 1


def test_a_stopped_training_goes_on_with_the_smaller_size(tmp_path: Path) -> None:
    """Memory runs out at step 4 of every attempt that comes by there; what is stopped later does not try again."""

    def short_start() -> Any:
        model = toy_start()
        short_of_memory(model, lambda passes: 10**6 if passes <= 9 or passes > 10 else 0)
        return model

    for name in ("calm", "stopped"):
        (tmp_path / name).mkdir()
    calm, stopped = Attempts(tmp_path / "calm", short_start), Attempts(tmp_path / "stopped", short_start)
    expected = calm.run(every_seconds=1e9, tokens=200)
    assert len(expected.halvings) == 1
    stopped.stopped_at(expected.halvings[0].step + 3, tokens=200)
    stopped.start = toy_start
    summary = stopped.run(tokens=200)
    assert summary.halvings == expected.halvings
    assert summary.resumed[0].same_conditions
    assert stopped.outcome(summary) == calm.outcome(expected)


def test_another_size_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, toy_start)
    model_of = attempts.start

    def short_start() -> Any:
        model = model_of()
        short_of_memory(model, lambda passes: 0 if passes == 2 else 10**6)
        return model

    attempts.start = short_start
    attempts.stopped_at(8, tokens=200)
    tried: list[int] = []

    def free_start() -> Any:
        nonlocal tried
        model = model_of()
        tried = short_of_memory(model, lambda _: 10**6)
        return model

    attempts.start = free_start
    assert attempts.run(tokens=300).resumed[0].differs == ("micro_batch_tokens",)
    assert 200 < max(tried) <= 300
