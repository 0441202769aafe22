"""Run what is missing of a graph: one persistent worker per place of an engine, every finished node kept.

The driver may die at any time. It only ever takes nodes that appeared whole in the store, so the same command goes on
where the last one stopped.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import FrameType

from xstilts.errors import XstiltsError
from xstilts.graph.engine import Engine
from xstilts.graph.events import Event, NodeSetAside, RunStarted
from xstilts.graph.integrity import Damage, set_damaged_aside
from xstilts.graph.node import ALONE, Graph, Node
from xstilts.graph.schedule import Schedule, demanded
from xstilts.graph.slot import Slot
from xstilts.graph.status import status, why
from xstilts.graph.stopping import SAVE_SECONDS
from xstilts.graph.store import Store

__all__ = ["Interrupted", "Summary", "run", "status", "why"]


class Interrupted(XstiltsError):  # noqa: N818 - being stopped is no mistake
    """The run was stopped by a signal; the store is whole and the same command goes on.

    Args:
        number: the signal.
        summary: what was done until then.
    """

    def __init__(self, number: int, summary: Summary) -> None:
        self.signal, self.summary = number, summary
        name = signal.Signals(number).name
        super().__init__(
            f"stopped by {name} with {len(summary.left)} nodes left",
            hint="every finished node is kept; run the same command again to go on",
        )

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 138 and 140 for SIGUSR1 and SIGUSR2."""
        return 128 + self.signal


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Args:
        found: number of wanted nodes finished before.
        done: keys finished by this run.
        elsewhere: keys another driver finished meanwhile.
        failed: key -> message.
        blocked: key -> key of the failed ancestor.
        left: keys not tried, because the run was stopped, or because its engine measures nothing.
        seconds: wall time.
    """

    found: int
    done: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether everything asked for is finished."""
        return not (self.failed or self.blocked or self.left)

    def then(self, later: Summary) -> Summary:
        """This run and one after it, which wanted other nodes, as one."""
        return Summary(
            self.found + later.found,
            self.done | later.done,
            self.elsewhere | later.elsewhere,
            self.failed | later.failed,
            self.blocked | later.blocked,
            (*self.left, *later.left),
            self.seconds + later.seconds,
        )


def run(
    graph: Graph,
    store: Store,
    engine: Engine,
    *,
    listen: Callable[[Event], None],
    keep_going: bool = True,
    wanted: Collection[str] | None = None,
) -> Summary:
    """Finish the wanted nodes of a graph.

    A node that failed in an earlier run is tried again, once; within a run nothing is. A node that another driver is
    running is waited for. A finished node that is damaged is set aside and made again, with all that was made from it.

    Args:
        graph: what there is to run.
        store: where finished nodes are.
        engine: where nodes run; ``xstilts.graph.local.LocalEngine`` for processes of this machine.
        listen: gets every event, in the calling thread.
        keep_going: whether other nodes still run after a failure.
        wanted: keys; their missing ancestors run too. ``None`` for every node.

    Raises:
        Interrupted: Ctrl-C or a signal of ``STOPPING``.
        StoreError: the disk refuses; nodes already running were let finish first.
        XstiltsError: a worker does not start.
    """
    started = time.monotonic()
    _tidy(store)
    for damage in set_damaged_aside(graph, store, wanted):
        listen(NodeSetAside(0, 0, None, *_told(damage, graph)))
    pending, found = demanded(graph, store.has, wanted)
    apart = [] if engine.measures else [key for key, node in pending.items() if node.kind in ALONE]
    for key in apart:
        del pending[key]
    schedule = Schedule(pending, found, len(engine.places), engine.may)
    listen(RunStarted(found, schedule.total, None))
    if pending:
        _drive(schedule, store, engine, listen, keep_going, started)
        _tidy(store)  # another driver may have died meanwhile, just after it finished a node
    if schedule.error is not None:
        raise schedule.error
    summary = _summary(schedule, started)
    return replace(summary, left=(*summary.left, *apart))


def _told(damage: Damage, graph: Graph) -> tuple[str, str]:
    """The title of a damaged node, and what people should know of it."""
    key = damage.error.key
    title = graph.by_key[key].title if key in graph.by_key else key[:12]
    below = f", and so are {len(damage.fell)} that were made from it" if damage.fell else ""
    return title, f"{damage.error.what} in {damage.error.where}; it is made again{below}; it lies in {damage.aside}"


def _tidy(store: Store) -> None:
    with suppress(OSError):  # a finished study on a read-only disk is finished all the same
        store.tidy()


def _drive(
    schedule: Schedule,
    store: Store,
    engine: Engine,
    listen: Callable[[Event], None],
    keep_going: bool,
    started: float,
) -> None:
    """Start the slots and pass on their events until all have ended."""
    posts: queue.SimpleQueue[Event | Slot] = queue.SimpleQueue()
    slots = [
        Slot(number, engine.places[number], engine, store, schedule, posts.put, keep_going)
        for number in _useful(engine, [*schedule.nodes.values()])
    ]
    running = len(slots)
    with _sigterm_raises():
        try:
            for slot in slots:
                slot.start()
            while running:
                post = posts.get()
                if isinstance(post, Slot):
                    running -= 1
                else:
                    listen(post)
        except BaseException as error:
            schedule.stop()
            begun = [slot for slot in slots if slot.ident is not None]
            if isinstance(error, _Terminated):
                _let_save(begun)
            for slot in begun:
                slot.interrupt()
            # A node being committed is let finish: it is whole, only its flushing is slow.
            for slot in begun:
                slot.join()
            if isinstance(error, KeyboardInterrupt):
                number = error.args[0] if isinstance(error, _Terminated) else signal.SIGINT
                raise Interrupted(number, _summary(schedule, started)) from error
            raise


def _useful(engine: Engine, nodes: Sequence[Node]) -> list[int]:
    """The numbers of the places that have something to do: of equal ones no more than there are nodes for them."""
    places, chosen = engine.places, list[int]()
    for number, place in enumerate(places):
        equal = sum(places[other] == place for other in chosen)
        if equal < sum(engine.may(number, node) for node in nodes):
            chosen.append(number)
    return chosen


def _let_save(slots: Sequence[Slot]) -> None:
    """Give trainings the time to save, which a cluster grants with SIGTERM; Ctrl-C ends it."""
    deadline = time.monotonic() + SAVE_SECONDS
    for slot in slots:
        slot.interrupt(save=True)
    with suppress(KeyboardInterrupt):
        for slot in slots:
            slot.join(max(0.0, deadline - time.monotonic()))


def _summary(schedule: Schedule, started: float) -> Summary:
    settled = schedule.done | schedule.failed.keys() | schedule.blocked.keys()
    return Summary(
        found=schedule.found,
        done=frozenset(schedule.done - schedule.elsewhere),
        elsewhere=frozenset(schedule.elsewhere),
        failed=dict(schedule.failed),
        blocked=dict(schedule.blocked),
        left=tuple(key for key in schedule.nodes if key not in settled),
        seconds=time.monotonic() - started,
    )


STOPPING = ("SIGTERM", "SIGUSR1", "SIGUSR2")
"""What clusters send before they take a machine back: Slurm whichever of them it is told."""


class _Terminated(KeyboardInterrupt):
    """A signal of ``STOPPING``, raised where Ctrl-C would be."""


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """In the main thread, the first signal of ``STOPPING`` ends the run as Ctrl-C does.

    Others find it saving: a scheduler tells all processes of a job, and so may the script that the job is.
    """
    told = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise _Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)
