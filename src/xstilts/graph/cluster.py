"""The Ray engine: the places of a Ray cluster; the only file that imports ray.

Each place is one actor, asked for by its resources (CPUs, a GPU, memory), in which attempts are made just as on one machine:
the same process, the same environment, so equal numbers for equal threads. Only nodes, events and outcomes go over Ray; what
a node reads and leaves lies in the store, on a file system that all machines see. An actor outlives the run that started it
(``xstilts.graph.hand``).
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xstilts
from xstilts.errors import XstiltsError
from xstilts.graph.disk import aside
from xstilts.graph.engine import Hear, Outcome, Place, WorkerLostError
from xstilts.graph.failure import Failure
from xstilts.graph.hand import ERRORS, Hand
from xstilts.graph.node import Node
from xstilts.graph.places import Machine
from xstilts.graph.store import Store

ORPHAN_SECONDS = 30.0
"""How long an actor that does nothing stays when the run that started it is silent."""
PING_SECONDS = 5.0
UNREACHABLE_SECONDS = 60.0
"""How long an actor that cannot be reached for the moment is asked again."""
GOODBYE_SECONDS = 10.0
CONNECT_SECONDS = 5.0
SEEN_SECONDS = 10.0
"""How long a network file system may take to show a new file."""
SAME_EVERYWHERE = "the store, the data, the models and xstilts itself must lie at the same places on all machines"


class RayWorker:
    """The near end of a worker.

    Args:
        hire: asks the cluster for an actor; it may have to wait for its resources.
    """

    def __init__(self, hire: Callable[[], Any]) -> None:
        self._hire = hire
        self._hand: Any = None
        self._ready: Any = None
        self._killed = False

    def wait(self, seconds: float) -> bool:
        """Wait until the cluster has given it a place."""
        import ray

        if self._killed:
            return False
        try:
            if self._hand is None:
                self._hand = self._hire()
            if self._ready is None:
                self._ready = self._hand.ping.remote()
            if not ray.wait([self._ready], timeout=seconds)[0]:
                return False
            ray.get(self._ready)
        except ray.exceptions.ActorUnavailableError:
            self._ready = None
            time.sleep(seconds)
            return False
        except ray.exceptions.RayActorError:
            self._hand = self._ready = None
            time.sleep(seconds)
            return False
        self._ready = None
        return True

    def attempt(self, node: Node, hear: Hear) -> Outcome:
        """Have a node run there; see ``xstilts.graph.engine.Worker``."""
        import ray

        try:
            self._ask("begin", (uuid.uuid4().hex, node.as_json()))
            known = 0
            while True:
                for event in self._ask("hear", known):
                    known += 1
                    if event["event"] == "outcome":
                        return _outcome(event)
                    if event["event"] == "error":
                        text = {"where": event["where"], "hint": event["hint"]}
                        raise ERRORS.get(event["kind"], XstiltsError)(event["what"], **text)
                    hear(event)
        except ray.exceptions.RayActorError as error:
            self._hand = self._ready = None
            raise WorkerLostError(_plainly(error)) from error

    def _ask(self, name: str, argument: Any) -> Any:
        """One question; an actor that cannot be reached for the moment is asked again."""
        import ray

        began = time.monotonic()
        while True:
            try:
                return ray.get(getattr(self._hand, name).remote(argument))
            except ray.exceptions.ActorUnavailableError:
                if time.monotonic() - began > UNREACHABLE_SECONDS:
                    raise
                time.sleep(1.0)

    def ping(self) -> None:
        """Say that the run is there; not to an actor that has no place yet, where questions would pile up."""
        if (hand := self._hand) is not None and self._ready is None:
            hand.ping.remote()

    def kill(self, *, save: bool = False) -> None:
        """Stop what runs, or let it save first; the actor releases it."""
        self._killed = True
        if (hand := self._hand) is not None:
            hand.kill.remote(save)

    def close(self) -> None:
        """Give the place back."""
        import ray

        hand, self._hand = self._hand, None
        if hand is None or not ray.is_initialized():
            return
        with suppress(ray.exceptions.RayError):
            if self._ready is None:  # it has a place
                ray.get(hand.close.remote(), timeout=GOODBYE_SECONDS)
        with suppress(ray.exceptions.RayError):
            ray.kill(hand)


def _outcome(event: Mapping[str, Any]) -> Outcome:
    failure = event["failure"] and Failure(**event["failure"])
    return Outcome(event["status"], event["seconds"], event["busy"], failure)


def _plainly(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("The actor died because")), lines[0] if lines else "")
    return f"its worker on Ray is gone ({said.rstrip('.')})"


@dataclass
class RayEngine:
    """A Ray cluster that this process is connected to (see ``connect``).

    Args:
        places: one entry for each actor.
        command: starts a process that calls ``worker.serve``, without the Python in front.
        may: which node may run at which place (see ``xstilts.graph.places.placing``).
        orphan_seconds: see ``ORPHAN_SECONDS``.
    """

    places: Sequence[Place]
    command: Sequence[str]
    may: Callable[[int, Node], bool]
    orphan_seconds: float = ORPHAN_SECONDS
    measures = False
    _workers: list[RayWorker] = field(default_factory=list)

    def start(self, place: Place, store: Store) -> RayWorker:
        """A worker, on its place's machine, or elsewhere once that is gone.

        Were the machine left to the cluster, a small place could take the room that only a large one's machine has.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        def hire() -> Any:
            return (
                ray.remote(Hand)
                .options(
                    name=f"xstilts-{uuid.uuid4().hex[:12]}",
                    lifetime="detached",
                    num_cpus=place.resources.threads,
                    num_gpus=1 if place.resources.device.startswith("cuda") else 0,
                    memory=place.memory_bytes or None,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(place.machine, soft=True),
                )
                .remote(str(store.root), list(self.command), place.resources, self.orphan_seconds)
            )

        if not self._workers:
            threading.Thread(target=self._ping, name="ray ping", daemon=True).start()
        worker = RayWorker(hire)
        self._workers.append(worker)
        return worker

    def _ping(self) -> None:
        import ray

        while ray.is_initialized():
            for worker in list(self._workers):
                with suppress(Exception):
                    worker.ping()
            time.sleep(min(PING_SECONDS, self.orphan_seconds / 4))


def connect(address: str | None) -> list[Machine]:
    """Join a cluster and say what it has.

    Args:
        address: of its head (``HOST:6379``); ``None`` for ``RAY_ADDRESS``, else the cluster this machine is part of.

    Raises:
        XstiltsError: ray is not installed, there is no such cluster, or it has no machine.
    """
    try:
        import ray
    except ImportError as error:
        raise XstiltsError("ray is not installed here", hint="pip install 'xstilts[ray]'") from error
    if not ray.is_initialized():
        try:
            if address:  # Ray itself would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            with _own_sigterm():
                ray.init(address=address or "auto", namespace="xstilts", log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise XstiltsError(
                f"no Ray cluster answers: {str(error).splitlines()[0]}",
                where=f"--address {address}" if address else "",
                hint="`ray start --head` starts one, `ray start --address=HEAD:6379` joins a machine to it",
            ) from error
    machines = [
        Machine(
            node["NodeID"],
            node["NodeManagerHostname"],
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
            int(node["Resources"].get("memory", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted((m for m in machines if m.cpus), key=lambda m: m.id)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """What SIGTERM does stays ours: Ray would have it end the process with a status that does not say it can go on."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def check(machines: Sequence[Machine], store: Store, paths: Sequence[str]) -> None:
    """See that every machine has the same xstilts, sees the store as it is now, and everything that nodes read.

    Args:
        machines: all of them.
        store: where nodes go.
        paths: files and folders that nodes read.

    Raises:
        XstiltsError: one does not; it is named, and so is what it lacks.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    store.root.mkdir(parents=True, exist_ok=True)
    marker, sign = aside(store.root / "seen"), uuid.uuid4().hex
    marker.write_text(sign)
    ask = ray.remote(num_cpus=0)(_seen)
    try:
        asked = {
            machine: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False)).remote(
                str(marker), sign, list(paths), xstilts.__version__
            )
            for machine in machines
        }
        for machine, ref in asked.items():
            try:
                problem = ray.get(ref)
            except ray.exceptions.RayError as error:
                last = str(error).strip().splitlines()[-1]
                raise XstiltsError(f"{machine.host} cannot be asked: {last}", hint=SAME_EVERYWHERE) from error
            if problem:
                raise XstiltsError(f"{machine.host} {problem}", where=str(store.root), hint=SAME_EVERYWHERE)
    finally:
        marker.unlink(missing_ok=True)


def _seen(marker: str, sign: str, paths: list[str], version: str) -> str:
    """What is wrong with a machine; runs there."""
    if xstilts.__version__ != version:
        return f"has xstilts {xstilts.__version__}, and this run is of {version}"
    deadline = time.monotonic() + SEEN_SECONDS
    while not (os.path.isfile(marker) and Path(marker).read_text() == sign):  # noqa: PTH113 - no error on the way
        if time.monotonic() > deadline:
            return f"does not see the store as this machine does ({marker} was just written)"
        time.sleep(0.2)
    missing = next((path for path in paths if not os.path.exists(path)), None)  # noqa: PTH110
    return f"does not see {missing}" if missing else ""


def disconnect() -> None:
    """Leave the cluster."""
    import ray

    ray.shutdown()
