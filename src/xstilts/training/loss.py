"""The loss of every shape, summed over its items.

A step's loss is the mean over its items: sums of micro-batches, divided by the whole step's count. The sum over any
partition of a step equals the sum over the step, so micro-batches change rounding only.

| shape | one item | loss of an item |
|---|---|---|
| classification | a sequence | cross-entropy over the labels |
| multiple_choice | an example | cross-entropy over its choices |
| tagging | a word | cross-entropy over the tags |
| span | a window | (cross-entropy of the start + cross-entropy of the end) / 2, over the window's read positions |

Shape legend: N sequences; R read positions; C outputs of the head; W windows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xstilts.batching import Batch, ranges
from xstilts.errors import TrainingError
from xstilts.task_types import Features, MultipleChoice, TaskType
from xstilts.task_types.base import IntArray


def num_items(task_type: TaskType, features: Features, sequences: IntArray) -> int:
    """How many items (see the module's table) ``sequences`` hold: what a step's summed loss is divided by."""
    match task_type.name:
        case "classification" | "span":
            return len(sequences)
        case "multiple_choice":
            return len(np.unique(features.example[sequences]))
        case "tagging":
            return int(np.diff(features.read_offsets)[sequences].sum())
    raise TrainingError(f"a task of shape {task_type.name!r} has no loss: nothing is trained for it")


def summed_loss(task_type: TaskType, batch: Batch, logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of ``batch``, summed over its items, as a float32 scalar.

    Args:
        task_type: names the shape.
        batch: whole examples for multiple choice.
        logits: R x C, in any floating-point type; the loss is computed in float32.
        targets: what ``targets_of`` gives for the batch's sequences.
    """
    logits = logits.float()
    match task_type:
        case MultipleChoice(num_choices=num_choices):
            return cross_entropy(logits.reshape(-1, num_choices), targets, reduction="sum")
        case _ if task_type.name == "span":
            return _span_loss(logits, batch.read_counts, targets)
    return cross_entropy(logits, targets, reduction="sum")


def targets_of(task_type: TaskType, features: Features, sequences: IntArray, device: torch.device) -> Tensor:
    """The rows of ``features.targets`` that belong to ``sequences``, in the order of the logits, on ``device``.

    Raises:
        TrainingError: an example has no gold, or the shape is not trained.
    """
    if features.targets is None:
        raise TrainingError("an example has no gold, so there is nothing to train on")
    match task_type.name:
        case "classification":
            rows = features.example[sequences]
        case "multiple_choice":
            examples = features.example[sequences]
            rows = examples[np.append(True, examples[1:] != examples[:-1])]
        case "tagging":
            rows = ranges(features.read_offsets[sequences], np.diff(features.read_offsets)[sequences])
        case "span":
            rows = sequences
        case _:
            raise TrainingError(f"a task of shape {task_type.name!r} has no loss: nothing is trained for it")
    return torch.from_numpy(features.targets[rows]).to(device)


def _span_loss(logits: Tensor, read_counts: tuple[int, ...], targets: Tensor) -> Tensor:
    """Start and end each compete among the read positions of their own window. ``targets``: W x 2."""
    counts = torch.tensor(read_counts, device=logits.device)
    window = torch.repeat_interleave(torch.arange(len(counts), device=logits.device), counts)
    position = torch.arange(len(logits), device=logits.device) - (counts.cumsum(0) - counts)[window]
    # Positions a window does not have get probability 0 and no gradient.
    scores = logits.new_full((len(counts), 2, max(read_counts)), -torch.inf)
    scores[window, :, position] = logits
    return cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum") / 2
