"""Training: loss, optimizer and the loop."""

from xstilts.training.loop import Evaluation, Progress, TrainingState, TrainingSummary, train
from xstilts.training.loss import num_items, summed_loss
from xstilts.training.optimizer import adamw, learning_rate, warmup_steps

__all__ = [
    "Evaluation",
    "Progress",
    "TrainingState",
    "TrainingSummary",
    "adamw",
    "learning_rate",
    "num_items",
    "summed_loss",
    "train",
    "warmup_steps",
]
