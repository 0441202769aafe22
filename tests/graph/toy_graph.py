"""Graphs of toy nodes, and what the tests ask of a store."""

import glob
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from xstilts.graph.events import Event
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Graph, Node, Resources
from xstilts.graph.run import Summary, run
from xstilts.graph.store import Store

WORKER = [sys.executable, str(Path(__file__).with_name("toy_worker.py"))]


def node(kind: str, text: str, *parents: Node, **spec: Any) -> Node:
    roles = {f"from{i}": parent.key for i, parent in enumerate(parents)}
    return Node(kind, {"text": text, **spec}, roles, {"task": text})


def tree(trainings: int = 2, predictions: int = 3, **spec: Any) -> Graph:
    """Trainings, the predictions of each, and a score of each prediction; listed kind by kind."""
    trained = [node("train", f"t{i}", **spec) for i in range(trainings)]
    predicted = [node("predict", f"p{j}", t, **spec) for t in trained for j in range(predictions)]
    return Graph("tree", (*trained, *predicted, *(node("score", "s", p) for p in predicted)))


def go(
    graph: Graph,
    store: Store,
    slots: int = 1,
    events: list[Event] | None = None,
    keep_going: bool = True,
    wanted: Collection[str] | None = None,
    command: Sequence[str] = WORKER,
    device: str = "cpu",
) -> Summary:
    listen = events.append if events is not None else lambda event: None
    resources = [Resources(threads=1, device=device)] * slots
    engine = LocalEngine(resources, command)
    return run(graph, store, engine, listen=listen, keep_going=keep_going, wanted=wanted)


def contents(store: Store) -> dict[str, dict[str, str]]:
    """Key -> relative path -> digest of every output, of a store in which every node verifies."""
    for key in store:
        store.verify(key)
    return {k: {n: f["sha256"] for n, f in store.files(k).items() if n != "node.json"} for k in store}


def leftovers(store: Store) -> list[str]:
    """What a clean store does not have: work folders and half-written files."""
    return [*store.claims(), *(p.name for p in store.root.glob("**/*.aside"))]


def found(folder: Path, pattern: str) -> list[Path]:
    """What is there now, of files that come and go: ``Path.glob`` stops at a folder that goes when it looks into it."""
    return [folder / name for name in glob.glob(pattern, root_dir=folder)]  # noqa: PTH207


def owner_file(store: Store, key: str) -> Path:
    """Where it is written who works on the node."""
    return max(store.work(key).glob("*/owner.json"))


def rewrite_owner(store: Store, key: str, **fields: Any) -> None:
    """Let the holder of a node be another one than it is."""
    path = owner_file(store, key)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def die(store: Store, key: str) -> None:
    """The processes of the node's holder are dead from now on."""
    rewrite_owner(store, key, births={"1": "an earlier process"})
