"""What guessing scores, and whether a score is better than that. Pure functions, without torch."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from xstilts.metrics import xtreme
from xstilts.tasks.task import Task

LEAST_ROWS = 20
"""Sets of fewer rows are never judged: there guessing and knowing look alike."""


def chance(task: Task, examples: Sequence[Any], language: str) -> float:
    """What the main score gives to guesses, 0..100: the better of one constant answer and of drawn ones.

    Constant is the most frequent gold label or tag, for questions no answer. Drawn are tags by their frequency, and one word
    of the context for a question; the draws are the same every time. Retrieval: one in all candidates.

    Args:
        task: its shape and metric.
        examples: with gold.
        language: as the metric takes it.
    """
    shape, golds = task.type.name, [task.type.gold(e) for e in examples]
    if shape == "retrieval":
        return 100 / len(examples[0].candidates)
    draw = random.Random(0)
    match shape:
        case "span":
            guesses = [[""] * len(golds), [draw.choice(e.context.split() or [""]) for e in examples]]
        case "tagging":
            tags = [tag for tags in golds for tag in tags]
            most = Counter(tags).most_common(1)[0][0]
            guesses = [[(most,) * len(g) for g in golds], [tuple(draw.choices(tags, k=len(g))) for g in golds]]
        case _:
            guesses = [[Counter(golds).most_common(1)[0][0]] * len(golds)]
    scored = [task.metric(golds, guess, language) for guess in guesses]
    return max(xtreme.mean(scores[name] for name in task.main_score) for scores in scored)


def verdict(
    task: Task,
    golds: Sequence[Any],
    answers: Sequence[Any] | None,
    scores: Mapping[str, float],
    *,
    least: int = LEAST_ROWS,
) -> str:
    """``ok``, ``chance`` or ``collapsed``. Sets of fewer than ``least`` rows are never judged.

    Chance is the share of the most frequent gold answer, plus the one-sided 95 % sampling error of that share; for
    retrieval three times a random guess; for spans no exact match at all.
    """
    if len(golds) < least:
        return "ok"
    if answers is not None:
        flat = [tag for tags in answers for tag in tags] if task.type.name == "tagging" else list(answers)
        if len(set(flat)) <= 1:
            return "collapsed"
    shape = task.type.name
    if shape == "span":
        return "ok" if scores["exact_match"] > 0 else "chance"
    if shape == "retrieval":
        return "ok" if scores[task.main_score[0]] > 300 / len(golds) else "chance"
    value = scores.get("token_accuracy" if shape == "tagging" else "accuracy")
    if value is None:  # a task from outside with a metric of its own
        return "ok"
    flat_gold = [t for tags in golds for t in tags] if shape == "tagging" else list(golds)
    share = Counter(flat_gold).most_common(1)[0][1] / len(flat_gold)
    bound = share + 1.645 * math.sqrt(share * (1 - share) / len(flat_gold))
    return "ok" if value > 100 * bound else "chance"
