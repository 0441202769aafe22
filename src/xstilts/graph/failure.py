"""Why an attempt failed, as plain data."""

from __future__ import annotations

import traceback as tracebacks
from dataclasses import asdict, dataclass, field
from typing import Any

from xstilts.graph.owner import now

TAIL = 4000
"""Characters of a traceback that are kept: its end tells most."""


@dataclass(frozen=True)
class Failure:
    """One failed attempt.

    Args:
        type: name of the error's class, or ``WorkerDied``.
        text: what it says.
        traceback: its end; empty for a worker that died without a word.
        stderr: the end of what the worker printed.
        when: in UTC.
    """

    type: str
    text: str
    traceback: str = ""
    stderr: str = ""
    when: str = field(default_factory=now)

    @staticmethod
    def of(error: BaseException) -> Failure:
        """From an exception."""
        trace = "".join(tracebacks.format_exception(error))
        text = str(error) or type(error).__name__
        return Failure(type(error).__name__, _writable(text), _writable(trace[-TAIL:]))

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``failed/KEY.json``."""
        return asdict(self)


def _writable(text: str) -> str:
    """What no file can hold as UTF-8 (half a surrogate pair: a byte of a file's name) shown as an escape."""
    return text.encode(errors="backslashreplace").decode()
