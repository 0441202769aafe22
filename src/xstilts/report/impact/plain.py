"""The answers as plain data for other programs: seconds, bytes, points and shares of 1. An infinite limit is ``None``."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from xstilts.report.impact.answers import Answers, Impact
from xstilts.report.impact.gate import Standing
from xstilts.report.impact.iso import COSTS
from xstilts.report.impact.words import findings, how_measured
from xstilts.statistics.equivalence import Comparison


def plain(of: Impact) -> dict[str, Any]:
    """The sentences, and every number behind them."""
    return {
        "findings": findings(of),
        "how_measured": how_measured(of),
        "unfinished": list(of.unfinished),
        "measurements": [_answers(each) for each in of.answers],
    }


def _answers(of: Answers) -> dict[str, Any]:
    measured = of.measured
    return {
        "key": measured.key,
        "study": measured.study,
        "measurement": measured.name,
        "target": measured.target,
        "split": measured.split,
        "margin": measured.margin,
        "blocks": measured.blocks,
        "device": dict(measured.device),
        "systems": [_system(of, standing) for standing in of.standings],
        "instrument": [
            {
                "model": c.model,
                "metric": c.metric,
                "control": _comparison(c.control),
                "sabotaged": _comparison(c.sabotaged),
                "problem": c.problem or None,
            }
            for c in of.checks
        ],
        "same_graph": [
            {"system": r.system.name, "metric": r.metric, "verdict": r.verdict, "comparison": _comparison(r.comparison)}
            for r in of.ratios
        ],
        "layers": [
            {
                "system": r.standing.system.name,
                "layer": r.standing.system.layer,
                "rule": r.rule,
                "delta": r.delta,
                "answer": r.answer,
                "comparison": _comparison(r.comparison),
                "score_by_layer": {str(layer): score for layer, score in r.curve.items()},
            }
            for r in of.layers
        ],
        "equal_score": [
            {
                "system": e.standing.system.name,
                "cost": cost,
                "speed_up": e.speed_up,
                "low_95": _finite(e.low),
                "high_95": _finite(e.high),
                "words": e.words,
            }
            for cost in COSTS
            for e in of.equal[cost]
        ],
    }


def _system(of: Answers, standing: Standing) -> dict[str, Any]:
    system, speed, score = standing.system, standing.speed, standing.score
    found: dict[str, Any] = {
        field: getattr(system, field) for field in ("name", "model", "arm", "layer", "num_layers", "seed", "parameters")
    }
    found["withheld"] = standing.withheld
    if score is not None:
        found |= {"score": score.value, "score_error": score.error, "score_rows": score.count, "score_key": score.key}
        found |= {"delta": of.delta(standing), "work": asdict(of.works[system.name])}
        found["training"] = asdict(of.trainings[system.name])
    if speed is not None:
        costs = {language: speed.cost(language) for language in speed.languages}
        found |= {
            **speed.summary(),
            "sequences_per_second": speed.sequences_per_second,
            "tokens_per_second": speed.tokens_per_second,
            "peak_share": speed.peak_share,
            "startup_s": dict(speed.startup),
            "languages": {language: asdict(cost) for language, cost in costs.items() if cost is not None},
            "fronts": [cost for cost in COSTS if standing in of.fronts[cost]],
        }
    return found


def _comparison(of: Comparison | None) -> dict[str, Any] | None:
    return None if of is None else {**asdict(of), "verdict": of.verdict}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
