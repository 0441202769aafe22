"""Which workers a cluster of machines holds, and which node may run where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from xstilts.device import members
from xstilts.errors import XstiltsError
from xstilts.graph.engine import Place
from xstilts.graph.node import LIGHT, Node, Resources


@dataclass(frozen=True)
class Machine:
    """A machine of a cluster.

    Args:
        id: the cluster's name of it.
        host: its name for people.
        cpus: CPUs that it offers.
        gpus: GPUs that it offers.
        memory_bytes: memory that it offers.
    """

    id: str
    host: str
    cpus: int
    gpus: int
    memory_bytes: int


def spread(machines: Sequence[Machine], devices: Sequence[str], threads: int | None, common: Resources) -> list[Place]:
    """The workers that fit on the machines.

    On each machine as many with a CPU alone as ``devices`` names ``cpu``, as on one machine; where it names ``cuda``, one for
    each GPU instead, and one beside them for nodes that load no model. A machine that is too small holds fewer.

    Args:
        machines: what there is.
        devices: ``cpu`` or ``cuda``, as often as wanted.
        threads: CPU threads of each worker; ``None`` for those of the smallest machine, shared evenly.
        common: everything else that workers run with.

    Raises:
        XstiltsError: no machine holds one, or a device is a group.
    """
    if group := next((device for device in devices if len(members(device)) > 1), ""):
        raise XstiltsError(
            f"{group!r} is several devices of this machine, and a worker of a cluster has one", where="--device"
        )
    on_cards = any(device.startswith("cuda") for device in devices)
    useful = [m for m in machines if m.cpus and (m.gpus or not on_cards)]
    if not useful:
        there = ", ".join(f"{m.host}: {m.cpus} CPUs, {m.gpus} GPUs" for m in machines) or "none"
        raise XstiltsError(
            f"no machine of the cluster has {'a GPU' if on_cards else 'a CPU'}; there are: {there}", where="--device"
        )
    share = threads or min(max(1, m.cpus // (m.gpus if on_cards else len(devices))) for m in useful)
    device = "cuda:0" if on_cards else "cpu"  # a worker sees its own GPU only
    resources = replace(common, device=device, threads=share, cores=share)
    found: list[Place] = []
    for machine in useful:
        fits = machine.cpus // share
        heavy = min(fits, machine.gpus if on_cards else len(devices))
        light = on_cards and fits > heavy
        part = machine.memory_bytes // max(1, heavy + light)
        found += [Place(resources, part, machine=machine.id)] * heavy
        found += [Place(replace(resources, device="cpu"), part, light=True, machine=machine.id)] * light
    if not any(not place.light for place in found):
        largest = max(m.cpus for m in useful)
        raise XstiltsError(f"a worker wants {share} CPUs, and no machine has more than {largest}", where="--threads")
    return found


def placing(places: Sequence[Place], needs: Mapping[str, int]) -> Callable[[int, Node], bool]:
    """Which node may run at which place, by its number.

    A node goes where there is memory for it; one too large for all, to the roomiest, which refuses it in words. Nodes that
    load no model leave the others' places alone where there are places for them.

    Args:
        places: where workers run.
        needs: key -> bytes that the node holds, where that is known.
    """
    apart = any(place.light for place in places)
    rooms = [float("inf") if place.memory_bytes is None else place.memory_bytes for place in places]

    def may(number: int, node: Node) -> bool:
        if apart and places[number].light != (node.kind in LIGHT):
            return False
        roomiest = max(room for place, room in zip(places, rooms, strict=True) if place.light == places[number].light)
        return rooms[number] >= min(needs.get(node.key, 0), roomiest)

    return may
