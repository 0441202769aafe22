"""The memory plan of a study: every node's need on every given device, and what each way of running a model would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xstilts.device import members
from xstilts.graph.node import Node
from xstilts.memory.advice import Change, cheapest
from xstilts.memory.check import model_in
from xstilts.memory.dimensions import dimensions
from xstilts.memory.estimate import ADAPTERS, How
from xstilts.memory.need import GIB, Need
from xstilts.memory.nodes import HOLDING, TRAININGS, Model, adapts, how_of, in_group, made, needs, writes_text
from xstilts.memory.room import free_memory, free_on_card
from xstilts.plan import Plan

Json = dict[str, Any]
PLANNED_ONLY = "planned only: torch has no such optimizer"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "full, checkpointing": {"checkpointing": True},
    "full, 8-bit moments": {"checkpointing": True, "small_moments": True},
    f"LoRA {ADAPTERS.rank}": {"lora": ADAPTERS},
    f"LoRA {ADAPTERS.rank}, checkpointing": {"lora": ADAPTERS, "checkpointing": True},
    "sharded over 2, checkpointing": {"shards": 2, "checkpointing": True},
    "sharded over 4, checkpointing": {"shards": 4, "checkpointing": True},
    "sharded over 8, checkpointing": {"shards": 8, "checkpointing": True},
}
ANSWERING: Mapping[str, Mapping[str, Any]] = {"inference": {}, "streaming": {"streaming": True}}


@dataclass(frozen=True)
class _Needing:
    """A node with its way to be run and its need when run in another way."""

    node: Node
    how: How
    need: Callable[[How], Need]
    family: str

    @property
    def title(self) -> str:
        """What it is, whatever its arm, split and seed."""
        labels = self.node.labels
        return f"{self.node.kind} {labels.get('measurement') or labels['model']}/{labels['task']}"


def memory_plan(planned: Plan, devices: Sequence[str], tokens: int, room_gib: float | None = None) -> Json:
    """What a study needs, as plain data.

    Args:
        planned: the study's plan.
        devices: where it would run.
        tokens: sub-words in one forward pass.
        room_gib: plan for devices with so much memory instead of asking those that are here.
    """
    rooms = {device: _room(device, room_gib) for device in dict.fromkeys(devices)}
    rows: dict[tuple[str, str], tuple[int, int, _Needing]] = {}
    fullest: dict[tuple[str, bool, str], tuple[int, _Needing]] = {}
    for device in rooms:
        for each in _needing(planned, device, how_of(members(device)[0], tokens)):
            found, learns, labels = each.need(each.how), each.node.kind in TRAININGS, each.node.labels
            size, seen = found.resident, rows.get((device, each.title), (-1, 0, each))
            rows[device, each.title] = (max(size, seen[0]), seen[1] + 1, each if size > seen[0] else seen[2])
            place = (device, learns, str(labels.get("model") or labels["task"]))
            if place not in fullest or fullest[place][0] < size:
                fullest[place] = (size, each)
    nodes = [_row(each, device, rooms[device], count) for (device, _), (_, count, each) in rows.items()]
    ways = [way for (device, learns, _), (_, each) in fullest.items() for way in _ways(each, device, learns=learns)]
    there = {device: None if room is None else round(room / GIB, 1) for device, room in rooms.items()}
    return {"micro_batch_tokens": tokens, "free_gib": there, "nodes": nodes, "ways": ways}


def node_needs(planned: Plan, device: str, tokens: int) -> dict[str, int]:
    """Key -> bytes of the machine's memory that a node holds on this kind of device, where that is known."""
    on_card = device.startswith("cuda")
    found = {each.node.key: each.need(each.how) for each in _needing(planned, device, how_of(device, tokens))}
    return {key: need.host_bytes if on_card else need.resident for key, need in found.items()}


def _room(device: str, given: float | None) -> int | None:
    if given is not None:
        return int(given * GIB)
    return free_on_card(members(device)[0]) if device.startswith("cuda") else free_memory()


def _row(each: _Needing, device: str, room: int | None, count: int) -> Json:
    """The fullest of nodes that go by one title, whether it fits, and what would make it."""
    found = each.need(each.how)
    fits = None if room is None else found.resident <= room
    helps = _helps(each, room or 0) if fits is False else []
    said = {"fits": fits, "changes": [change.words for change in helps]}
    return {"node": each.title, "device": device, "nodes": count, **found.as_json(), **said}


def _helps(each: _Needing, room: int) -> list[Change]:
    learns, adapted = each.node.kind in TRAININGS, adapts(each.node, each.family)
    return cheapest(each.need, each.how, room, learns=learns, adapts=adapted)


def _ways(each: _Needing, device: str, *, learns: bool) -> Iterator[Json]:
    """What each way of running a node would take; text-to-text models have one."""
    for way, changed in (WAYS if learns else ANSWERING).items():
        if ("lora" in changed and not adapts(each.node, each.family)) or (changed and writes_text(each.node)):
            continue
        found = each.need(replace(each.how, **{"shards": 1, **changed}))
        note = PLANNED_ONLY if "small_moments" in changed else ""
        yield {"node": each.title, "device": device, "way": way, **found.as_json(), "note": note}


def _needing(planned: Plan, device: str, how: How) -> Iterator[_Needing]:
    sizes = {sha256: Path(path) for sha256, path in planned.files.items()}
    models: dict[str, Model] = {}
    for node in planned.graph:
        if node.kind not in HOLDING:
            continue
        model = _model_of(planned, node, models)

        def need(of: How, node: Node = node, model: Model = model) -> Need:
            found = needs(node, model, of, lambda sha256: sizes[sha256].stat().st_size)
            assert found is not None
            return found

        yield _Needing(node, in_group(how, node, len(members(device))), need, model.of.family)


def _model_of(planned: Plan, node: Node, known: dict[str, Model]) -> Model:
    """The model that a node holds, by way of the nodes before it; of several the largest."""
    if node.key not in known:
        known[node.key] = _find_model(planned, node, known)
    return known[node.key]


def _find_model(planned: Plan, node: Node, known: dict[str, Model]) -> Model:
    if node.kind == "pretrain":
        return made(node.spec["settings"])
    if node.kind == "random":
        words = [file["sha256"] for file in node.spec["tokenizer"] if file["name"] == "tokenizer.json"]
        size = sum(Path(planned.files[sha256]).stat().st_size for sha256 in words)
        return Model(dimensions(node.spec["config"]), size, converted=node.spec["dtype"] != "fp32")
    systems = node.spec.get("systems", ())
    bases = [of["base"] for of in systems] if systems else [node.spec.get("model")]
    found = [model_in(Path(planned.models[base])) for base in bases if base]
    roles = {role: key for role, key in node.parents.items() if role.partition(" ")[0] == "model"}
    found += [_made_by(planned, planned.graph.by_key[key], known) for key in roles.values()]
    return max(found, key=lambda model: model.of.parameters)


def _made_by(planned: Plan, node: Node, known: dict[str, Model]) -> Model:
    """The model that a node leaves: a training writes float32, a pruning drops layers."""
    model = _model_of(planned, node, known)
    if node.kind != "prune":
        return replace(model, converted=model.converted and node.kind == "random")
    kept, of = len(node.spec["layers"]), model.of
    fewer = of.parameters - (of.layers - kept) * of.layer_parameters
    return replace(model, of=replace(of, layers=kept, parameters=fewer))
