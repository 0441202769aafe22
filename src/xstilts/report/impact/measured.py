"""The finished measurements of a store as typed values: which systems ran on which load, and every value of every run.

Nothing is derived here (that is ``speed``) and nothing is left out: a run's passes and latencies are all there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xstilts.errors import MissingNameError
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.statistics.paired import Timed


@dataclass(frozen=True)
class Load:
    """The rows of one language as one system encodes them.

    Args:
        examples: rows of the task.
        sequences: what the encoder sees: windows of a long row are several.
        tokens: sub-words of all sequences, special ones too.
        flops: of one pass over all of them, by count of the matrix products; ``None`` where layers are shared.
    """

    examples: int
    sequences: int
    tokens: int
    flops: float | None


@dataclass(frozen=True)
class System:
    """What was measured: an arm of a model, its control or its sabotaged copy.

    Args:
        role: ``arm``, ``control`` or ``sabotaged``.
        of: the system it is compared with; ``None`` for that one itself.
        layer: of retrieval, the layer that is read: those above it are not run.
        seed: of the study: which of the arm's models this is.
        agreement: language -> share of the rows whose answer equals the scored prediction; ``None`` for retrieval.
    """

    name: str
    model: str
    arm: str
    role: str
    of: str | None
    layer: int | None
    num_layers: int
    seed: int | None
    parameters: int
    weight_bytes: int
    execution: str
    loads: Mapping[str, Load]
    agreement: Mapping[str, float] | None


@dataclass(frozen=True)
class Passes(Timed):
    """Offline passes over one language: seconds from text to answers, and the part of encoding and decoding in them."""

    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """One fresh process: one system, all scenarios. ``None`` stands for what was not asked for or not known."""

    block: int
    position: int
    system: str
    startup: Mapping[str, float]
    offline: Mapping[str, Passes] | None
    queries: Mapping[str, Timed] | None
    server: Mapping[str, Any] | None
    peak_bytes: int | None
    device_peak_bytes: int | None
    load_average: float | None
    other_cpu_share: float | None


@dataclass(frozen=True)
class Measured:
    """One finished node ``measure``: its settings, its systems by name, its runs in the order they ran."""

    key: str
    study: str
    name: str
    target: str
    split: str
    rows: int
    blocks: int
    margin: float | None
    slowdown: float
    scenarios: Mapping[str, Any]
    note: str
    device: Mapping[str, Any]
    matrix_peak: tuple[float, ...]
    systems: Mapping[str, System]
    runs: tuple[Run, ...]
    node: Node

    @property
    def title(self) -> str:
        """For people: ``small/arms: xnli, test``."""
        return f"{self.study}/{self.name}: {self.target}, {self.split}"

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the load, as declared."""
        return tuple(next(iter(self.systems.values())).loads)

    @property
    def arms(self) -> list[System]:
        """The systems that are an answer to a question: neither controls nor sabotaged ones."""
        return [s for s in self.systems.values() if s.role == "arm"]

    def runs_of(self, system: str) -> list[Run]:
        """The runs of one system, in the order they ran."""
        return [run for run in self.runs if run.system == system]


def measurements(store: Store, study: str | None = None) -> list[Measured]:
    """Every finished measurement of one study, or of all the store knows; one that several studies share comes once.

    Raises:
        MissingNameError: no such study.
        StoreError: a node is not what was committed; it names the node.
    """
    found = {
        cell["key"]: (name, cell) for name, cell in reversed(list(_planned(store, study))) if store.has(cell["key"])
    }
    return [_read(store, name, cell) for name, cell in reversed(found.values())]


def unfinished(store: Store, study: str | None = None) -> list[str]:
    """What was planned and is not measured yet: ``arms: xnli, test``."""
    return [
        f"{cell['measurement']}: {cell['target']}, {cell['split']}"
        for _, cell in _planned(store, study)
        if not store.has(cell["key"])
    ]


def _planned(store: Store, study: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    studies = store.studies()
    if study is not None and study not in studies:
        raise MissingNameError("study", study, list(studies), where=str(store.root))
    for name, payload in studies.items():
        if study in (None, name):
            yield from ((name, cell) for cell in payload.get("measurements", ()))


def _read(store: Store, study: str, cell: Mapping[str, Any]) -> Measured:
    key = cell["key"]
    store.verify_once(key)
    found = read_folder(store.path(key), Node.from_json(store.record(key)), study)
    return replace(found, name=cell["measurement"])  # the record has the name of the study that made it


def read_folder(folder: Path, node: Node, study: str = "") -> Measured:
    """The measurement that ``node`` left in ``folder``."""
    said = json.loads((folder / "measurement.json").read_text(encoding="utf-8"))
    return Measured(
        key=node.key,
        study=study,
        name=said["measurement"],
        target=said["target"],
        split=said["split"],
        rows=said["rows"],
        blocks=said["blocks"],
        margin=said["margin"],
        slowdown=said["slowdown"],
        scenarios=said["scenarios"],
        note=said["note"],
        device=said["device"],
        matrix_peak=tuple(said["matrix_peak_flops_per_s"]),
        systems={name: _system(name, of) for name, of in said["systems"].items()},
        runs=tuple(_runs(folder / "runs.jsonl")),
        node=node,
    )


def as_recorded(folder: Path) -> dict[str, Any]:
    """Both files of a measurement as plain data: ``measurement.json`` with its ``runs``."""
    said: dict[str, Any] = json.loads((folder / "measurement.json").read_text(encoding="utf-8"))
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    return {**said, "runs": [json.loads(line) for line in lines]}


def _system(name: str, said: Mapping[str, Any]) -> System:
    return System(
        name=name,
        loads={
            language: Load(of["examples"], of["sequences"], of["tokens"], of["flops"])
            for language, of in said["loads"].items()
        },
        **{
            field: said[field]
            for field in ("model", "arm", "role", "of", "layer", "num_layers", "seed", "parameters", "weight_bytes")
        },
        execution=said["execution"],
        agreement=said["agreement"],
    )


def _runs(file: Path) -> Iterator[Run]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            said = json.loads(line)
            offline, stream, memory = said["offline"], said["single_stream"], said["memory"]
            yield Run(
                block=said["block"],
                position=said["position"],
                system=said["system"],
                startup=said["startup"],
                offline=offline and {language: _passes(of) for language, of in offline.items()},
                queries=stream and {language: _queries(of) for language, of in stream.items()},
                server=said["server"],
                peak_bytes=memory["peak_bytes"],
                device_peak_bytes=memory["device_peak_bytes"],
                load_average=said["load_average"],
                other_cpu_share=said["other_cpu_share"],
            )


def _passes(said: Mapping[str, Any]) -> Passes:
    return Passes(tuple(said["seconds"]), tuple(said["turns"]), tuple(said["encode_s"]), tuple(said["decode_s"]))


def _queries(said: Mapping[str, Any]) -> Timed:
    return Timed(tuple(said["latencies_s"]), tuple(said["turns"]))
