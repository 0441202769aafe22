"""All that changes while training, besides the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

_NUMBERS = {
    *("step", "loss", "micro_batch_tokens", "examples", "tokens", "windows"),
    *("seconds", "evaluation_seconds", "checkpoint_seconds"),
}


@dataclass(frozen=True)
class Evaluation:
    """A dev score (0..100) after ``step`` updates."""

    step: int
    score: float


@dataclass(frozen=True)
class Resumption:
    """A training that was taken up again.

    Args:
        step: updates already done; 0 when no checkpoint was whole.
        damaged: what was passed over: ``step-00000140/weights.safetensors``.
        same_conditions: whether everything that bit-for-bit equality with an undisturbed run needs is as it was.
        differs: what is not: names of ``conditions``.
    """

    step: int
    damaged: tuple[str, ...] = ()
    same_conditions: bool = True
    differs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Halving:
    """Memory ran out at ``step`` (from 1); from this step on a micro-batch has at most so many sub-words."""

    step: int
    micro_batch_tokens: int


@dataclass
class TrainingState:
    """All that changes while training, besides the weights: what a checkpoint saves with them."""

    optimizer: torch.optim.Optimizer
    step: int = 0  # updates done: also the cursor into the course and the random streams
    loss: float = math.nan  # of the last update
    micro_batch_tokens: int = 4096  # sub-words in one forward pass, from this step on
    examples: int = 0
    tokens: int = 0
    windows: int = 0
    seconds: float = 0.0  # of training and evaluating; over all attempts, as far as their checkpoints came
    evaluation_seconds: float = 0.0
    checkpoint_seconds: float = 0.0  # of writing checkpoints: not in ``seconds``
    evaluations: list[Evaluation] = field(default_factory=list)
    resumed: list[Resumption] = field(default_factory=list)
    halvings: list[Halving] = field(default_factory=list)
    known_halvings: Sequence[tuple[int, int]] = ()  # of an attempt before: (step from 1, sub-words)
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

    def numbers(self) -> dict[str, Any]:
        """All but tensors, as plain JSON."""
        return {
            **{name: getattr(self, name) for name in _NUMBERS},
            "evaluations": [asdict(each) for each in self.evaluations],
            "resumed": [asdict(each) for each in self.resumed],
            "halvings": [asdict(each) for each in self.halvings],
        }

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Take over what ``numbers`` gave."""
        for name in _NUMBERS & numbers.keys():  # micro_batch_tokens is not in checkpoints of earlier versions
            setattr(self, name, numbers[name])
        self.evaluations = [Evaluation(**each) for each in numbers["evaluations"]]
        self.resumed = [
            Resumption(each["step"], tuple(each["damaged"]), each["same_conditions"], tuple(each["differs"]))
            for each in numbers["resumed"]
        ]
        self.halvings = [Halving(**each) for each in numbers.get("halvings", ())]
