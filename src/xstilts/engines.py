"""The engines a study can run on: whoever starts workers knows them by the command that starts one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from xstilts.graph.engine import Engine
from xstilts.graph.local import LocalEngine
from xstilts.graph.node import Resources

SERVE = ("-m", "xstilts.execute")
"""What Python is told to become a process that runs nodes."""


def local_engine(slots: Sequence[Resources]) -> Engine:
    """Processes of this machine, one a slot."""
    return LocalEngine(slots, (sys.executable, *SERVE))
