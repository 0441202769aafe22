"""Whoever dies between two system calls, the next one finishes the node: every call of every act on a claim is tried."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crashing import Dead, dying_at
from drivers import PARENT, Driver, checkpoints, save, simulated, write

from xstilts.graph.claim import Claim, ClaimLostError
from xstilts.graph.store import Store


def begin(driver: Driver) -> None:
    driver.begin(PARENT)


def commit(driver: Driver) -> None:
    driver.acts().commit(PARENT, driver.outs[PARENT.key], {})


def fail(driver: Driver) -> None:
    driver.acts().fail(PARENT, RuntimeError("no"))


def release(driver: Driver) -> None:
    driver.acts().release(PARENT.key)


def deaths(act: Callable[[Driver], None], make: Callable[[Path], Driver]) -> Iterator[tuple[Driver, Driver, int]]:
    """(who died, another one, at which call) for every call that ``act`` makes."""
    died = True
    last = 0
    while died:
        root = Path(tempfile.mkdtemp())
        try:
            with simulated():
                driver = make(root)
                died = False
                try:
                    with dying_at(last):
                        act(driver)
                except Dead:
                    died = True
                driver.die()
                yield driver, Driver(root), last
        finally:
            shutil.rmtree(root)
        last += 1


def with_claim(root: Path) -> Driver:
    driver = Driver(root)
    begin(driver)
    write(driver.outs[PARENT.key], "first")
    save(driver.claims[PARENT.key], "step-1")
    return driver


def after_a_death(root: Path) -> Driver:
    with_claim(root).die()
    return Driver(root)


@pytest.mark.parametrize(
    ("act", "make", "least"),
    [
        (begin, Driver, 5),
        (begin, after_a_death, 9),
        (commit, with_claim, 15),
        (fail, with_claim, 6),
        (release, with_claim, 4),
    ],
    ids=["begin", "take over", "commit", "fail", "release"],
)
def test_whoever_dies_between_two_calls_the_next_one_finishes_the_node(
    act: Callable[[Driver], None], make: Callable[[Path], Driver], least: int
) -> None:
    for died, other, last in deaths(act, make):
        store = other.acts()
        if store.has(PARENT.key):
            assert act is commit
        else:
            if make is not Driver:
                assert checkpoints(store, PARENT.key) == {"step-1"}, f"lost at call {last}"
            begin(other)
            assert list(other.outs[PARENT.key].iterdir()) == []
            if make is not Driver:
                assert [p.name for p in Claim.of(other.outs[PARENT.key]).checkpoints.iterdir()] == ["step-1"]
            if PARENT.key in died.outs:  # it was not dead after all
                write(died.outs[PARENT.key], "late")
                with pytest.raises(ClaimLostError):
                    commit(died)
            write(other.outs[PARENT.key], "second")
            commit(other)
            assert (store.path(PARENT.key) / "deep" / "result.txt").read_text() == "second"
        Store(store.root).verify(PARENT.key)
        store.tidy()
        assert store.leases.folders() == []
    assert last >= least, "that many calls were tried"
