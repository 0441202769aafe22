"""When memory runs out within a step: its gradients are begun anew with micro-batches of half the size.

The step stays the same N examples and its loss their mean. What a step learns from and the seed of its dropout are functions
of its number, so a step that is begun anew is, bit for bit, the step that a training with the smaller micro-batches would
have done; the numbers of all later steps are that training's too, for the smaller size stays. What changes with the size is
what it always changes: rounding, and which masks dropout draws.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xstilts.errors import BeginAgainError, DeviceMemoryError
from xstilts.models.loading import first_line
from xstilts.task_types.base import IntArray
from xstilts.training.course import Course, Step, Trainable
from xstilts.training.ranks import Ranks
from xstilts.training.state import Halving, TrainingState

_SAYINGS = ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch's ``RuntimeError`` says of memory where it has no error of its own: on a CPU, and in CUDA's libraries."""


@dataclass
class Gradients:
    """What the micro-batches of one step came to; the gradients themselves are with the parameters."""

    step: Step
    losses: list[Tensor] = field(default_factory=list)  # of each micro-batch, of whichever process
    rows: list[IntArray] = field(default_factory=list)
    at_work: tuple[IntArray, int] | None = None  # the rows and sub-words of this process's newest micro-batch
    task: str = ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device's or the machine's memory is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)


def gradients(model: Trainable, course: Course, state: TrainingState, seed: int, ranks: Ranks) -> Gradients:
    """The gradients of step ``state.step``, in micro-batches that fit; a halving is noted in ``state``.

    Raises:
        DeviceMemoryError: memory does not suffice for a single example.
        BeginAgainError: there are several processes, and the others wait for this one's part of a step that is not whole.
    """
    _halve_as_before(state)
    while True:
        torch.manual_seed(seed)
        state.optimizer.zero_grad(set_to_none=True)
        found = Gradients(course.step(state.step, state.micro_batch_tokens, model.device))
        try:
            _accumulate(model, course, found, ranks)
            return found
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _halve(state, found, first_line(error))
            if ranks.count > 1:
                last = state.halvings[-1]
                raise BeginAgainError(
                    f"memory ran out at step {last.step} in process {ranks.rank + 1} of {ranks.count}: all begin anew, with "
                    f"{last.micro_batch_tokens} sub-words a micro-batch from there on",
                    {"halvings": [(each.step, each.micro_batch_tokens) for each in state.halvings]},
                ) from None
        # Out of the handler nothing holds on to what was computed; only now can it be given back.
        give_back(model)


def _accumulate(model: Trainable, course: Course, found: Gradients, ranks: Ranks) -> None:
    own: list[Tensor] = []
    for taken in ranks.rounds(found.step.micro_batches):
        found.rows += [each.rows for each in taken]
        counts = ranks.rank < len(taken)
        micro_batch = taken[ranks.rank if counts else 0]
        found.task, found.at_work = micro_batch.task, (micro_batch.rows, micro_batch.batch.num_tokens)
        loss = course.loss(model, micro_batch) / found.step.items
        # Sharded gradients are means over the processes, and a step's are sums.
        share = loss if ranks.count == 1 else loss * (ranks.count if counts else 0)
        share.backward()  # type: ignore[no-untyped-call]
        own.append(loss.detach())
    found.losses = ranks.every_loss(own, len(found.rows))


def _halve(state: TrainingState, found: Gradients, said: str) -> None:
    """Half of the micro-batch that did not fit, from this step on; one example cannot be parted."""
    rows, size = found.at_work or ([], state.micro_batch_tokens)
    if len({*map(int, rows)}) == 1:
        raise DeviceMemoryError(
            f"memory ran out at step {state.step + 1} with one example in the forward pass: training row "
            f"{int(rows[0])} (from 0), {size} sub-words ({said})",
            hint="--gradient-checkpointing needs less for every example, encoding.max_length makes them shorter, and "
            "training.lora keeps gradients and moments of few weights; the checkpoints are kept",
        ) from None
    tokens = max(1, min(state.micro_batch_tokens, size) // 2)
    state.micro_batch_tokens = tokens
    state.halvings.append(Halving(state.step + 1, tokens))


def _halve_as_before(state: TrainingState) -> None:
    """Where an attempt of several processes ran out of memory, the next one has smaller micro-batches from the start."""
    for step, tokens in state.known_halvings:
        if step == state.step + 1 and tokens < state.micro_batch_tokens:
            state.micro_batch_tokens = tokens
            state.halvings.append(Halving(step, tokens))


def update(state: TrainingState) -> None:
    """The optimizer's step.

    Raises:
        DeviceMemoryError: there is no memory for its moments, which no micro-batch makes smaller.
    """
    try:
        state.optimizer.step()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        trained = [p for group in state.optimizer.param_groups for p in group["params"]]
        size = sum(p.numel() * p.element_size() for p in trained)
        raise DeviceMemoryError(
            f"memory ran out in the optimizer at step {state.step + 1}: its moments of {sum(p.numel() for p in trained):,} "
            f"weights take {2 * size / 1e9:.1f} GB ({first_line(error)})",
            hint="training.lora trains few weights; smaller micro-batches do not help here",
        ) from None


def give_back(model: nn.Module) -> None:
    """Hand memory that nothing uses any more back to the device."""
    gc.collect()
    if any(p.device.type == "cuda" for p in model.parameters()):
        torch.cuda.empty_cache()
