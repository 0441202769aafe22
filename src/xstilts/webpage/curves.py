"""Curves: retrieval by layer, and the losses of every training."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xstilts.graph.store import Store
from xstilts.report.grid import plural
from xstilts.report.retrieval_layers import Layers
from xstilts.webpage.content import Figure, Figures
from xstilts.webpage.draw import Trace, thinned, traces

LEAST = 4
"""Losses that a curve needs: fewer say nothing of its course."""


def layer_figures(found: Iterable[Layers], baseline: str | None) -> Figures | None:
    """One drawing for each retrieval target and pooling: the baseline arm dashed, the arm that is best anywhere thick."""
    figures = []
    for of in found:
        for pooling in dict.fromkeys(name for _, name in of.curve):
            places = {layer: arms for (layer, name), arms in of.curve.items() if name == pooling}
            by_arm: dict[str, dict[int, float]] = defaultdict(dict)
            for layer, arms in places.items():
                for arm, value in arms.items():
                    by_arm[arm][layer] = value
            if len(places) < 2:
                continue
            others = [arm for arm in by_arm if arm != baseline]
            lead = max(others, key=lambda arm: max(by_arm[arm].values()), default=None)
            lines = [_layer_trace(arm, values, baseline, lead) for arm, values in by_arm.items()]
            words = f"{of.model}, {of.target} {of.split}, pooling {pooling}: score by layer and arm"
            caption = f"{of.target} {of.split}, {pooling}: " + ", ".join(
                f"{name} {_best(by_arm[arm])}"
                for name, arm in ((f"dashed {baseline}", baseline), (f"thick {lead}", lead))
                if arm in by_arm
            )
            figures.append(Figure(caption, traces(words, lines, "layer (0: embeddings)", whole=True)))
    note = "Mean over languages, then over seeds. Thin: every other arm, named in the tables."
    return Figures(tuple(figures), notes=(note,)) if figures else None


def _best(values: Mapping[int, float]) -> str:
    layer = max(values, key=lambda at: values[at])
    return f"best {values[layer]:.1f} at layer {layer}"


def _layer_trace(arm: str, values: Mapping[int, float], baseline: str | None, lead: str | None) -> Trace:
    role = "base" if arm == baseline else "lead" if arm == lead else "rest"
    return Trace(f"{arm}: {_best(values)}", tuple((float(at), value) for at, value in sorted(values.items())), role)


def training_figures(store: Store, payload: Mapping[str, Any], model: str) -> list[tuple[str, Figures]]:
    """Losses by step: pre-training and intermediate training by arm, then fine-tuning by target.

    Several trainings share a drawing: the seeds of an arm, or the arms and seeds of a target with the baseline arms' dashed.
    """
    study = payload["study"]
    plain = {name for name, arm in study["arms"].items() if arm["intermediate"] is None}
    before: dict[str, list[Trace]] = defaultdict(list)
    tuned: dict[str, list[Trace]] = defaultdict(list)
    for node in payload["nodes"]:
        labels = node["labels"]
        if (
            node["kind"] not in ("pretrain", "train", "mix")
            or labels.get("model") != model
            or not store.has(node["key"])
        ):
            continue
        points = thinned(_losses(store, node["key"]))
        if len(points) < LEAST:
            continue
        arm, seed = str(labels.get("arm", "")), labels.get("seed")
        name = f"{arm} seed {seed}: loss {points[-1][1]:.2f} at the end"
        if labels.get("role") == "target":
            tuned[str(labels["task"])].append(Trace(name, points, "base" if arm in plain else "rest"))
        else:
            title = "pre-training" if node["kind"] == "pretrain" else arm
            before[title].append(Trace(name, points, "rest" if before[title] else "lead"))
    return [
        (title, Figures(tuple(_loss_figure(model, name, lines) for name, lines in found.items()), "small", notes))
        for title, found, notes in (
            ("Before fine-tuning", before, ("One line a seed.",)),
            ("Fine-tuning", tuned, ("One line an arm and seed; dashed: arms without intermediate training.",)),
        )
        if found
    ]


def _loss_figure(model: str, name: str, lines: Sequence[Trace]) -> Figure:
    last = statistics.fmean(line.points[-1][1] for line in lines)
    caption = f"{name}: {last:.2f} at the end, {plural(len(lines), 'training')}"
    return Figure(caption, traces(f"{model}, {name}: loss by step", lines, "step", height=140, width=230))


def _losses(store: Store, key: str) -> dict[float, float]:
    """Step -> loss, as the training wrote them down; nothing of a training that has no record."""
    file = store.path(key) / "training.jsonl"
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8") as lines:
        said = (json.loads(line) for line in lines)
        return {float(of["step"]): float(of["loss"]) for of in said if "loss" in of and "step" in of}
