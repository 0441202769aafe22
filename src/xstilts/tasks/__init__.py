"""The nine target tasks and the nine intermediate tasks. The folder is the registry: one file, one ``TASK``.

A task from outside the package is code, so it is only ever read by an explicit ``--task-file``; its bytes are part of every
key it touches.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import traceback
from functools import cache
from pathlib import Path

from xstilts.errors import DataError, MissingNameError
from xstilts.tasks.task import Task

_MACHINERY = {"task", "folder"}
_outside: dict[str, tuple[Task, str]] = {}


@cache
def _inside() -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _MACHINERY))


def names() -> tuple[str, ...]:
    """Every task's name, sorted; those from outside last."""
    return (*_inside(), *sorted(_outside))


def load(name: str) -> Task:
    """The task called ``name``; an unknown one raises ``MissingNameError`` with the nearest."""
    if name in _outside:
        return _outside[name][0]
    if name not in _inside():
        raise MissingNameError("task", name, names())
    return _shipped(name)


@cache
def _shipped(name: str) -> Task:
    task: Task = importlib.import_module(f"{__name__}.{name}").TASK
    return task


def load_file(path: Path) -> Task:
    """Run a Python file that declares one ``TASK`` and make the task known by its name.

    Raises:
        DataError: the file is not there, fails when it is run (with its line), declares no ``TASK``, or takes the name of
            a shipped task.
    """
    try:
        code = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the task file: {error.strerror}", where=str(path)) from None
    digest = hashlib.sha256(code).hexdigest()
    spec = importlib.util.spec_from_file_location(f"xstilts_task_{digest[:12]}", path)
    if spec is None or spec.loader is None:
        raise DataError("not a Python file: a task file's name ends in .py", where=str(path))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _own_error(path, error) from error
    task = getattr(module, "TASK", None)
    if not isinstance(task, Task):
        raise DataError("declares no TASK = Task(...)", where=str(path), hint="see docs/how-to/own-task.md")
    if task.name in _inside():
        raise DataError(f"the name {task.name!r} belongs to a shipped task; choose another", where=str(path))
    _outside[task.name] = (task, digest)
    return task


def _own_error(path: Path, error: Exception) -> DataError:
    """An error of the file's own, with the last of its lines that took part."""
    frames = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).absolute() == path.absolute()
    ]
    line = error.lineno if isinstance(error, SyntaxError) else frames[-1] if frames else None
    return DataError(
        f"the task file has an error of its own: {type(error).__name__}: {error}",
        where=str(path) if line is None else f"{path}:{line}",
        hint="see docs/how-to/own-task.md",
    )


def outside_digest(name: str) -> str | None:
    """The sha-256 of the task file a task came from; ``None`` for a shipped task."""
    return _outside[name][1] if name in _outside else None


def targets() -> tuple[Task, ...]:
    """The nine of XTREME, in its order."""
    order = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
    return tuple(load(n) for n in order)


def intermediate() -> tuple[Task, ...]:
    """The nine of Phang et al. 2020, in the paper's order."""
    order = ("anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa", "commonsense_qa")
    return tuple(load(n) for n in order)
