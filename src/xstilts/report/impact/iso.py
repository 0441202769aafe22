"""Speed at equal score: what a score costs on the front of the models without intermediate training, and with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from xstilts.report.impact.gate import Standing
from xstilts.report.impact.speed import block_logs
from xstilts.statistics.bootstrap import bootstrap_interval
from xstilts.statistics.pareto import cost_at, front

Floats = NDArray[np.float64]
ROUNDS = 2000
ABOVE = "no baseline arm scores as much"
COSTS = {"offline": "offline time", "single_stream": "median latency", "memory": "peak memory"}
"""What a score is set against."""


@dataclass(frozen=True)
class EqualScore:
    """How much less an arm with intermediate training costs than the baseline arm's front at the same score.

    Args:
        speed_up: cost on the baseline's front over the arm's own; ``None`` where the score lies outside that front.
        low, high: 95 % interval over blocks (time) and rows (score). Infinite: no baseline size reaches the score; 0: all do.
        words: the answer, or why there is none.
    """

    standing: Standing
    cost: str
    speed_up: float | None
    low: float
    high: float
    words: str


def cost(standing: Standing, name: str) -> float | None:
    """Offline seconds for 1,000 examples, median latency in seconds, or peak memory in GiB."""
    assert standing.speed is not None
    match name:
        case "offline":
            return standing.speed.seconds_per_1000
        case "single_stream":
            return standing.speed.p50
        case _:
            return standing.speed.memory_gib


def on_front(standings: Sequence[Standing], name: str) -> list[Standing]:
    """Those that nothing among them beats in both score and cost, by rising cost."""
    known = [(s, value, s.score.value) for s in standings if s.score and (value := cost(s, name)) is not None]
    return [known[place][0] for place in front([(value, score) for _, value, score in known])]


def equal_scores(baseline: Sequence[Standing], others: Sequence[Standing], name: str) -> list[EqualScore]:
    """Each of ``others`` against the front of ``baseline``; all of one measurement and with speed and score.

    The interval is a bootstrap: blocks are drawn again (the same ones for all systems of a model, which ran in them
    together; widened to Student's t, because a plain bootstrap of few blocks is too narrow), and each score is drawn from a
    normal distribution with the standard error of its rows.
    """
    if not baseline or cost(baseline[0], name) is None:
        return []
    points = [(float(cost(s, name) or 0), _score(s)) for s in baseline]
    return [_equal_score(points, baseline, other, name) for other in others]


def _equal_score(
    points: Sequence[tuple[float, float]], baseline: Sequence[Standing], other: Standing, name: str
) -> EqualScore:
    reached = _score(other)
    at = cost_at(points, reached)
    low, high = bootstrap_interval(_draws(baseline, other, name), ROUNDS, seed=1)
    scores = [points[place][1] for place in front(points)]
    if at is None:
        words = (
            f"{ABOVE}: the best measured has {max(scores):.1f}"
            if reached > max(scores)
            else f"below the baseline's front, which begins at {min(scores):.1f}"
        )
        if 0 < low < math.inf:
            words += f"; its 95 % interval begins at {low:.2f} times"
        return EqualScore(other, name, None, low, high, words)
    speed_up = at / float(cost(other, name) or math.nan)
    top = "no limit" if high == math.inf else f"{high:.2f}"
    return EqualScore(other, name, speed_up, low, high, f"{speed_up:.2f} times ({low:.2f} to {top})")


def _draws(baseline: Sequence[Standing], other: Standing, name: str) -> Callable[[np.random.Generator], float]:
    """The speed-up of each round; all rounds are drawn at the first call."""
    left: list[float] = []

    def draw(rng: np.random.Generator) -> float:
        if not left:
            costs, scores = _drawn([*baseline, other], name, rng)
            left.extend(_speed_up(of.tolist(), at.tolist()) for of, at in zip(costs, scores, strict=True))
        return left.pop()

    return draw


def _drawn(systems: Sequence[Standing], name: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Costs and scores, each rounds x systems."""
    logs = [_logs(standing, name) for standing in systems]
    models = [s.system.model for s in systems]
    blocks = {
        model: rng.integers(0, len(of), (ROUNDS, len(of))) for model, of in dict(zip(models, logs, strict=True)).items()
    }
    costs = np.stack(
        [np.exp(_widened(of[blocks[model]].mean(1), of)) for model, of in zip(models, logs, strict=True)], 1
    )
    errors = np.array([s.score.error if s.score else 0.0 for s in systems])
    return costs, rng.normal(np.array([_score(s) for s in systems]), errors, (ROUNDS, len(systems)))


def _widened(means: Floats, of: Floats) -> Floats:
    """Means of redrawn blocks, as far from the mean as t with n - 1 degrees says: the bootstrap's own spread is that of a
    normal with variance (n - 1) / n of the sample's."""
    n = len(of)
    if n < 2:
        return means
    factor = float(stdtrit(n - 1, 0.975) / ndtri(0.975)) * math.sqrt(n / (n - 1))
    widened: Floats = of.mean() + (means - of.mean()) * factor
    return widened


def _speed_up(costs: Sequence[float], scores: Sequence[float]) -> float:
    """Of the last system over the front of the others: infinite above it, 0 below it."""
    at = cost_at(list(zip(costs[:-1], scores[:-1], strict=True)), scores[-1])
    if at is None:
        return math.inf if scores[-1] > max(scores[:-1]) else 0.0
    return at / costs[-1]


def _logs(standing: Standing, name: str) -> Floats:
    """Log cost by block; memory is taken as known."""
    if name == "memory":
        return np.array([math.log(float(cost(standing, name) or math.nan))])
    return np.array(list(block_logs(standing.measured, standing.system.name, name).values()))


def _score(standing: Standing) -> float:
    assert standing.score is not None
    return standing.score.value
