"""How numbers of ours were made, in the words that published protocols are described with.

From the specs of a store's nodes where there are any, else from the study file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from xstilts.errors import MissingNameError
from xstilts.graph.node import Node
from xstilts.study import Study
from xstilts.tasks import load

NAMES = {
    "model": "model",
    "layer": "layer",
    "pooling": "pooling",
    "selection": "selection",
    "languages": "languages",
    "evaluation_rows": "rows scored",
    "train_rows": "rows trained on",
    "stand_in": "training files",
    "source_language": "language trained on",
    "learning_rate": "learning rate",
    "epochs": "epochs",
    "batch_size": "batch size",
    "warmup": "warm-up",
    "weight_decay": "weight decay",
    "max_length": "max length",
    "metric_version": "version of the metric",
    "intermediate_rows": "intermediate: rows",
    "intermediate_learning_rate": "intermediate: learning rate",
    "intermediate_epochs": "intermediate: epochs",
    "intermediate_batch_size": "intermediate: batch size",
    "seeds": "seeds",
    "precision": "precision",
}
"""Every setting that is compared, as people read it, in the order in which those of unknown size are shown."""
TRAINED = ("learning_rate", "epochs", "batch_size", "warmup", "weight_decay", "selection")
INTERMEDIATE = ("learning_rate", "epochs", "batch_size")
ALL = "all of the file"
CHUNK_F1 = "chunk F1, as seqeval 0.0.12"

Settings = dict[str, Any]
RowsTrained = Callable[[Node], int | None]


def from_nodes(nodes: Mapping[str, Node], key: str, rows_trained: RowsTrained) -> Settings:
    """The settings behind the score node ``key``; ``rows_trained`` says how many rows a finished training used."""
    predicted = nodes[nodes[key].parents["predictions"]]
    found = {"precision": predicted.spec["precision"], "max_length": predicted.spec["encoding"]["max_length"]}
    if (layers := _layers(nodes, predicted)) is not None:
        found["num_layers"] = layers
    before = nodes.get(predicted.parents.get("model", ""))
    if predicted.kind == "predict" and before is not None:
        found |= _training(before.spec)
        found["train_rows"] = rows_trained(before) or before.spec["rows"] or ALL
        before = nodes.get(before.parents.get("model", ""))
    if before is not None and before.kind in ("train", "mix"):
        found |= _intermediate(before.spec, rows_trained(before))
    return found


def _layers(nodes: Mapping[str, Node], predicted: Node) -> int | None:
    """How many layers a swept model has; what is mined only at the calibrated layer was swept on dev before."""
    if predicted.kind != "retrieve":
        return None
    swept = predicted.spec["layers"]
    if isinstance(swept, str):
        calibration = nodes[predicted.parents["calibration"]]
        dev = nodes.get(calibration.parents.get("bucc_dev", ""))
        swept = dev.spec["layers"] if dev is not None else None
    return max(swept) if swept else None


def _training(spec: Mapping[str, Any]) -> Settings:
    found = {name: spec["training"][name] for name in TRAINED}
    if spec["training"]["max_steps"]:
        found["epochs"] = _steps(spec)
    return found | {"source_language": spec["source"]}


def _steps(spec: Mapping[str, Any]) -> str:
    """A training that is cut by its steps has no epochs to compare."""
    return f"{spec['training']['max_steps']} steps at most"


def _intermediate(spec: Mapping[str, Any], rows: int | None) -> Settings:
    found = {f"intermediate_{name}": spec["training"][name] for name in INTERMEDIATE}
    if spec["training"]["max_steps"]:
        found["intermediate_epochs"] = _steps(spec)
    limits = [part.get("rows") for part in spec.get("parts", {"": spec}).values()]
    return found | {"intermediate_rows": rows or " + ".join(str(limit or ALL) for limit in limits)}


def from_study(study: Study, arm: str, target: str) -> Settings:
    """The settings that a study file gives a target after an arm; ``{}`` for a target that is not known here."""
    try:
        task = load(target)
    except MissingNameError:
        return {}
    encoding = study.encoding_of(target, "target", task.encoding)
    found: Settings = {"max_length": encoding.max_length}
    if study.precision != "auto":
        found["precision"] = study.precision
    if task.trains_on is not None:
        training = study.training_of(target, "target", task.training).model_dump()
        found |= _training({"training": training, "source": study.source_of(arm, "target")})
        found["train_rows"] = study.train_rows_of(target, "target") or ALL
    learned = study.arms[arm].intermediate
    if isinstance(learned, str) and learned in study.arms[arm].tasks:
        training = study.training_of(learned, "intermediate", load(learned).training).model_dump()
        found |= _intermediate({"training": training}, study.train_rows_of(learned, "intermediate"))
    return found


def stand_ins(files: Mapping[str, Sequence[str]], target: str, tasks: Sequence[str]) -> Settings:
    """Training files that a study put in the place of the published ones, for a target and its intermediate tasks."""
    try:
        learned = (load(target).trains_on, target, *tasks)
    except MissingNameError:
        learned = (target, *tasks)
    named = {f"{task}.train" for task in learned if task}
    found = [f"{key}: {', '.join(names)}" for key, names in files.items() if key in named]
    return {"stand_in": "; ".join(found)} if found else {}


def same(name: str, ours: Any, theirs: Any) -> bool:
    """Whether a setting agrees; what is not known agrees with nothing."""
    if name == "layer":
        share = _share(str(ours))
        return share is not None and share == _share(str(theirs))
    if name == "train_rows" and ours == ALL:
        return True
    if name == "metric_version":
        return False  # nobody says which one a leaderboard runs
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return math.isclose(ours, theirs)
    return bool(ours == theirs)


def _share(layer: str) -> Fraction | None:
    """``14 of 24`` and ``7 of 12`` are the same rule; ``None`` where the layer or the number of layers is not known."""
    found = re.fullmatch(r"(\d+) of (\d+)", layer)
    return Fraction(int(found[1]), int(found[2])) if found else None


def text(value: Any) -> str:
    """A value for people."""
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def most_cut(ours: Mapping[str, int], published: Mapping[str, int]) -> str | None:
    """The language of which the smallest share of the published rows was scored; ``None`` if none is known to be cut."""
    cut = [code for code in ours if ours[code] < published.get(code, 0)]
    return min(cut, key=lambda code: ours[code] / published[code], default=None)


def rows_texts(ours: Mapping[str, int], published: Mapping[str, int]) -> tuple[str, str] | None:
    """Rows scored by language, ours and theirs; ``None`` where all are known to be there."""
    unknown = sorted(ours.keys() - published.keys())
    theirs = f"published rows not known for {len(unknown)} of {len(ours)} languages" if unknown else ""
    code = most_cut(ours, published)
    if code is not None:
        cut = sum(count < published.get(of, 0) for of, count in ours.items())
        mine = f"{ours[code]:,} in {code}; cut in {cut} of {len(ours)} languages"
        return mine, f"{published[code]:,} in {code}" + (f"; {theirs}" if unknown else "")
    if unknown:
        counts = [ours[of] for of in unknown]
        return f"{min(counts):,} to {max(counts):,} a language there", theirs
    return None
