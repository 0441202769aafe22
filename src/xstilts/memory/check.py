"""Asked before a node runs: does it fit? A machine that kills the process after hours says less than this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from xstilts.errors import MemoryNeedError, ModelError
from xstilts.graph.node import Node, Resources
from xstilts.memory.advice import cheapest
from xstilts.memory.dimensions import dimensions, stored_as_float32
from xstilts.memory.estimate import How
from xstilts.memory.need import WIDENED, Need, gib
from xstilts.memory.nodes import HOLDING, TRAININGS, Model, adapts, how_of, in_group, made, needs
from xstilts.memory.room import free_memory, free_on_card, own_memory
from xstilts.model_source import STREAMED_FAMILIES, config_of

GO_ON = "--no-memory-check runs it all the same"


def model_in(folder: Path) -> Model:
    """What a model's folder says of its memory.

    Raises:
        ModelError: config.json lacks a size.
    """
    config = config_of(folder)
    words = folder / "tokenizer.json"
    size = words.stat().st_size if words.is_file() else 0
    return Model(dimensions(config, folder), size, converted=not stored_as_float32(folder))


def _largest(node: Node, parents: Mapping[str, Path], resources: Resources) -> Model | None:
    """The largest model that the node holds, as its folder tells; ``None`` where none is held."""
    if node.kind == "pretrain":
        return made(node.spec["settings"])
    systems = node.spec.get("systems", ())
    bases = [of["base"] for of in systems] if systems else [node.spec.get("model")]
    folders = [Path(resources.models[base]) for base in bases if base]
    folders += [folder / "model" for role, folder in parents.items() if role.partition(" ")[0] == "model"]
    return max(map(model_in, folders), key=lambda model: model.of.parameters, default=None)


def _size(resources: Resources, sha256: str) -> int:
    """Bytes of an input file; 0 for one that is gone, which who reads it says better."""
    try:
        return resources.path(sha256).stat().st_size
    except (KeyError, OSError):
        return 0


def _may_be_streamed(node: Node, model: Model, resources: Resources) -> bool:
    """Whether the weights stay in their files where they do not fit; what streaming needs is then checked by itself."""
    answers = node.kind in ("predict", "retrieve") and resources.stream != "never"
    return answers and model.of.family in STREAMED_FAMILIES


def check_room(node: Node, parents: Mapping[str, Path], resources: Resources) -> None:
    """Refuse a node that would not fit, before anything is loaded.

    Args:
        node: about to run.
        parents: role -> folder of a finished node.
        resources: the device, and where input files lie.

    Raises:
        MemoryNeedError: it needs more than there is; the message names the largest part and the cheapest change.
    """
    if node.kind not in HOLDING or not resources.memory_check:
        return
    try:
        model = _largest(node, parents, resources)
    except (ModelError, OSError, ValueError):
        return  # what is wrong with the folder is said better by who loads it
    if model is None or _may_be_streamed(node, model, resources):
        return
    how = how_of(resources.device, resources.micro_batch_tokens, checkpointing=resources.gradient_checkpointing)
    how = in_group(how, node, resources.processes)

    def need(of: How) -> Need:
        found = needs(node, model, of, partial(_size, resources))
        return Need({"nothing": {}}) if found is None else found

    on_card = how.device == "cuda"
    room = free_on_card(resources.device) if on_card else free_memory() + own_memory()
    if room is not None:
        refuse(
            node.title,
            need,
            how,
            room,
            resources.device,
            learns=node.kind in TRAININGS,
            adapts=adapts(node, model.of.family),
        )
    if on_card and (host := need(how).host_bytes) > (there := free_memory() + own_memory()):
        raise MemoryNeedError(f"{node.title} needs {gib(host)} on the host, and {gib(there)} are free", hint=GO_ON)


def refuse(
    title: str, need: Callable[[How], Need], how: How, room: int, device: str, *, learns: bool, adapts: bool
) -> None:
    """Raise ``MemoryNeedError`` if what is needed is more than ``room`` bytes."""
    found = need(how)
    # What lies in the file can be taken back, but a model that is read again for every batch is no way to compute.
    if found.resident <= room:
        return
    parts: Mapping[str, int] = {
        **found.parts,
        **({} if WIDENED in found.parts else {"weights in their file": found.mapped}),
    }
    held = ", ".join(f"{name} {gib(size)}" for name, size in sorted(parts.items(), key=lambda p: -p[1]) if size)
    helps = [f"would fit: {change.words}" for change in cheapest(need, how, room, learns=learns, adapts=adapts)]
    raise MemoryNeedError(
        f"{title} needs {gib(found.resident)} on {device}, and {gib(room)} are free; "
        f"the largest part is {max(parts, key=lambda name: parts[name])} (at its fullest, {found.fullest}: {held})",
        hint="\n  ".join([*helps, GO_ON]),
    )
