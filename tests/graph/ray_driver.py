"""A driver on a Ray cluster, to be killed: ``ray_driver.py STORE ADDRESS TRAININGS PREDICTIONS SLEEP``."""

import sys
from pathlib import Path
from typing import Any

from toy_graph import WORKER, tree

from xstilts.errors import XstiltsError
from xstilts.graph import cluster
from xstilts.graph.node import Resources
from xstilts.graph.places import placing, spread
from xstilts.graph.run import run
from xstilts.graph.store import Store

ORPHAN_SECONDS = 2.0


def engine(address: str, **options: Any) -> cluster.RayEngine:
    """A worker of one thread for each CPU of the cluster."""
    places = spread(cluster.connect(address), ["cpu"], 1, Resources())
    return cluster.RayEngine(places, WORKER[1:], placing(places, {}), **options)


if __name__ == "__main__":
    root, where, trainings, predictions, sleep = sys.argv[1:]
    graph = tree(int(trainings), int(predictions), sleep=float(sleep))
    try:
        on = engine(where, orphan_seconds=ORPHAN_SECONDS)
        ended = run(graph, Store(Path(root)), on, listen=lambda event: None)
    except XstiltsError as error:
        sys.stdout.write(str(error))
        raise SystemExit(error.exit_code) from None
    finally:
        cluster.disconnect()  # else Ray does, when nothing is left to say that it hangs
    raise SystemExit(0 if ended.complete else 1)
