"""Leases: who may work on a node. Only renames decide, so it holds on a shared file system and needs no lock.

    work/KEY/0001/          the first claim of a node; its number is the fencing token
        owner.json          who holds it; there for as long as it is held, and touched meanwhile (``heartbeat``)
        sealed.json         the same file while its outputs are renamed into place
        ended.json          the same file once the claim is given up or taken away
        ID/out/             the outputs so far
        ID/checkpoints/     the state of a training

A claim appears whole, by the rename of a folder, and a folder cannot be renamed onto one that holds something: of all who
want the next number one gets it. The highest number is who works on the node. A claim ends by one rename of ``owner.json``:
its holder's, right before the outputs are renamed into place (as long as it lives it is let finish), or that of the next
holder, who then takes the checkpoints to its own claim and the rest away. Whoever comes second finds nothing there, so one
who was taken for dead and wakes up late (a zombie) cannot commit; and as ``ID`` is no other attempt's, whatever it still
writes is in nobody's way.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from xstilts.errors import StoreError
from xstilts.graph.claim import CHECKPOINTS, OUT, OWNER, NodeBusyError, afresh, content, lost, names
from xstilts.graph.disk import aside
from xstilts.graph.heartbeat import BEATS, LEASE_SECONDS, Heartbeat, Watch
from xstilts.graph.node import Node, canonical
from xstilts.graph.owner import Owner
from xstilts.outside import open_plain

KEY = re.compile(r"[0-9a-f]{64}")
SEALED, ENDED = "sealed.json", "ended.json"

OUTRUN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT)
"""What a rename says when another one was first: its claim is there, or the node is finished and its claims are gone."""

State = Literal["live", "dead", "unknown"]


class Leases:
    """The claims of a store.

    Args:
        work: the folder they lie in.
        lease_seconds: see ``heartbeat.LEASE_SECONDS``; equal for all drivers of a store.
        clock: monotonic seconds; replaced in tests.
    """

    def __init__(
        self, work: Path, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.work = work
        self._lease = lease_seconds
        self._watch = Watch(lease_seconds, clock)
        self._heartbeat = Heartbeat(lease_seconds / BEATS)
        self._mine: dict[str, tuple[Path, Owner]] = {}  # key -> the claim's folder: only these are ours to end

    # Who holds what

    def folders(self) -> list[str]:
        """Keys of the nodes that have a work folder, sorted."""
        return sorted(p.name for p in self.work.glob("*") if KEY.fullmatch(p.name))

    def claims(self) -> list[str]:
        """Keys of the nodes that somebody holds or that left checkpoints, sorted."""
        return [key for key in self.folders() if self._held(key) or self.has_checkpoints(key)]

    def owner(self, key: str) -> Owner | None:
        """Who holds the node; ``None`` when nobody does."""
        held = self._held(key)
        return held[0] if held else None

    def state(self, key: str) -> State | None:
        """Whether the holder lives; ``None`` when there is none.

        Of a process on this machine that is known. Of another machine's it is ``unknown`` until this object, asked again and
        again, has seen a sign of life, and ``dead`` once it has seen none for the time of a lease.
        """
        claims = self._numbers(key)
        return self._state(claims[-1]) if claims else None

    def _state(self, claim: Path) -> State | None:
        if (held := _holder(claim)) is None:
            return None
        owner, stamp = held
        if owner is None:
            return "dead"
        return self._watch.state(owner.id, stamp) if owner.state == "unknown" else owner.state

    def _numbers(self, key: str) -> list[Path]:
        """The claims of a node, the lowest number first."""
        found = names(self.work / key)
        return [self.work / key / name for name in sorted((n for n in found if n.isdecimal()), key=int)]

    def _held(self, key: str) -> tuple[Owner | None, int] | None:
        claims = self._numbers(key)
        return _holder(claims[-1]) if claims else None

    def has_checkpoints(self, key: str) -> bool:
        """Whether an attempt left the state of its training; one that was being written does not count."""
        attempts = (claim / name for claim in self._numbers(key) for name in names(claim))
        return any(not name.startswith(".") for attempt in attempts for name in names(attempt / CHECKPOINTS))

    # To claim

    def begin(self, node: Node, writers: Sequence[int] = ()) -> Path:
        """Claim a node; gives the empty folder its outputs go to, with the checkpoints of earlier attempts beside it.

        Raises:
            NodeBusyError: somebody else holds it.
            OSError: the disk refuses.
        """
        claim = None
        while claim is None:
            before = self._numbers(node.key)
            if before:
                self._refuse_busy(node, before[-1])
            owner = Owner.here(writers, node.as_json())
            claim = self._place(node.key, before, owner)
        self._mine[node.key] = claim, owner
        self._heartbeat.start(claim / OWNER)
        try:
            self._inherit(claim / owner.id)
            if not (claim / owner.id / OUT).is_dir():
                raise lost(claim)
        except BaseException:
            with suppress(OSError):  # the disk may refuse this, too; the next claim does it all again
                self.release(node.key)
            raise
        return claim / owner.id / OUT

    def _refuse_busy(self, node: Node, claim: Path) -> None:
        state, held = self._state(claim), _holder(claim)
        if state in (None, "dead") or held is None or (owner := held[0]) is None:
            return
        stop = f"xstilts clean --store {self.work.parent} --node {node.key[:12]}"
        raise NodeBusyError(
            f"{node.title} is being run by process {owner.pid} on {owner.host} since {owner.started}",
            where=str(self.work / node.key),
            hint="wait for it"
            if state == "live"
            else f"wait for it: it is taken over once it gives no sign of life for {self._lease:.0f} s; "
            f"if that machine is gone for good, `{stop}` gives the node free at once",
        )

    def _place(self, key: str, before: Sequence[Path], owner: Owner) -> Path | None:
        """Put a claim with the number after those ``before`` it in place; ``None`` when another one was first."""
        home = self.work / key
        claim = home / f"{int(before[-1].name) + 1 if before else 1:04d}"
        fresh = aside(home)
        try:
            (fresh / owner.id / OUT).mkdir(parents=True)
            # Not flushed: after a power cut every owner is dead, and a claim without an owner counts as none.
            (fresh / OWNER).write_text(canonical(owner.as_json()), encoding="utf-8")
            home.mkdir(exist_ok=True)
        except BaseException as error:
            shutil.rmtree(fresh, ignore_errors=True)
            if isinstance(error, FileExistsError):
                hint = "what lies there is no folder; a link may lead to one that is gone"
                raise StoreError("no folder can be made", where=str(error.filename), hint=hint) from error
            raise
        try:
            fresh.rename(claim)
        except OSError as error:
            # A network may have done what it reports as refused, or call it not permitted where another one was first.
            if (claim / owner.id).is_dir():
                return claim
            shutil.rmtree(fresh, ignore_errors=True)
            if error.errno in OUTRUN or claim.name in names(home):
                return None
            raise
        if self._numbers(key)[-1:] != [claim]:  # what was looked at is long gone: it is for the others to decide
            shutil.rmtree(claim, ignore_errors=True)
            return None
        return claim

    def _inherit(self, attempt: Path) -> None:
        """End all earlier claims of the node, take the newest checkpoints and remove the rest.

        Stopped at any point, it leaves the checkpoints whole where they were or where they go, and the next one goes on.
        """
        claim = attempt.parent
        for earlier in reversed(self._numbers(claim.parent.name)[:-1]):
            _ = _rename(earlier, OWNER, ENDED) or _rename(earlier, SEALED, ENDED)
            with suppress(FileNotFoundError):  # its holder gives it up itself
                for former in [p for p in earlier.iterdir() if p.is_dir()]:
                    if any((former / CHECKPOINTS).glob("[!.]*")) and not (attempt / CHECKPOINTS).exists():
                        (former / CHECKPOINTS).rename(attempt / CHECKPOINTS)
                    self.discard(former)

    # To end a claim

    def check(self, key: str) -> None:
        """Notice that a node that ``begin`` of this object claimed was taken over.

        Raises:
            ClaimLostError: it was.
        """
        if key in self._mine and not self._is_mine(*self._mine[key]):
            raise lost(self._forget(key)[0])

    def _is_mine(self, claim: Path, owner: Owner, name: str = OWNER) -> bool:
        found = Owner.parse(content(claim / name))
        return found is not None and found.id == owner.id

    @contextmanager
    def sealed(self, key: str) -> Iterator[None]:
        """Ends our claim; within, its outputs are renamed into place, and nobody begins as long as this process lives.

        Raises:
            ClaimLostError: it is not ours any more, so they must not be.
        """
        if key not in self._mine:
            raise lost(self.work / key)
        claim, owner = self._forget(key)
        if not self._is_mine(claim, owner):
            raise lost(claim)
        if not _rename(claim, OWNER, SEALED) and not self._is_mine(
            claim, owner, SEALED
        ):  # a network that lost its answer
            raise lost(claim)
        try:
            yield
        except BaseException:
            with suppress(OSError):
                _rename(claim, SEALED, ENDED)
            raise

    def release(self, key: str, *, keep_checkpoints: bool = True) -> bool:
        """Give up our claim and drop its unfinished outputs; whether there was one to give up.

        Where checkpoints stay, so does the folder; else it goes, claim and all.
        """
        if key not in self._mine:
            return False
        claim, owner = self._forget(key)
        if not self._is_mine(claim, owner):
            return False
        if keep_checkpoints and self.has_checkpoints(key):
            if _rename(claim, OWNER, ENDED):
                for rest in (claim / owner.id).iterdir():
                    if rest.name != CHECKPOINTS:
                        self.discard(rest)
        else:
            self._drop(claim)
        return True

    def _forget(self, key: str) -> tuple[Path, Owner]:
        claim, owner = self._mine.pop(key)
        self._heartbeat.stop(claim / OWNER)
        return claim, owner

    def clear(self, key: str, *, forsaken: bool = False) -> bool:
        """Remove the work folder of a node that nobody works on; whether that was so.

        Args:
            key: of the node.
            forsaken: somebody says that a holder on another machine is gone, so no sign of life is waited for.
        """
        before = self._numbers(key)
        state = self._state(before[-1]) if before else None
        if state == "live" or (state == "unknown" and not forsaken):
            return False
        if (claim := self._place(key, before, Owner.here())) is None:
            return False  # somebody begins
        self._drop(claim)
        return True

    def _drop(self, claim: Path) -> None:
        """Remove our claim and those before it; not what another one began after it meanwhile."""
        for each in self._numbers(claim.parent.name):
            if int(each.name) <= int(claim.name):
                self.discard(each)
        if not self._numbers(claim.parent.name):
            with suppress(OSError):  # somebody begins
                claim.parent.rmdir()

    def discard(self, folder: Path) -> None:
        """Remove a folder; for everybody else it is gone at once, by one rename."""
        self.work.mkdir(parents=True, exist_ok=True)
        gone = aside(self.work / "gone")
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return
        if gone.is_dir():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            with suppress(OSError):
                gone.unlink()


def _holder(claim: Path) -> tuple[Owner | None, int] | None:
    """Who works on a claim or commits it (``None``: unreadable), and the last sign of life; ``None`` when nobody does."""

    def read(path: Path) -> tuple[Owner | None, int]:
        with open_plain(path) as stream:  # opened: a cache of the network's file system is asked anew
            return Owner.parse(stream.read()), os.fstat(stream.fileno()).st_mtime_ns

    for name in (OWNER, SEALED):
        with suppress(FileNotFoundError, NotADirectoryError):
            return afresh(lambda path=claim / name: read(path))  # type: ignore[misc]
    return None


def _rename(claim: Path, name: str, to: str) -> bool:
    """Whether this call did it."""
    try:
        (claim / name).rename(claim / to)
    except FileNotFoundError:
        return False
    return True
