"""Processes that drive one store, all played by the one that tests: they die, and some go on after their death."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from toy_graph import found, node

from xstilts.graph import owner as owners
from xstilts.graph.claim import CHECKPOINTS, Claim, ClaimLostError
from xstilts.graph.heartbeat import Heartbeat
from xstilts.graph.node import Node
from xstilts.graph.owner import Owner
from xstilts.graph.store import Store

PARENT = node("train", "t")
NODES = (PARENT, node("predict", "p", PARENT), node("train", "u"))


class Driver:
    """A process that drives the store; it may die, and a dead one may act all the same (a zombie)."""

    living: frozenset[int] = frozenset()
    acting = 0
    count = 0

    def __init__(self, root: Path) -> None:
        Driver.count += 1
        self.pid = Driver.count
        Driver.living |= {self.pid}
        self.store = Store(root)
        self.outs: dict[str, Path] = {}
        self.claims: dict[str, Claim] = {}

    def begin(self, which: Node) -> Path:
        """As ``Store.begin``."""
        out = self.outs[which.key] = self.acts().begin(which)
        self.claims[which.key] = Claim.of(out)
        return out

    def die(self) -> None:
        """For all others it is gone."""
        Driver.living -= {self.pid}

    def acts(self) -> Store:
        """What this process does next, it does with its own process number."""
        Driver.acting = self.pid
        return self.store


@contextmanager
def simulated() -> Iterator[None]:
    """Process numbers are those of ``Driver``; no sign of life is sent."""

    def here(writers: Sequence[int] = (), node: Mapping[str, Any] | None = None) -> Owner:
        name = f"{Driver.acting}-{next(numbers)}"
        return Owner(name, "host", owners.machine(), Driver.acting, {str(Driver.acting): "born"}, dict(node or {}))

    numbers = iter(range(10**6))
    birth: Callable[[int], str | None] = lambda pid: "born" if pid in Driver.living else None  # noqa: E731
    with (
        patch.object(Owner, "here", here),
        patch.object(owners, "birth", birth),
        patch.object(Heartbeat, "start", lambda self, path: None),
    ):
        yield


def write(out: Path, text: str) -> None:
    """What a worker does, a zombie's as well: it makes the folders that it needs."""
    (out / "deep").mkdir(parents=True, exist_ok=True)
    (out / "deep" / "result.txt").write_text(text)


def save(claim: Claim, name: str) -> None:
    """A checkpoint, as a training writes it."""
    with suppress(ClaimLostError), claim.held():
        (claim.checkpoints / name).mkdir(parents=True, exist_ok=True)


def checkpoints(store: Store, key: str) -> set[str]:
    """Names of those that some attempt left."""
    return {p.name for p in found(store.work(key), f"*/*/{CHECKPOINTS}/*")}
