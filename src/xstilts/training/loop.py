"""The training loop.

What is learned is a ``Course``'s matter. Micro-batches cut a step to fit memory. All randomness comes from the course,
which gives the same for the same step, and from (seed, step) for dropout, so two runs with equal threads, library
versions and micro-batches give equal weights, and a step needs no random state but its number.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from xstilts.errors import NotFiniteError, TrainingError
from xstilts.graph.stopping import deferred, leave_if
from xstilts.models.sharding import whole
from xstilts.task_types.base import IntArray
from xstilts.training.checkpoint import Checkpoints, conditions
from xstilts.training.checkpoint_tensors import tensors_of
from xstilts.training.course import Course, Trainable
from xstilts.training.kept import Kept
from xstilts.training.memory import gradients, update
from xstilts.training.optimizer import learning_rate, optimizer_of
from xstilts.training.ranks import Ranks
from xstilts.training.state import Evaluation, Halving, Resumption, TrainingState

Progress = Callable[..., None]
"""``progress(done, total, unit, **shown)``."""
STOP = 2
"""Decided of a checkpoint after which this process leaves, because it was asked to."""


@dataclass(frozen=True)
class TrainingSummary:
    """What a training did. ``tokens_per_second`` leaves dev evaluations out; sub-words count once per forward pass.

    ``seconds`` leaves the writing of checkpoints out, and what an attempt did after its last checkpoint.
    """

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
    checkpoint_seconds: float = 0.0
    resumed: tuple[Resumption, ...] = ()
    halvings: tuple[Halving, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def train(
    model: Trainable,
    course: Course,
    *,
    micro_batch_tokens: int,
    dev: Callable[[], float] | None,
    progress: Progress,
    log: Path,
    checkpoints: Checkpoints | None = None,
    kept: Kept | None = None,
    halvings: Sequence[tuple[int, int]] = (),
) -> TrainingSummary:
    """Train ``model`` in place and leave it in evaluation mode with the selected weights.

    Args:
        model: ``course.loss`` asks its head.
        course: what to learn, and with which hyper-parameters: with ``selection="dev"`` the weights of the best dev score
            are kept (the earliest of equals) and ``patience`` may stop early, with ``"last"`` those of the last step and
            ``dev`` is not called.
        micro_batch_tokens: sub-words in one forward pass; fewer from a step on at which memory runs out.
        dev: the source-language dev score, 0..100; called in evaluation mode without gradients.
        progress: called after every step with the loss and, once resumed, from where and what was damaged.
        log: JSON lines, overwritten: one a step, one an evaluation; a resumed training's as if it was never stopped.
        checkpoints: where to go on from and to save, at SIGTERM too; ``None`` for a training that starts and ends here.
        kept: the encoders to keep on the way, if any; ``model`` is a ``Model`` then.
        halvings: (step from 1, sub-words): where memory ran out in an attempt before, and how small micro-batches became.

    Raises:
        TrainingError: dev selection without ``dev``.
        NotFiniteError: a loss, gradient or dev score; the message names the step, the learning rate and the examples.
        DeviceMemoryError: memory does not suffice for one example, or for the optimizer.
        BeginAgainError: memory does not suffice in one of several processes.
        StoreError: a checkpoint cannot be written.
    """
    settings = course.settings
    if settings.selection == "dev" and dev is None:
        raise TrainingError("selection is 'dev' but there are no dev rows", hint="selection: last needs none")
    state = TrainingState(optimizer_of(model, settings), micro_batch_tokens=micro_batch_tokens, known_halvings=halvings)
    circumstances = conditions(model.device, micro_batch_tokens, Ranks.here().count)
    log.write_bytes(b"")
    resumption = None if checkpoints is None else checkpoints.resume(model, state, log, circumstances)
    noted = {} if resumption is None else _take_up(state, resumption, micro_batch_tokens)
    if noted:
        progress(state.step, course.total, "steps", **noted)
    clock = _Clock(state)
    model.train()
    with log.open("a", encoding="utf-8") as lines, deferred(checkpoints is not None) as stop_asked:
        while not _is_over(state, course):
            record = _update(model, course, state)
            _write(lines, {**record, "seconds": clock.read()})
            progress(state.step, course.total, "steps", loss=state.loss, **noted, **_short_of_memory(state))
            if dev is not None and settings.selection == "dev" and course.evaluates_after(state.step):
                _write(lines, {**_evaluate(model, dev, state), "seconds": clock.read()})
            if kept is not None and state.step in kept.steps:
                with clock.stopped():
                    kept.write(model, state.step)
            if checkpoints is not None and not _is_over(state, course):
                _save_when_due(checkpoints, clock, model, state, log, circumstances, stop_asked())
    _select(model, state)
    return _summary(course, state)


class _Clock:
    """Time of training, over all attempts; it stands still while a checkpoint is written."""

    def __init__(self, state: TrainingState) -> None:
        self._state = state
        self._start, self._stopped_at = time.monotonic() - state.seconds, state.seconds

    def read(self) -> float:
        """Seconds so far; noted in the state."""
        self._state.seconds = time.monotonic() - self._start
        return self._state.seconds

    @property
    def running(self) -> float:
        """Seconds since it last stood still."""
        return self._state.seconds - self._stopped_at

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What passes within is counted as the time of checkpoints."""
        self._stopped_at, start = self.read(), time.monotonic()
        yield
        passed = time.monotonic() - start
        self._state.checkpoint_seconds += passed
        self._start += passed


def _is_over(state: TrainingState, course: Course) -> bool:
    return state.step >= course.total or state.out_of_patience(course.settings.patience)


def _save_when_due(
    checkpoints: Checkpoints,
    clock: _Clock,
    model: Trainable,
    state: TrainingState,
    log: Path,
    circumstances: Mapping[str, Any],
    stop_asked: bool,
) -> None:
    """Write a checkpoint if it is time, by the clock of the first process, or at SIGTERM: then leave."""
    due = STOP if stop_asked else int(clock.running >= checkpoints.every_seconds)
    due = Ranks.here().decided(due, model.device)
    if due:
        with clock.stopped():
            checkpoints.save(model, state, log, circumstances)
        leave_if(due == STOP)


def _take_up(state: TrainingState, resumption: Resumption, micro_batch_tokens: int) -> dict[str, Any]:
    """What people see beside every step from then on."""
    if "micro_batch_tokens" in resumption.differs:  # another size is asked for than the one that may have been halved
        state.micro_batch_tokens = micro_batch_tokens
    noted: dict[str, Any] = {"resumed at": f"step {resumption.step}"}
    if resumption.damaged:
        noted["damaged"] = " ".join(resumption.damaged)
    if resumption.differs:
        noted["not as before"] = " ".join(resumption.differs)
    return noted


def _short_of_memory(state: TrainingState) -> dict[str, Any]:
    """What people see once memory ran out."""
    if not state.halvings:
        return {}
    last = state.halvings[-1]
    return {"out of memory": f"at step {last.step}, {last.micro_batch_tokens} sub-words a micro-batch since"}


def _update(model: Trainable, course: Course, state: TrainingState) -> dict[str, Any]:
    """One optimizer step; returns its line of the log."""
    start, settings = time.monotonic(), course.settings
    rate = learning_rate(state.step, course.total, settings)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    halvings = len(state.halvings)
    ranks = Ranks.here()
    found = gradients(model, course, state, _dropout_seed(course.seed, state.step, ranks.rank), ranks)
    step, losses = found.step, found.losses
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    norm = whole(get_total_norm([p.grad for p in parameters if p.grad is not None]))
    *part_losses, gradient_norm = torch.stack([*losses, norm.to(losses[0])]).tolist()  # the step's only wait
    _check_finite(state.step, rate, part_losses, gradient_norm, found.rows)
    if gradient_norm > settings.clip_norm:
        clip_grads_with_norm_(parameters, settings.clip_norm, norm)
    update(state)
    state.step += 1
    state.loss = math.fsum(part_losses)
    state.examples += step.examples
    state.tokens += step.tokens
    state.windows += step.windows
    return {
        "step": state.step,
        **({"task": found.task} if found.task else {}),
        "epoch": round(state.step / course.per_epoch, 6),
        "loss": state.loss,
        "learning_rate": rate,
        "gradient_norm": gradient_norm,
        **({"halved_to": state.micro_batch_tokens} if len(state.halvings) > halvings else {}),
        "tokens_per_second": round(step.tokens / max(time.monotonic() - start, 1e-9), 1),
    }


def _check_finite(step: int, rate: float, losses: list[float], gradient_norm: float, examples: list[IntArray]) -> None:
    """Stop before a loss or gradient that is not a number reaches the weights; name the examples of the guilty parts."""
    if math.isfinite(math.fsum(losses)) and math.isfinite(gradient_norm):
        return
    guilty = [e for loss, e in zip(losses, examples, strict=True) if not math.isfinite(loss)] or examples
    indices = np.unique(np.concatenate(guilty))
    what = f"loss {math.fsum(losses)}" if not math.isfinite(math.fsum(losses)) else f"gradient norm {gradient_norm}"
    shown = ", ".join(map(str, indices[:50])) + (f" and {len(indices) - 50} more" if len(indices) > 50 else "")
    raise NotFiniteError(
        f"{what} at step {step + 1}, learning rate {rate:.3g}, training rows (from 0) {shown}",
        hint="a lower learning_rate or a longer warmup helps most often; bf16 overflows less than fp16; a study's "
        "`retries: {float32: true}` trains it again in float32",
    )


def _evaluate(model: Trainable, dev: Callable[[], float], state: TrainingState) -> dict[str, Any]:
    """Ask for the dev score and keep the weights if it is the best so far; returns the log's line."""
    start = time.monotonic()
    model.eval()
    # no_grad, not inference_mode: what a model caches while evaluating must be usable in the next update.
    with torch.no_grad():
        score = float(dev())
    model.train()
    if not math.isfinite(score):
        raise NotFiniteError(f"the dev score after step {state.step} is {score}: it cannot select a checkpoint")
    evaluation = Evaluation(state.step, score)
    state.evaluations.append(evaluation)
    if state.best is evaluation:
        state.best_weights = _copy(tensors_of(model), state.best_weights)
    state.evaluation_seconds += time.monotonic() - start
    return {"step": state.step, "dev": score, "best": state.best is evaluation}


def _copy(weights: dict[str, Tensor], into: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Copy ``weights``, to the CPU, into the memory of an earlier copy if there is one."""
    if into is None:
        # A part of a sharded weight stays with its process; torch has no copy of it on another kind of device.
        return {n: w.clone() if hasattr(w, "device_mesh") else w.to("cpu", copy=True) for n, w in weights.items()}
    for name, w in weights.items():
        into[name].copy_(w)
    return into


def _select(model: Trainable, state: TrainingState) -> None:
    """Put the selected weights into the model."""
    if state.best is not None and state.best_weights is not None and state.best.step != state.step:
        with torch.no_grad():
            for name, tensor in tensors_of(model).items():
                tensor.copy_(state.best_weights[name])
    model.eval()


def _summary(course: Course, state: TrainingState) -> TrainingSummary:
    best = state.best
    return TrainingSummary(
        steps=state.step,
        planned_steps=course.total,
        epochs=round(state.step / course.per_epoch, 6),
        examples=state.examples,
        tokens=state.tokens,
        windows=state.windows,
        seconds=state.seconds,
        evaluation_seconds=state.evaluation_seconds,
        tokens_per_second=round(state.tokens / max(state.seconds - state.evaluation_seconds, 1e-9), 1),
        best_step=state.step if best is None else best.step,
        dev=tuple(state.evaluations),
        final_loss=state.loss,
        stopped_early=state.step < course.total,
        checkpoint_seconds=state.checkpoint_seconds,
        resumed=tuple(state.resumed),
        halvings=tuple(state.halvings),
    )


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """A seed for torch's generator that differs for every (seed, step, rank) and shares no stream with ``epoch_order``."""
    place = (1, rank) if rank else (1,)
    return int(np.random.SeedSequence((seed, step), spawn_key=place).generate_state(1, np.uint64)[0])


def _write(lines: TextIO, record: dict[str, Any]) -> None:
    lines.write(json.dumps(record, allow_nan=False) + "\n")
    lines.flush()
