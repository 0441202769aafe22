"""A store of a study with retries, whose nodes hold made-up scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_world import fake_model, tiny_data, write_study
from xstilts import journey
from xstilts.graph.node import Graph, Node
from xstilts.graph.run import Summary
from xstilts.graph.schedule import demanded
from xstilts.graph.store import Store
from xstilts.plan import Plan
from xstilts.plan.retries import run_with_retries

Status = Callable[[Node], str]
ONCE: dict[str, Any] = {"collapsed": 1}
FIELDS: dict[str, Any] = {
    "name": "s",
    "arms": {"none": {}, "mnli": {"intermediate": "mnli"}},
    "targets": ["xnli", "pawsx", "tatoeba"],
    "seeds": [1, 2],
    "precision": "fp32",
    "retries": ONCE,
}
MEASURED: dict[str, Any] = {"m": {"targets": ["pawsx"], "rows": 4}}


class World:
    """A store whose nodes hold made-up scores; ``ran`` are the titles of those that were computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "store")
        self.ran: list[str] = []
        self.rows = 24
        self.only: str | None = None
        self.broken: str | None = None

    def plan(self, **changes: Any) -> Plan:
        raw = {**FIELDS, "models": {"m": {"path": str(fake_model(self.folder / "model"))}}, **changes}
        return journey.plan_study(write_study(self.folder, raw), tiny_data(), self.store)

    def run(self, planned: Plan, status: Status) -> tuple[Plan, Summary]:
        def compute(graph: Graph, wanted: set[str]) -> Summary:
            pending, found = demanded(graph, self.store.has, wanted)
            failed: dict[str, str] = {}
            blocked: dict[str, str] = {}
            for key, node in pending.items():
                stopped = (failed.keys() | blocked.keys()) & set(node.parents.values())
                if node.title == self.broken:
                    failed[key] = "broken"
                elif stopped:
                    blocked[key] = next(iter(failed))
                else:
                    self.commit(node, status)
            done = frozenset(pending.keys() - failed.keys() - blocked.keys())
            return Summary(found, done, failed=failed, blocked=blocked)

        return run_with_retries(planned, self.store, compute)

    def commit(self, node: Node, status: Status) -> None:
        out = self.store.begin(node)
        if node.kind == "score":
            said = status(node)
            row = {"metric": "accuracy", "value": 50.0, "count": self.rows, "layer": None, "pooling": None}
            row |= {"selection": None, "main": True, "status": said}
            scores = [{"language": language, **row} for language in node.spec["languages"]]
            for other in scores:  # where one language is said, the others have no part in it
                other["status"] = said if self.only in (None, other["language"]) else "ok"
            if said == "test":  # nobody may read it
                (out / "scores.json").write_text("not JSON", encoding="utf-8")
            else:
                (out / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
        self.store.commit(node, out, {})
        self.ran.append(node.title)
