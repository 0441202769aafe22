"""How fetched files land in a data folder: written aside, then put in their places in steps that may be cut off anywhere.

A landing is four steps under a lock: the ledger says what is coming; old copies go; new ones take their places; the ledger
says that they came. Cut off before the second step, the old copies stand and the ledger tells of them; cut off later, files
are missing but never mixed, and the next fetch brings them from the commits that the ledger already names.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from xstilts.graph.disk import digest_file, guarded, sync_folder
from xstilts.hub.ledger import NAME, Ledger, Origin, load_ledger, save_ledger

LOCK = ".hub.lock"
_SCRATCH = ".fetching-"
_OWNER = ".owner"


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """While held, no other fetch changes the ledger or lands files in ``data``, which is made if it is not there."""
    with guarded(data):
        while True:
            data.mkdir(parents=True, exist_ok=True)
            try:
                handle = (data / LOCK).open("a")
            except FileNotFoundError:
                continue  # a fetch that failed took its empty folder away just now
            with handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _is_at(handle.fileno(), data / LOCK):
                    yield
                    return


@contextmanager
def scratch(data: Path) -> Iterator[Path]:
    """A hidden folder in ``data`` to write in, gone at the end; so is ``data`` if it was made for this and nothing came.

    Its owner holds a lock on a file in it, so that the folder of a dead process is told from one in use.
    """
    made = not data.exists()
    with guarded(data):
        with locked(data):
            folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=data))
            owner = (folder / _OWNER).open("w")
            fcntl.flock(owner, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            with locked(data):
                owner.close()
                shutil.rmtree(folder)
                if made and {p.name for p in data.iterdir()} == {LOCK}:
                    (data / LOCK).unlink()
                    with suppress(OSError):  # somebody put something there just now
                        data.rmdir()


def tidy(data: Path) -> Ledger:
    """The ledger, after what killed fetches left was put right: folders in no use, files that landed unrecorded."""
    ledger = load_ledger(data)
    if not (ledger.coming or any(data.glob(f"{_SCRATCH}*")) or any(data.glob(f".{NAME}.*"))):
        return ledger
    with locked(data):
        for folder in data.glob(f"{_SCRATCH}*"):
            if not _in_use(folder):
                shutil.rmtree(folder)
        for half in data.glob(f".{NAME}.*.aside"):  # ledgers are written under this lock only
            half.unlink()
        ledger = load_ledger(data)
        if ledger.coming:
            ledger = ledger.with_changes(coming={}, files={**ledger.files, **_landed(data, ledger.coming)})
            save_ledger(data, ledger)
    return ledger


def note(data: Path, **changes: Mapping[str, str]) -> Ledger:
    """Add to the ledger as it stands now; the new ledger."""
    with locked(data):
        now = load_ledger(data)
        ledger = now.with_changes(**{name: {**getattr(now, name), **new} for name, new in changes.items()})
        save_ledger(data, ledger)
        return ledger


def land(
    data: Path,
    folder: Path,
    fresh: Mapping[str, Origin],
    replaced: Mapping[str, str | None],
    commits: Mapping[str, str],
) -> Ledger | None:
    """Put files in their places and into the ledger.

    Args:
        data: the data folder.
        folder: holds the new files, under the same names.
        fresh: origins by path.
        replaced: digest of the file that each path replaces; ``None`` where there was none.
        commits: of the datasets, by ``id@branch``.

    Returns:
        The new ledger; ``None``, and nothing is changed, if a place does not hold what it held when the fetch began.
    """
    with locked(data):
        if any(_digest(data / path) != before for path, before in replaced.items()):
            return None
        now = load_ledger(data)
        now = now.with_changes(datasets={**now.datasets, **commits}, coming={**now.coming, **fresh})
        save_ledger(data, now)
        for path in fresh:  # all before the first new one: old and new lines of a bitext must never stand side by side
            (data / path).unlink(missing_ok=True)
        for path in fresh:
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).replace(data / path)
        for place in {(data / path).parent for path in fresh}:
            sync_folder(place)
        coming = {path: origin for path, origin in now.coming.items() if path not in fresh}
        now = now.with_changes(files={**now.files, **fresh}, coming=coming)
        save_ledger(data, now)
        return now


def _landed(data: Path, coming: Mapping[str, Origin]) -> dict[str, Origin]:
    return {path: origin for path, origin in coming.items() if _digest(data / path) == origin.sha256}


def _digest(path: Path) -> str | None:
    return digest_file(path) if path.is_file() else None


def _in_use(folder: Path) -> bool:
    try:
        with (folder / _OWNER).open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still lies at ``path``: a failed fetch takes the lock away with its empty folder."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
