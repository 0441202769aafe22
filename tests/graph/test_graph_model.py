"""The store against a model of it: claims, commits, takeovers, zombies that finish late, deaths, in any order."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crashing import Dead, dying_at
from drivers import NODES, Driver, checkpoints, save, simulated, write
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from xstilts.errors import StoreError
from xstilts.graph.claim import Claim, ClaimLostError, NodeBusyError
from xstilts.graph.clean import removable, remove
from xstilts.graph.node import Node
from xstilts.graph.store import Store


@dataclass
class Expected:
    """What the model knows of a node."""

    content: str | None = None
    holder: Driver | None = None
    written: str | None = None
    saved: set[str] = field(default_factory=set)


class StoreMachine(RuleBasedStateMachine):
    """Drivers that claim, write, commit, fail and die, in any order, on one store."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.simulation = simulated()
        self.simulation.__enter__()
        self.drivers = [Driver(self.root) for _ in range(2)]
        self.zombies: list[Driver] = []
        self.expected = {n.key: Expected() for n in NODES}
        self.texts = iter(range(10**6))

    @initialize()
    def record(self) -> None:
        self.drivers[0].acts().save_study("s", {"nodes": [n.as_json() for n in NODES[:2]]})

    def teardown(self) -> None:
        self.simulation.__exit__(None, None, None)
        shutil.rmtree(self.root)

    def busy(self, of: Expected) -> bool:
        return of.holder is not None and of.holder.pid in Driver.living

    @rule(who=st.integers(0, 1), which=st.sampled_from(NODES), dies=st.none() | st.integers(0, 14))
    def begin(self, who: int, which: Node, dies: int | None) -> None:
        driver, of = self.drivers[who], self.expected[which.key]
        store = driver.acts()
        if of.content is not None or self.busy(of):
            with pytest.raises(NodeBusyError if of.content is None else StoreError):
                store.begin(which)
            return
        try:
            with dying_at(dies):
                out = driver.begin(which)
        except Dead:
            self.bury(who)
            self.look(which)
            return
        of.holder, of.written = driver, None
        assert list(out.iterdir()) == []
        found = Claim.of(out).checkpoints
        assert ({p.name for p in found.iterdir()} if found.exists() else set()) == of.saved
        self.written(driver, which)

    @rule(who=st.integers(0, 1), which=st.sampled_from(NODES))
    def write(self, who: int, which: Node) -> None:
        self.written(self.drivers[who], which)

    def written(self, driver: Driver, which: Node) -> None:
        of = self.expected[which.key]
        if (out := driver.outs.get(which.key)) is not None:
            text = f"{next(self.texts)}"
            write(out, text)
            save(driver.claims[which.key], f"step-{text}")
            if of.holder is driver:
                of.written = text
                of.saved.add(f"step-{text}")

    @rule(who=st.integers(0, 1), which=st.sampled_from(NODES), dies=st.none() | st.integers(0, 40))
    def commit(self, who: int, which: Node, dies: int | None) -> None:
        driver = self.drivers[who]
        if which.key not in driver.outs:
            return
        try:
            with dying_at(dies):
                self.committed(driver, which)
        except Dead:
            self.bury(who)
            self.look(which)

    def committed(self, driver: Driver, which: Node) -> None:
        of = self.expected[which.key]
        if of.holder is not driver:
            with pytest.raises(ClaimLostError):
                driver.acts().commit(which, driver.outs[which.key], {})
            return
        driver.acts().commit(which, driver.outs[which.key], {})
        del driver.outs[which.key]
        self.expected[which.key] = Expected(content=of.written or "")

    @rule(who=st.integers(0, 1), which=st.sampled_from(NODES), fails=st.booleans(), dies=st.none() | st.integers(0, 9))
    def give_up(self, who: int, which: Node, fails: bool, dies: int | None) -> None:
        driver, of = self.drivers[who], self.expected[which.key]
        if which.key not in driver.outs:
            return
        store = driver.acts()
        try:
            with dying_at(dies):
                if fails:
                    store.fail(which, RuntimeError("no"))
                else:
                    store.release(which.key)
        except Dead:
            self.bury(who)
            self.look(which)
            return
        except ClaimLostError:
            assert of.holder is not driver
            return
        del driver.outs[which.key]
        if of.holder is driver:
            of.holder = of.written = None

    @rule(who=st.integers(0, 1))
    def die(self, who: int) -> None:
        self.bury(who)

    def bury(self, who: int) -> None:
        self.drivers[who].die()
        self.zombies.append(self.drivers[who])
        self.drivers[who] = Driver(self.root)

    @precondition(lambda self: self.zombies)
    @rule(data=st.data(), which=st.sampled_from(NODES))
    def zombie(self, data: st.DataObject, which: Node) -> None:
        """One that was taken for dead goes on: it writes, and then it finishes."""
        zombie = data.draw(st.sampled_from(self.zombies))
        if which.key in zombie.outs:
            self.written(zombie, which)
            self.committed(zombie, which)

    @rule(who=st.integers(0, 1))
    def tidy_and_clean(self, who: int) -> None:
        store = self.drivers[who].acts()
        store.tidy()
        items = removable(store)
        remove(store, items)
        for which in NODES:
            of, planned = self.expected[which.key], which is not NODES[2]
            if of.content is None and not self.busy(of) and not (planned and of.saved):
                self.expected[which.key] = Expected()
            elif of.content is not None and not planned:
                assert which.key in {i.key for i in items}
                self.expected[which.key] = Expected()

    def look(self, which: Node) -> None:
        """Who died may have done the last thing or not: both are right, nothing in between is."""
        store, of = self.drivers[0].store, self.expected[which.key]
        if store.has(which.key):
            self.expected[which.key] = Expected(content=of.written or "")
            return
        if store.leases.owner(which.key) is None or (of.holder and of.holder.pid in Driver.living):
            of.holder = None
        assert of.saved <= checkpoints(store, which.key)

    @invariant()
    def finished_nodes_are_whole(self) -> None:
        store = Store(self.root)
        assert set(store) == {key for key, of in self.expected.items() if of.content is not None}
        for key in store:
            store.verify(key)
            text = self.expected[key].content
            found = store.path(key) / "deep" / "result.txt"
            assert (found.read_text() if found.exists() else "") == text


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=60, stateful_step_count=40, suppress_health_check=list(HealthCheck), derandomize=True
)
