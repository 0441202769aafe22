"""The training loop.

An optimizer step is ``batch_size`` examples, drawn without replacement in the order of ``epoch_order``; the last step of
an epoch may be shorter, so every epoch shows every example once. Micro-batches cut a step to fit memory. All randomness
comes from (seed, epoch) for the order and (seed, step) for dropout, so two runs with equal threads, library versions and
micro-batches give equal weights, and a step needs no random state but its number.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from xstilts.batching import gather, micro_batches
from xstilts.errors import TrainingError
from xstilts.hyperparameters import Training
from xstilts.models.model import Model
from xstilts.task_types import Features, TaskType
from xstilts.task_types.base import IntArray
from xstilts.training.loss import num_items, summed_loss
from xstilts.training.optimizer import adamw, learning_rate
from xstilts.training.steps import Steps

Progress = Callable[..., None]
"""``progress(done, total, unit, **shown)``."""


@dataclass(frozen=True)
class Evaluation:
    """A dev score (0..100) after ``step`` updates."""

    step: int
    score: float


@dataclass(frozen=True)
class TrainingSummary:
    """What a training did. ``tokens_per_second`` leaves dev evaluations out; sub-words count once per forward pass."""

    steps: int
    planned_steps: int
    epochs: float
    examples: int
    tokens: int
    windows: int
    seconds: float
    evaluation_seconds: float
    tokens_per_second: float
    best_step: int
    dev: tuple[Evaluation, ...]
    final_loss: float
    stopped_early: bool

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass
class TrainingState:
    """All that changes while training, besides the weights: what an exact resume has to save."""

    optimizer: torch.optim.Optimizer
    step: int = 0  # updates done: also the cursor into the data and the random streams
    loss: float = math.nan  # of the last update
    examples: int = 0
    tokens: int = 0
    windows: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None  # on the CPU

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation so far; the earliest of equals."""
        return max(self.evaluations, key=lambda e: e.score, default=None)

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether the last ``patience`` evaluations were no better than the best before them."""
        if patience is None or self.best is None:
            return False
        return len(self.evaluations) - 1 - self.evaluations.index(self.best) >= patience


def train(
    model: Model,
    task_type: TaskType,
    features: Features,
    settings: Training,
    *,
    seed: int,
    micro_batch_tokens: int,
    dev: Callable[[], float] | None,
    progress: Progress,
    log: Path,
) -> TrainingSummary:
    """Train ``model`` in place and leave it in evaluation mode with the selected weights.

    Args:
        model: its head fits ``task_type``.
        task_type: decides the loss.
        features: the training set, with targets.
        settings: hyper-parameters; with ``selection="dev"`` the weights of the best dev score are kept (the earliest of
            equals) and ``patience`` may stop early, with ``"last"`` those of the last step and ``dev`` is not called.
        seed: of the order and of dropout.
        micro_batch_tokens: sub-words in one forward pass.
        dev: the source-language dev score, 0..100; called in evaluation mode without gradients.
        progress: called after every step with the loss.
        log: JSON lines, overwritten: one for each step, one for each evaluation.

    Raises:
        TrainingError: no rows, missing gold, dev selection without ``dev``, or a loss, gradient or dev score that is
            not a number. The message names the step, the learning rate and the examples.
    """
    steps = Steps(features, settings, seed)
    _check(steps, dev)
    state = TrainingState(adamw(model, settings))
    start = time.monotonic()
    model.train()
    with log.open("w", encoding="utf-8") as lines:
        while state.step < steps.total and not state.out_of_patience(settings.patience):
            record = _update(model, task_type, steps, state, micro_batch_tokens)
            state.seconds = time.monotonic() - start
            _write(lines, {**record, "seconds": state.seconds})
            progress(state.step, steps.total, "steps", loss=state.loss)
            if dev is not None and settings.selection == "dev" and steps.evaluates_after(state.step):
                record = _evaluate(model, dev, state)
                state.seconds = time.monotonic() - start
                _write(lines, {**record, "seconds": state.seconds})
    _select(model, state)
    return _summary(steps, state)


def _check(steps: Steps, dev: Callable[[], float] | None) -> None:
    """Refuse what cannot be trained before anything is computed."""
    if len(steps.firsts) == 0:
        raise TrainingError("no training rows are left", hint="xstilts data check shows the rows found for every task")
    if steps.features.targets is None:
        raise TrainingError("a training row has no gold: every row of a training set needs it")
    if steps.settings.selection == "dev" and dev is None:
        raise TrainingError(
            "selection is 'dev' but there are no dev rows", hint="set selection: last, or give dev rows"
        )


def _update(
    model: Model, task_type: TaskType, steps: Steps, state: TrainingState, micro_batch_tokens: int
) -> dict[str, Any]:
    """One optimizer step; returns its line of the log."""
    start, features = time.monotonic(), steps.features
    rate = learning_rate(state.step, steps.total, steps.settings)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    torch.manual_seed(_dropout_seed(steps.seed, state.step))
    sequences = steps.sequences(state.step)
    lengths, examples = steps.lengths[sequences], features.example[sequences]
    parts = [sequences[part] for part in micro_batches(lengths, examples, micro_batch_tokens)]
    count = num_items(task_type, features, sequences)
    state.optimizer.zero_grad(set_to_none=True)
    losses = []
    for part in parts:
        batch = gather(features, part, model.device)
        loss = summed_loss(task_type, features, batch, model.logits(batch)) / count
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    norm = clip_grad_norm_(parameters, steps.settings.clip_norm)
    *part_losses, gradient_norm = torch.stack([*losses, norm.to(losses[0])]).tolist()  # the step's only wait
    _check_finite(state.step, rate, part_losses, gradient_norm, [features.example[part] for part in parts])
    state.optimizer.step()
    state.step += 1
    state.loss = math.fsum(part_losses)
    state.examples += len(np.unique(examples))
    state.tokens += int(lengths.sum())
    state.windows += len(sequences)
    return {
        "step": state.step,
        "epoch": round(state.step / steps.per_epoch, 6),
        "loss": state.loss,
        "learning_rate": rate,
        "gradient_norm": gradient_norm,
        "tokens_per_second": round(int(lengths.sum()) / max(time.monotonic() - start, 1e-9), 1),
    }


def _check_finite(step: int, rate: float, losses: list[float], gradient_norm: float, examples: list[IntArray]) -> None:
    """Stop before a loss or gradient that is not a number reaches the weights; name the examples of the guilty parts."""
    if math.isfinite(math.fsum(losses)) and math.isfinite(gradient_norm):
        return
    guilty = [e for loss, e in zip(losses, examples, strict=True) if not math.isfinite(loss)] or examples
    indices = np.unique(np.concatenate(guilty))
    what = f"loss {math.fsum(losses)}" if not math.isfinite(math.fsum(losses)) else f"gradient norm {gradient_norm}"
    shown = ", ".join(map(str, indices[:50])) + (f" and {len(indices) - 50} more" if len(indices) > 50 else "")
    raise TrainingError(
        f"{what} at step {step + 1}, learning rate {rate:.3g}, training rows (from 0) {shown}",
        hint="a lower learning_rate or a longer warmup helps most often; bf16 overflows less than fp16",
    )


def _evaluate(model: Model, dev: Callable[[], float], state: TrainingState) -> dict[str, Any]:
    """Ask for the dev score and keep the weights if it is the best so far; returns the log's line."""
    start = time.monotonic()
    model.eval()
    # no_grad, not inference_mode: what a model caches while evaluating must be usable in the next update.
    with torch.no_grad():
        score = float(dev())
    model.train()
    if not math.isfinite(score):
        raise TrainingError(f"the dev score after step {state.step} is {score}: it cannot select a checkpoint")
    evaluation = Evaluation(state.step, score)
    state.evaluations.append(evaluation)
    if state.best is evaluation:
        state.best_weights = _copy(model.state_dict(), state.best_weights)
    state.evaluation_seconds += time.monotonic() - start
    return {"step": state.step, "dev": score, "best": state.best is evaluation}


def _copy(weights: dict[str, Tensor], into: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Copy ``weights`` to the CPU, into the memory of an earlier copy if there is one."""
    if into is None:
        return {name: w.detach().to("cpu", copy=True) for name, w in weights.items()}
    for name, w in weights.items():
        into[name].copy_(w)
    return into


def _select(model: Model, state: TrainingState) -> None:
    """Put the selected weights into the model."""
    if state.best is not None and state.best_weights is not None and state.best.step != state.step:
        model.load_state_dict(state.best_weights)
    model.eval()


def _summary(steps: Steps, state: TrainingState) -> TrainingSummary:
    best = state.best
    return TrainingSummary(
        steps=state.step,
        planned_steps=steps.total,
        epochs=round(state.step / steps.per_epoch, 6),
        examples=state.examples,
        tokens=state.tokens,
        windows=state.windows,
        seconds=state.seconds,
        evaluation_seconds=state.evaluation_seconds,
        tokens_per_second=round(state.tokens / max(state.seconds - state.evaluation_seconds, 1e-9), 1),
        best_step=state.step if best is None else best.step,
        dev=tuple(state.evaluations),
        final_loss=state.loss,
        stopped_early=state.step < steps.total,
    )


def _dropout_seed(seed: int, step: int) -> int:
    """A seed for torch's generator that differs for every (seed, step) and shares no stream with ``epoch_order``."""
    return int(np.random.SeedSequence((seed, step), spawn_key=(1,)).generate_state(1, np.uint64)[0])


def _write(lines: TextIO, record: dict[str, Any]) -> None:
    lines.write(json.dumps(record, allow_nan=False) + "\n")
    lines.flush()
