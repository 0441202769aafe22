"""Readers of what was written before: a store, ledgers, records of results and of measurements, a model's cards."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trying import Reader

from xstilts.exporting.licences import licence_of
from xstilts.graph import clean
from xstilts.graph.claim import content
from xstilts.graph.digests import Digests
from xstilts.graph.disk import guarded
from xstilts.graph.node import Node
from xstilts.graph.overview import Overview
from xstilts.graph.owner import Owner
from xstilts.graph.status import why
from xstilts.graph.store import Store
from xstilts.hub.landing import tidy
from xstilts.hub.ledger import Ledger as HubLedger
from xstilts.hub.ledger import Origin, load_ledger, save_ledger
from xstilts.journey import studies
from xstilts.metrics.additive import Contributions
from xstilts.metrics.kept import read_contributions, write_contributions
from xstilts.published.numbers import load_published
from xstilts.published.own import NEEDED, from_records
from xstilts.report.results import result_rows
from xstilts.scoring import write_rows
from xstilts.translation.engine import Translation
from xstilts.translation.ledger import Ledger

FIRST = Node(
    "train", {"task": "xnli", "training": {"selection": "dev"}}, {}, {"model": "m", "arm": "none", "task": "xnli"}
)
SECOND = Node("predict", {"task": "xnli"}, {"model": FIRST.key}, {"model": "m", "arm": "none", "task": "xnli"})
SCORE = Node("score", {"task": "xnli"}, {"predictions": SECOND.key}, {"model": "m", "arm": "none", "task": "xnli"})
BROKEN = Node("score", {"task": "panx"}, {"predictions": SECOND.key}, {"task": "panx"})
ROW = {"language": "en", "metric": "accuracy", "value": 50.0, "count": 4, "layer": None, "pooling": None}
ROW |= {"selection": None, "status": "ok", "main": True}


def _store(root: Path) -> Store:
    store = Store(root)
    cells = [{"key": SCORE.key, "model": "m", "arm": "none", "target": "xnli", "split": "test", "seed": 1}]
    study = {"name": "s", "arms": {"none": {"intermediate": None}}, "models": {"m": {}}, "source": "en"}
    nodes = [node.as_json() for node in (FIRST, SECOND, SCORE, BROKEN)]
    store.save_study("s", {"study": study, "nodes": nodes, "cells": cells, "targets": {}})
    for node in (FIRST, SECOND, SCORE):
        out = store.begin(node)
        if node is SCORE:
            (out / "scores.json").write_text(json.dumps([ROW]))
        else:
            write_rows(out / "outputs" / "en.jsonl", [{"label": "neutral"}])
        store.commit(node, out, {"seconds": 1.0})
    store.begin(BROKEN)
    store.fail(BROKEN, ValueError("no"))
    return store


def _files(make: Callable[[Path], object]) -> dict[str, bytes]:
    """What ``make`` writes into a folder."""
    with tempfile.TemporaryDirectory() as home:
        make(Path(home))
        paths = [p for p in sorted(Path(home).rglob("*")) if p.is_file() and p.name != ".lock"]
        return {str(p.relative_to(home)): p.read_bytes() for p in paths}


def _use_store(folder: Path) -> None:
    store = Store(folder)
    Overview(store).look(studies(store, None))
    for key in (SCORE.key, BROKEN.key):
        why(store, key[:12])
    for key in store:
        store.verify(key)
    clean.removable(store)
    result_rows(store)


def stores() -> Iterator[Reader]:
    """Every kind of file of a store."""
    files = _files(_store)
    home = f"nodes/{SCORE.key[:2]}/{SCORE.key}"
    named = {
        "study": "studies/s.json",
        "node.json": f"{home}/node.json",
        "files.json": f"{home}/files.json",
        "scores": f"{home}/scores.json",
        "failure": f"failed/{BROKEN.key}.json",
    }
    for name, at in named.items():
        yield Reader(f"store: {name}", files, _use_store, change=(at,))
    owner = json.dumps(Owner.here().as_json()).encode()
    yield Reader("store: owner", {"owner.json": owner}, _owner, weight=0.5)
    digests = json.dumps({str(Path("x").resolve()): [1, 2, 3, "00"]}).encode()
    yield Reader("store: digests", {"digests.json": digests, "x": b"x"}, _digests, change=("digests.json",), weight=0.5)


def _owner(folder: Path) -> None:
    with guarded(folder / "owner.json", folder):
        found = Owner.parse(content(folder / "owner.json"))
    assert found is None or found.state in ("live", "dead", "unknown")


def _digests(folder: Path) -> None:
    assert len(Digests(folder / "digests.json").digest(folder / "x")) == 64


ORIGIN = Origin(path="a/x.tsv", dataset="d", config=None, split="train", revision="0" * 40, rows=3, sha256="1" * 64)
HUB = HubLedger(datasets={"d@main": "0" * 40}, files={"a/x.tsv": ORIGIN}, coming={"b": ORIGIN})


def _hub(folder: Path) -> None:
    ledger = load_ledger(folder)
    ledger.used({"1" * 64})
    tidy(folder)


def _translations(folder: Path) -> None:
    with Ledger(folder / "t.jsonl", {"engine": "x", "rows": "00"}) as ledger:
        assert all(isinstance(number, int) for number in ledger.done)


def _begun(folder: Path) -> None:
    with Ledger(folder / "t.jsonl", {"engine": "x", "rows": "00"}) as ledger:
        ledger.add([(k, Translation(f"text {k}", 0, True)) for k in range(3)])


RESULT: Mapping[str, Any] = {**dict.fromkeys(NEEDED), "model": "m", "arm": "none", "target": "xnli", "language": "en"}
RESULTS = [{**RESULT, "split": "test", "seed": s, "metric": "accuracy", "value": 50.0, "count": 4} for s in (1, 2)]


def _results(name: str, folder: Path) -> None:
    own = from_records(folder / name, load_published())
    for place in own.places():
        own.main(*place)


def _contributions(folder: Path) -> None:
    found = read_contributions(folder / "en.npz")
    found.sums()


def _card(folder: Path) -> None:
    licence_of([], {"path": str(folder)})


def records() -> Iterator[Reader]:
    """Files beside a store."""
    yield Reader("hub.json", _files(lambda f: save_ledger(f, HUB)), _hub, change=("hub.json",), fresh=True)
    yield Reader("ledger of a translation", _files(_begun), _translations, fresh=True)
    lines = "".join(json.dumps(row) + "\n" for row in RESULTS).encode()
    yield Reader("record of results: lines", {"r.jsonl": lines}, partial(_results, "r.jsonl"))
    yield Reader("record of results: list", {"r.json": json.dumps(RESULTS).encode()}, partial(_results, "r.json"))
    kept = Contributions({"right": [1.0, 0.0, 1.0]}, ["a", "b", "c"])
    yield Reader("what rows give to a score", _files(lambda f: write_contributions(f / "en.npz", kept)), _contributions)
    card = b"---\nlicense: mit\ntags: [a, b]\n---\n# A model\n"
    yield Reader("card of a model", {"README.md": card}, _card, weight=0.5)


def readers() -> list[Reader]:
    """All of them."""
    return [*stores(), *records()]
