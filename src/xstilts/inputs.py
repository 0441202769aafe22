"""Inputs are what the key says: files, base models and task files are digested again where they are used.

A node may run hours after it was planned, in another process. Digests are remembered in this process by (path, size, mtime
in ns, inode), so a file is read again only if it may have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.errors import DataError
from xstilts.graph.digests import Digests
from xstilts.graph.node import Resources
from xstilts.model_source import identity_of
from xstilts.tasks import load_file, outside_digest

# Nothing is read from this place, as it is empty, and nothing is saved: these digests live as long as the process.
_digests = Digests(Path("/dev/null"))


def input_file(sha256: str, resources: Resources) -> Path:
    """Where the input file with this digest lies.

    Raises:
        DataError: it is gone, or it is another file by now.
    """
    path = resources.path(sha256)
    if _digests.digest(path) != sha256:
        raise _changed(path)
    return path


def base_model(identity: str, resources: Resources) -> Path:
    """The folder of the base model with this identity.

    Raises:
        DataError: its configuration, weights or tokenizer are others by now.
    """
    folder = Path(resources.models[identity])
    if identity_of(folder, _digests.digest) != identity:
        raise _changed(folder)
    return folder


def load_task_files(spec: Mapping[str, Any], resources: Resources) -> None:
    """Make the tasks from outside the package known; those the spec uses must be the files it was planned with.

    Raises:
        DataError: a task file changed, or the file of a used task was not given.
    """
    places = {load_file(Path(path)).name: path for path in resources.task_files}
    for name, sha256 in spec.get("task_files", {}).items():
        if name not in places:
            raise DataError(f"the file of task {name!r} is not given", hint="name it: --task-file FILE")
        if outside_digest(name) != sha256:
            raise _changed(Path(places[name]))


def _changed(path: Path) -> DataError:
    return DataError(
        "changed since it was planned", where=str(path), hint="run the same command again: it is planned anew"
    )
