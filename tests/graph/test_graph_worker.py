"""The worker's protocol, spoken by hand."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from toy_graph import WORKER, contents, go, node

from xstilts.graph.node import Graph, Node, Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress, disk_error


def request(made: Node, out: Path) -> bytes:
    out.mkdir()
    resources = asdict(Resources(threads=1))
    line = {"node": made.as_json(), "parents": {}, "out": str(out), "resources": resources}
    return json.dumps(line).encode() + b"\n"


def converse(*requests: bytes, command: Sequence[str] = WORKER) -> tuple[list[dict[str, Any]], int]:
    """Every event of a worker that is sent these and then loses its driver; and its exit status."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        events = [json.loads(worker.stdout.readline())]
        for each in requests:
            worker.stdin.write(each)
            worker.stdin.flush()
            events.append(json.loads(worker.stdout.readline()))
            while events[-1]["event"] == "progress":
                events.append(json.loads(worker.stdout.readline()))
        worker.stdin.close()
        assert worker.stdout.read() == b""
        return events, worker.wait()


def test_ready_done_failed_and_a_quiet_end(tmp_path: Path) -> None:
    good, bad = node("train", "good", print=1), node("train", "bad", fail="no rows left")
    (ready, done, failed, again), code = converse(
        request(good, tmp_path / "1"), request(bad, tmp_path / "2"), request(good, tmp_path / "3")
    )
    assert ready["event"] == "ready"
    assert {"python", "xstilts", "numpy", "torch"} <= ready["versions"].keys()
    assert done["event"] == again["event"] == "done"
    assert done["counts"] == {"rows": 0, "threads_seen": "1"}
    assert 0 <= done["seconds"] < 60
    assert done["peak_memory_bytes"] > 2**20
    assert (failed["event"], failed["type"], failed["message"]) == ("failed", "RuntimeError", "no rows left")
    assert "misbehave" in failed["traceback"]
    assert failed["disk"] is None
    assert code == 0


def test_a_worker_without_a_driver_stops_in_the_middle(tmp_path: Path) -> None:
    with subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as worker:
        assert worker.stdin is not None
        worker.stdin.write(request(node("train", "slow", sleep=60), tmp_path / "out"))
        worker.stdin.flush()
        while not (tmp_path / "out" / "result.txt").exists():
            assert worker.poll() is None
        worker.stdin.close()
        assert worker.wait(timeout=20) == 1


def test_a_count_that_is_no_number_fails_the_node(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "from xstilts.graph.worker import serve\n"
        "serve(lambda node, parents, out, resources, progress: {'x': float('nan')})\n"
    )
    (_, answer), _ = converse(request(node("train", "a"), tmp_path / "out"), command=[WORKER[0], str(script)])
    assert (answer["event"], answer["type"]) == ("failed", "ValueError")


def test_progress_is_limited_and_tells_the_end_of_each_phase() -> None:
    sent: list[dict[str, Any]] = []
    now = [0.0]
    progress = Progress(sent.append, clock=lambda: now[0])
    for step in range(1, 101):
        now[0] += 0.01
        progress(step, 100, "steps", loss=0.5)
    assert 5 <= len(sent) <= 7
    assert sent[-1] == {"event": "progress", "done": 100, "total": 100, "unit": "steps", "note": {"loss": 0.5}}
    progress(3, 3, "batches")
    progress(3, 3, "batches")
    assert [e["unit"] for e in sent].count("batches") == 1


def test_a_full_disk_is_known_however_a_library_says_it(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device", str(tmp_path / "model.bin"))
    told = disk_error(full, tmp_path)
    assert told is not None
    assert told.where == str(tmp_path / "model.bin")
    wrapped = RuntimeError("cannot save")
    wrapped.__cause__ = full
    rust = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error in (wrapped, rust):
        told = disk_error(error, tmp_path)
        assert told is not None
        assert "ENOSPC" in told.what


@pytest.mark.parametrize("error", [ValueError("bad"), FileNotFoundError(2, "No such file"), RuntimeError("os error")])
def test_other_errors_are_the_nodes_own(tmp_path: Path, error: Exception) -> None:
    assert disk_error(error, tmp_path) is None


def test_a_worker_that_ends_by_itself_is_not_said_to_be_killed(store: Store) -> None:
    """Its output ends a moment before the process does."""
    ready = json.dumps({"event": "ready", "versions": {}}) + "\n"
    script = f"import os, time; os.write(1, {ready!r}.encode()); os.close(1); time.sleep(0.3); raise SystemExit(3)"
    made = node("train", "t")
    summary = go(Graph("g", (made,)), store, command=[sys.executable, "-c", script])
    assert summary.failed == {made.key: "worker ended with exit status 3"}


def test_a_store_whose_name_is_no_text_holds_nodes_and_failures(tmp_path: Path) -> None:
    store = Store(os.fsdecode(os.fsencode(tmp_path / "st") + b"\xff"))
    good, bad = node("train", "good"), node("train", "bad", fail="no rows in {out}")
    summary = go(Graph("g", (bad, good, node("predict", "p", good))), store)
    assert summary.failed[bad.key].startswith("no rows in ")
    assert "st\\udcff/work" in summary.failed[bad.key]
    assert store.failure(bad.key)["type"] == "RuntimeError"  # type: ignore[index]
    assert len(contents(store)) == 2
