"""How a model does, by its task's own metric, on rows whose gold is known: what chooses checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xstilts.hyperparameters import Encoding
from xstilts.inference.predict import predict
from xstilts.models.model import Model
from xstilts.models.streamed_model import StreamedModel
from xstilts.rows import without_gold
from xstilts.task_types import TaskType
from xstilts.tasks.task import Task


def scorer(
    model: Model | StreamedModel,
    task: Task,
    task_type: TaskType,
    examples: Sequence[Any],
    encoding: Encoding,
    language: str,
    micro_batch_tokens: int,
) -> Callable[[], dict[str, float]]:
    """The task's own metric (0..100) of what the model, as it is when asked, predicts of these rows with gold."""
    golds, rows = [task.type.gold(e) for e in examples], without_gold(examples)

    def scores() -> dict[str, float]:
        outputs, _ = predict(model, task_type, rows, encoding, micro_batch_tokens=micro_batch_tokens)
        return task.metric(golds, [task_type.answer(output) for output in outputs], language)

    return scores


def main_score(task: Task, scores: Mapping[str, float]) -> float:
    """The mean of the metrics that the task is judged by."""
    return sum(scores[name] for name in task.main_score) / len(task.main_score)
