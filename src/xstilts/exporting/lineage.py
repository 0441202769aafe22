"""Where a model folder comes from: its node, the trainings before it, the study that planned it, and its scores there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.graph.lease import KEY
from xstilts.graph.store import Store
from xstilts.metrics import xtreme
from xstilts.report.results import study_results
from xstilts.statistics.equivalence import interval

Record = Mapping[str, Any]
LEVEL = 0.95
"""Confidence of the intervals over seeds."""


@dataclass(frozen=True)
class Score:
    """One main metric of one target in one language (``""``: the plain mean over its languages), in points.

    Args:
        value: of this model.
        seeds: the same of every seed of its arm, this model's among them, each run once.
        guess: what guessing scores; ``None`` where that was not kept.
        count: evaluation rows.
        direct: scored as it is; else after fine-tuning on the target's rows.
        status: ``ok``, ``chance`` or ``collapsed``.
    """

    target: str
    split: str
    metric: str
    language: str
    value: float
    seeds: tuple[float, ...]
    guess: float | None
    count: int
    direct: bool
    status: str
    layer: int | None = None
    pooling: str | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """Student's interval of the mean over seeds; ``None`` with one seed, or where all are equal."""
        values = np.asarray(self.seeds)
        if len(values) < 2 or not values.std():
            return None
        low, high = interval(values, LEVEL)
        return float(low), float(high)


@dataclass(frozen=True)
class Lineage:
    """What the store knows of one model.

    Args:
        store: that its node lies in.
        key: of its node.
        stages: records of the store: this model's node first, then what it started from.
        payload: of the study that planned it; empty where no study of the store did.
        scores: of this model, targets in the study's order.
        scored_by: the score nodes behind them (records of the study).
    """

    store: Store
    key: str
    stages: tuple[Record, ...]
    payload: Mapping[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    scored_by: tuple[Record, ...] = ()

    @property
    def labels(self) -> Mapping[str, Any]:
        """Model, arm, task, seed and role of this node, as the study calls them."""
        labels: Mapping[str, Any] = self.stages[0]["labels"]
        return labels

    @property
    def study(self) -> Mapping[str, Any]:
        """The study file's content; empty where no study planned it."""
        study: Mapping[str, Any] = self.payload.get("study", {})
        return study

    @property
    def choice(self) -> Mapping[str, Any]:
        """What the study says of the base model."""
        choice: Mapping[str, Any] = self.study.get("models", {}).get(self.labels.get("model"), {})
        return choice


def lineage(folder: Path) -> Lineage | None:
    """What is known of a model folder that lies in a store's node; ``None`` for one that lies elsewhere.

    Raises:
        StoreError: the node is not what was committed.
    """
    folder = folder.resolve()
    key, nodes = folder.parent.name, folder.parent.parent.parent
    if folder.name != "model" or not KEY.fullmatch(key) or nodes.name != "nodes":
        return None
    store = Store(nodes.parent)
    store.verify_once(key)
    stages = [store.record(key)]
    while (before := stages[-1]["parents"].get("model")) is not None and store.has(before):
        stages.append(store.record(before))
    studies = [of for of in store.studies().values() if any(node["key"] == key for node in of["nodes"])]
    best = Lineage(store, key, tuple(stages))
    for payload in studies:
        scores, by = _scores(store, key, stages[0]["labels"], payload)
        if not best.payload or sum(len(s.seeds) for s in scores) > sum(len(s.seeds) for s in best.scores):
            best = Lineage(store, key, tuple(stages), payload, tuple(scores), tuple(by))
    return best


def _models_of(nodes: Mapping[str, Record], score: str) -> Iterator[str]:
    """Keys of the models behind a score: the one that answered, then what that started from."""
    key: str | None = nodes[score]["parents"].get("predictions")
    while key is not None and key in nodes:
        key = nodes[key]["parents"].get("model")
        if key is not None:
            yield key


def _scores(
    store: Store, key: str, labels: Mapping[str, Any], payload: Mapping[str, Any]
) -> tuple[list[Score], list[Record]]:
    """This model's scores in one study, and the nodes that hold them: of the test split where a target has it there.

    A score counts as this model's when it answered itself, or when what answered is a fine-tuning of it in its own arm.
    """
    nodes = {node["key"]: node for node in payload["nodes"]}
    name = payload["study"]["name"]
    mine: dict[str, bool] = {}
    for cell in payload["cells"]:
        behind = list(_models_of(nodes, cell["key"]))
        same = (cell["model"], cell["arm"]) == (labels.get("model"), labels.get("arm"))
        if behind[:1] == [key] or (behind[1:2] == [key] and same):
            mine[cell["key"]] = behind[0] == key
    if not any(store.has(each) for each in mine):
        return [], []
    results = study_results(store, name)
    rows, guessed = [row for row in results.main if row["value"] is not None], results.guesses
    found: list[Score] = []
    for target in payload["study"]["targets"]:
        of_target = [row for row in rows if row["target"] == target]
        split = next((s for s in ("test", "dev") if any(r["key"] in mine and r["split"] == s for r in of_target)), None)
        of_split = [row for row in of_target if row["split"] == split]
        for metric in dict.fromkeys(row["metric"] for row in of_split):
            own = [row for row in of_split if row["metric"] == metric and row["key"] in mine]
            arms = {(row["model"], row["arm"]) for row in own}
            peers = [row for row in of_split if row["metric"] == metric and (row["model"], row["arm"]) in arms]
            found += _of_metric(own, peers, guessed.get((target, str(split)), {}), mine)
    return found, [nodes[each] for each in mine if store.has(each)]


def _of_metric(own: list[Any], peers: list[Any], guessed: Mapping[str, float], mine: Mapping[str, bool]) -> list[Score]:
    """One metric: its languages, then their mean where there are several."""
    values: dict[str, dict[str, float]] = defaultdict(
        dict
    )  # run -> language -> value; seeds that share a run count once
    for row in peers:
        values[row["key"]][row["language"]] = row["value"]
    of_run = {row["language"]: row for row in own if row["key"] == own[0]["key"]}
    found = []
    for language, row in of_run.items():
        found.append(
            Score(
                row["target"],
                row["split"],
                row["metric"],
                language,
                row["value"],
                tuple(of[language] for of in values.values() if language in of),
                guessed.get(language),
                row["count"],
                mine[row["key"]],
                row["status"],
                row["layer"],
                row["pooling"],
            )
        )
    if len(found) > 1:
        found.append(_mean(found, values))
    return found


def _mean(found: list[Score], values: Mapping[str, Mapping[str, float]]) -> Score:
    first, languages = found[0], [score.language for score in found]
    worst = next((status for status in ("collapsed", "chance") if any(s.status == status for s in found)), "ok")
    guessed = [score.guess for score in found if score.guess is not None]
    return Score(
        first.target,
        first.split,
        first.metric,
        "",
        xtreme.mean(score.value for score in found),
        tuple(xtreme.mean(of[each] for each in languages) for of in values.values() if of.keys() >= set(languages)),
        xtreme.mean(guessed) if len(guessed) == len(found) else None,
        sum(score.count for score in found),
        first.direct,
        worst,
        first.layer,
        first.pooling,
    )
