"""Kill a fetch between any two of its changes to the disk, and tell what the data folder holds then and after the next.

Each fetch is a fork of this process, which has no threads. Writes a line of JSON for each place: what happened last before
the kill, what the folder holds, and what it holds after one more fetch.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from small_hub import BITEXT, SmallHub, bring

from xstilts.graph.disk import digest_file
from xstilts.hub.ledger import load_ledger

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock", "open")


def main(work: Path, update: bool) -> None:
    """Kill the first fetch into an empty folder, or the update of a full one, at its first change, its second, ..."""
    start = work / "start"
    if update:
        bring(start, SmallHub("a"), BITEXT)
    place, last = 0, ""
    while last != "finished":
        data = work / f"at{place}"
        if update:
            shutil.copytree(start, data)
        last = killed_at(data, place, update)
        before = state(data)
        bring(data, SmallHub("c"), BITEXT)
        sys.stdout.write(json.dumps({"last": last, "before": before, "after": state(data)}) + "\n")
        sys.stdout.flush()  # what a fork inherits it must not write
        place += 1


def killed_at(data: Path, place: int, update: bool) -> str:
    """Fetch in a fork that dies just before its ``place``-th change; the change it did not make."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reading) as told:
            name = told.read()
        assert os.WIFSIGNALED(status) or (os.WIFEXITED(status) and name == "finished"), (status, name)
        return name
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in CHANGES or (event == "open" and not _writes(arguments)):
            return
        if seen == place:
            os.write(writing, f"{event} {arguments[0]}".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    sys.addaudithook(watch)
    bring(data, SmallHub("b"), BITEXT, update=update)
    os.write(writing, b"finished")
    os._exit(0)


def _writes(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def state(data: Path) -> dict[str, Any]:
    """The commit that each file's text names, and the one that the ledger names for its bytes; what else lies there."""
    ledger = load_ledger(data)
    texts = sorted(p for p in data.rglob("tatoeba.*") if p.parent == data / "tatoeba")
    return {
        "text": {p.name: p.read_text()[-2] for p in texts},
        "ledger": {p.name: [o.revision[0] for o in ledger.used({digest_file(p)})] for p in texts},
        "hidden": sorted(p.name for p in data.glob(".*")) if data.is_dir() else [],
        "coming": sorted(ledger.coming),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "update")
