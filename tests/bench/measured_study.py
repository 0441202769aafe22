"""The smallest study with measurements: arms with a margin, and layers of retrieval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Self

from tiny_world import tiny_study
from xstilts.bench import once
from xstilts.bench.request import Request

SHORT = {"offline": {"min_seconds": 0.001, "min_passes": 2}, "single_stream": {"min_seconds": 0.001, "min_queries": 5}}
ARMS = {"targets": ["pawsx"], "languages": ["en", "de"], "rows": 4, "blocks": 3, "margin": 0.5, "scenarios": SHORT}
LAYERS = {
    "targets": ["tatoeba"],
    "languages": ["de"],
    "rows": 3,
    "blocks": 1,
    "layers": ["last", "fixed", "calibrated"],
    "warmup_seconds": 0.001,
    "scenarios": SHORT,
}


def measured_study(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"targets": ["pawsx", "tatoeba"], "splits": ["test"]}
    fields["measurements"] = {"arms": {**ARMS, "warmup_seconds": 0.001}, "layers": LAYERS}
    return tiny_study(**{**fields, **changes})


class LocalSession(once.Subject):
    """A session without a process of its own: what is recorded is the same, what is warm is not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def sessions_here(asked: list[Request]) -> Callable[[Request], LocalSession]:
    """Opens local sessions and notes what was asked."""

    def opened(request: Request) -> LocalSession:
        asked.append(request)
        return LocalSession(asdict(request))

    return opened
