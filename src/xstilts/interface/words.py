"""Errors as a Python user reads them: options of the command line become the arguments of the same name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Integral
from pathlib import Path
from typing import ParamSpec, TypeVar

from xstilts.errors import MissingNameError, StudyError, XstiltsError

P = ParamSpec("P")
R = TypeVar("R")

SWITCHES = ("aligned-tatoeba", "gradient-checkpointing", "memory-check", "partial", "skip-bad")
"""Options without a value."""
_COMMAND = r"`[^`]*`|\bxstilts(?: [a-z]+)+(?: --[a-z-]+(?: [A-Z]+\b)?)*"
_OPTION = r"--(?P<name>[a-z][a-z-]*)(?: (?P<value>[A-Z]+(?:=[A-Z]+)?\b|[0-9]+\b))?"
_EITHER = re.compile(f"{_COMMAND}|{_OPTION}")


def in_python(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, whose errors name arguments where they named options."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except XstiltsError as error:
            error.what, error.where, error.hint = map(as_arguments, (error.what, error.where, error.hint))
            raise

    return call


def check_stream(said: object) -> None:
    """Refuse what is no way of streaming: ``True`` would be taken for ``auto``."""
    if said not in ("auto", "always", "never"):
        raise MissingNameError("way to stream", str(said), ("auto", "always", "never"), where="stream")


def check_numbers(**numbers: tuple[object, int]) -> None:
    """Refuse a count or a seed that cannot be: name -> its value and the least that there is."""
    for name, (value, least) in numbers.items():
        if not isinstance(value, Integral) or int(value) < least:
            raise StudyError(f"{value!r} is no whole number from {least}", where=name)


def files_of(given: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """One file or several, of the folder that is the current one now."""
    several = (given,) if isinstance(given, str | Path) else given
    return tuple(Path(file).absolute() for file in several)


def as_arguments(text: str) -> str:
    """``--data DIR`` as ``data=DIR``, ``--skip-bad`` as ``skip_bad=True``; whole commands stay what they are."""
    return _EITHER.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    option, value = found["name"], found["value"]
    if option is None:
        return found[0]
    name = option.removeprefix("no-").replace("-", "_")
    if name.replace("_", "-") in SWITCHES:
        said = f"{name}={not option.startswith('no-')}"
        return f"{said} {value}" if value else said
    return f"{name}={value}" if value else name
