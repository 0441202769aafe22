"""The measurements of a study as nodes: which systems run on which rows, in what order they are compared with what.

A *system* is what answers: an arm of a model, fine-tuned on the target, or an encoder read at one layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xstilts.errors import StudyError
from xstilts.measurements import Layer, Measurement
from xstilts.study import Study
from xstilts.tasks.task import Task

SETTINGS = set(Measurement.model_fields) - {"targets", "arms", "split", "languages", "layers"}
"""The fields of a measurement that its node's key holds as they are; the others become systems and rows."""
Place = tuple[str, str, str]  # model, arm, target


@dataclass(frozen=True)
class Answering:
    """What the planner found for one model, arm and target, of the study's first seed.

    Args:
        base: identity of the base model that answers, where no node made it.
        node: key of the node that made the model; empty for a base model.
        num_layers: of the encoder.
        predictions: split -> key of the node whose scored output this model made (fine-tuned targets only).
        calibration: key of the node that chose the layer (retrieval only).
    """

    base: str | None
    node: str
    num_layers: int
    predictions: dict[str, str] = field(default_factory=dict)
    calibration: str = ""


@dataclass(frozen=True)
class _System:
    name: str
    model: str
    arm: str
    role: str
    of: str | None
    layer: int | str | None
    slowdown: float
    answering: Answering


def measurement_spec(
    study: Study,
    measurement: Measurement,
    target: Task,
    answering: Mapping[Place, Answering],
    fixed_share: float,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The spec of a measurement on one target, without its rows and its device, and its parents by role."""
    systems = [
        system
        for model in study.models
        for system in _systems(study, measurement, target, model, answering, fixed_share)
    ]
    names = Counter(system.name for system in systems)
    if twice := [name for name, count in names.items() if count > 1]:
        raise StudyError(
            f"two measured systems would be called {twice[0]!r}",
            where="arms",
            hint="an arm may not end in what measurements add: control, +5 %, or the name of a layer",
        )
    parents: dict[str, str] = {}
    listed = []
    for system in systems:
        found = system.answering
        roles = {"model": found.node, "predictions": found.predictions.get(measurement.split, "")}
        if system.layer == "calibrated":
            roles["calibration"] = found.calibration
        parents |= {f"{role} {system.name}": key for role, key in roles.items() if key}
        listed.append(
            {
                "name": system.name,
                "model": system.model,
                "arm": system.arm,
                "role": system.role,
                "of": system.of,
                "layer": system.layer,
                "slowdown": system.slowdown,
                "base": found.base,
                "num_layers": found.num_layers,
                "seed": study.seeds[0],
            }
        )
    return {"settings": measurement.model_dump(mode="json", include=SETTINGS), "systems": listed}, parents


def _systems(
    study: Study,
    measurement: Measurement,
    target: Task,
    model: str,
    answering: Mapping[Place, Answering],
    fixed_share: float,
) -> Iterator[_System]:
    """The arms of one model, its control and its sabotaged system."""
    layers: tuple[Layer | None, ...] = measurement.layers if target.trains_on is None else (None,)
    reference_layer = "last" if "last" in layers else layers[0]
    arms = [arm for arm in study.arms if measurement.arms is None or arm in measurement.arms]

    def named(arm: str, layer: str | None) -> str:
        return f"{model}/{arm}" + (f" {layer}" if len(layers) > 1 else "")

    reference = named(study.baseline, reference_layer) if study.baseline in arms else None
    made = {}
    for arm in arms:
        found = answering[model, arm, target.name]
        for layer in layers:
            name = named(arm, layer)
            read: int | str | None = layer
            if layer is not None and layer != "calibrated":
                read = found.num_layers if layer == "last" else round(fixed_share * found.num_layers)
            of = None if name == reference else reference
            made[name] = _System(name, model, arm, "arm", of, read, 0.0, found)
    yield from made.values()
    if measurement.margin is not None and reference is not None:
        base = made[reference]
        for suffix, role, slowdown in (
            ("control", "control", 0.0),
            (f"+{100 * measurement.slowdown:g} %", "sabotaged", measurement.slowdown),
        ):
            name = f"{reference} {suffix}"
            yield _System(name, model, base.arm, role, reference, base.layer, slowdown, base.answering)
