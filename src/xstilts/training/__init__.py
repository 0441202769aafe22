"""Training: what is learned, loss, optimizer and the loop."""

from xstilts.training.checkpoint import Checkpoints
from xstilts.training.course import Course, MicroBatch, Step, TaskCourse, evaluates_after, total_steps
from xstilts.training.loop import Progress, TrainingSummary, train
from xstilts.training.loss import num_items, summed_loss, targets_of
from xstilts.training.mixture import MixtureCourse
from xstilts.training.optimizer import adamw, learning_rate, warmup_steps
from xstilts.training.state import Evaluation, Resumption, TrainingState

__all__ = [
    "Checkpoints",
    "Course",
    "Evaluation",
    "MicroBatch",
    "MixtureCourse",
    "Progress",
    "Resumption",
    "Step",
    "TaskCourse",
    "TrainingState",
    "TrainingSummary",
    "adamw",
    "evaluates_after",
    "learning_rate",
    "num_items",
    "summed_loss",
    "targets_of",
    "total_steps",
    "train",
    "warmup_steps",
]
