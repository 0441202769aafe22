"""What large studies cost: the plan of 100,000 nodes, a store of 10,000 finished ones, what a node costs beside its work.

    python -m benchmarks.scale --out STEM

Each part runs in a fresh process (``--only PART``, which prints one JSON object). Data and models are those of the tests'
tiny world; finished nodes are written as a run would have left them, from one seed that was really run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "graph")]

from toy_graph import go, node  # noqa: E402

from tiny_world import command, fake_model, nine_targets, run_command, tiny_data, tiny_study, write_study  # noqa: E402
from xstilts import journey  # noqa: E402
from xstilts.graph.disk import as_text, digest_file  # noqa: E402
from xstilts.graph.events import Event, NodeDone, NodeStarted  # noqa: E402
from xstilts.graph.node import Graph, Node  # noqa: E402
from xstilts.graph.overview import Overview  # noqa: E402
from xstilts.graph.store import Store  # noqa: E402

PLANNED, FINISHED, FLAT, TRIVIAL = 100_000, 10_000, 500, 1_000
Found = dict[str, Any]


def timed(call: Callable[[], object]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    started = time.perf_counter()
    value = call()
    return round(time.perf_counter() - started, 2), value


def peak_mib() -> int:
    """Most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def plan(home: Path) -> Found:
    """Nine targets in all their languages, four arms; as many seeds as make 100,000 nodes."""
    fake_model(home / "model")
    arms: Found = {"none": {}, **{name: {"intermediate": name} for name in ("mnli", "squad_v2", "qqp")}}
    fields: Found = {"name": "large", "models": {"m": {"path": "model"}}, "arms": arms, "targets": nine_targets()}
    store = Store(home / "store")
    of_a_seed = len(_planned(home, store, fields, 2).graph.nodes) - len(_planned(home, store, fields, 1).graph.nodes)
    before = peak_mib()
    seconds, planned = timed(lambda: _planned(home, store, fields, PLANNED // of_a_seed + 1))
    recorded, _ = timed(lambda: store.save_study("large", planned.payload()))
    looked, _ = timed(lambda: Overview(store).look(store.studies()))
    return {
        "nodes": len(planned.graph.nodes),
        "cells": len(planned.cells),
        "plan_seconds": seconds,
        "record_seconds": recorded,
        "record_mib": round((store.root / "studies" / "large.json").stat().st_size / 2**20, 1),
        "status_seconds": looked,
        "memory_before_mib": before,
        "peak_memory_mib": peak_mib(),
    }


def _planned(home: Path, store: Store, fields: Found, seeds: int) -> Any:
    study = write_study(home, {**fields, "seeds": list(range(1, seeds + 1)), "precision": "fp32"})
    return journey.plan_study(study, tiny_data(), store)


def results(home: Path) -> Found:
    """Two arms, two targets: one seed is run, the others are copies of it."""
    fields: Found = {"name": "wide", "targets": ["pawsx", "xnli"], "splits": ["test"], "languages": ["en", "de"]}
    store = Store(home / "store")
    command(*run_command(write_study(home, tiny_study(**fields)), store.root))
    patterns = {_place(Node.from_json(store.record(key))): key for key in store}
    seeds = FINISHED // len(patterns) + 1
    study = write_study(home, tiny_study(**fields, seeds=list(range(1, seeds + 1))))
    planned = journey.plan_study(study, tiny_data(), store, threads=1)
    for made in planned.graph:
        if not store.has(made.key):
            _copy(store, patterns[_place(made)], made)
    store.save_study("wide", planned.payload())
    found: Found = {"nodes": len(planned.graph.nodes), "rows": len(journey.rows(Store(store.root)))}
    page = home / "report.html"
    for name, arguments in (
        ("results", ("results", "--store", store.root)),
        ("results_json", ("results", "--store", store.root, "--json", home / "rows.json")),
        ("status", ("status", "--store", store.root)),
        ("report", ("report", "--store", store.root, "-o", page)),
        ("second_run", run_command(study, store.root)),
    ):
        found[f"{name}_seconds"], _ = timed(lambda given=arguments: command(*given))  # type: ignore[misc]
        print(name, found[f"{name}_seconds"], file=sys.stderr, flush=True)
    return {**found, "report_mib": round(page.stat().st_size / 2**20, 1)}


def _place(made: Node) -> str:
    """What a node is, but for its seed."""
    return f"{made.kind} {[made.labels.get(of) for of in ('model', 'arm', 'task', 'split')]}"


def _copy(store: Store, pattern: str, made: Node) -> None:
    """A finished node with the outputs of another one."""
    home = store.path(made.key)
    files = store.files(pattern)
    for name in files:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        if name != "node.json":
            (home / name).hardlink_to(store.path(pattern) / name)
    (home / "node.json").write_text(as_text({**made.as_json(), "attempt": store.record(pattern)["attempt"]}))
    path = home / "node.json"
    files["node.json"] = {"sha256": digest_file(path), "bytes": path.stat().st_size}
    (home / "files.json").write_text(as_text(files))


def flat(home: Path) -> Found:
    """Memory and open files of driver and worker, after 100 nodes and at the end."""
    seen: list[Found] = []
    driver = psutil.Process()

    def listen(event: Event) -> None:
        if isinstance(event, NodeDone) and event.done in (100, FLAT):
            (worker,) = driver.children()
            of = {"driver": driver, "worker": worker}
            seen.append(
                {
                    "after": event.done,
                    **{f"{name}_mib": round(p.memory_info().rss / 2**20, 1) for name, p in of.items()},
                    **{f"{name}_files": p.num_fds() for name, p in of.items()},
                    "driver_threads": driver.num_threads(),
                }
            )

    _run_trivial(home, FLAT, listen)
    return {"nodes": FLAT, "seen": seen}


def overhead(home: Path) -> Found:
    """Time from the first node's start to the last one's end, a node, and that of what it consists of."""
    times: list[float] = []
    inside = 0.0

    def listen(event: Event) -> None:
        nonlocal inside
        if isinstance(event, NodeStarted | NodeDone):
            times.append(time.perf_counter())
        if isinstance(event, NodeDone):
            inside += event.seconds

    _run_trivial(home, TRIVIAL, listen)
    whole = times[-1] - times[0]
    return {
        "nodes": TRIVIAL,
        "seconds": round(whole, 2),
        "ms_a_node": round(1000 * (whole - inside) / TRIVIAL, 2),
        "ms_of_work_a_node": round(1000 * inside / TRIVIAL, 2),
        "fsync_ms": round(_fsync_ms(home), 3),
    }


def _run_trivial(home: Path, number: int, listen: Callable[[Event], None]) -> None:
    class Events(list[Event]):
        def append(self, event: Event) -> None:
            listen(event)

    graph = Graph("trivial", tuple(node("train", f"t{i}") for i in range(number)))
    assert go(graph, Store(home / "store"), events=Events()).complete


def _fsync_ms(home: Path) -> float:
    """What the disk takes to flush a small new file: a node flushes eight times."""
    started = time.perf_counter()
    for i in range(100):
        with (home / f"f{i}").open("wb") as out:
            out.write(b"x" * 500)
            out.flush()
            os.fsync(out.fileno())
    return (time.perf_counter() - started) * 10


PARTS: dict[str, Callable[[Path], Found]] = {"plan": plan, "results": results, "flat": flat, "overhead": overhead}


def markdown(found: dict[str, Found]) -> str:
    """The record for people."""
    lines = [f"# Large studies ({time.strftime('%Y-%m-%d')})", "", *(__doc__ or "").splitlines(), ""]
    for name, of in found.items():
        lines += [f"## {name}", "", (PARTS[name].__doc__ or "").strip(), ""]
        lines += [f"- {key}: {json.dumps(value)}" for key, value in of.items()] + [""]
    return "\n".join(lines)


def main() -> None:
    """Measure all parts, or one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--out", type=Path, help="stem of the record: .json and .md")
    options = parser.parse_args()
    if options.only:
        with tempfile.TemporaryDirectory(prefix="scale-") as home:
            print(json.dumps(PARTS[options.only](Path(home))))
        return
    found = {}
    for name in PARTS:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale", "--only", name], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-3000:]}")
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, json.dumps(found[name]), flush=True)
    if options.out:
        options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        options.out.with_suffix(".md").write_text(markdown(found), encoding="utf-8")


if __name__ == "__main__":
    main()
