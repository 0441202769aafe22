"""A driver to be killed: ``toy_driver.py STORE SLOTS SLEEP`` runs ``graph(SLEEP)``.

With ``DEVICE SECONDS`` behind it, trainings that save when they are told to stop, and take so long.
"""

import signal
import sys
from pathlib import Path

from toy_graph import go, tree

from xstilts.errors import XstiltsError
from xstilts.graph.node import Graph
from xstilts.graph.store import Store


def graph(sleep: float) -> Graph:
    return tree(3, 3, sleep=sleep)


def saving(seconds: float) -> Graph:
    return tree(1, 0, defers=seconds)


if __name__ == "__main__":
    # A shell that starts the tests in the background has Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        store, slots = Store(Path(sys.argv[1])), int(sys.argv[2])
        if len(sys.argv) == 4:
            summary = go(graph(float(sys.argv[3])), store, slots)
        else:
            summary = go(saving(float(sys.argv[5])), store, slots, device=sys.argv[4])
    except XstiltsError as error:
        sys.stdout.write(str(error))
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0 if summary.complete else 1)
