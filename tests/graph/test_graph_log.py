"""Run logs: what is written, when, where; and what a crash, a full disk or a broken tracker does to a run."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xstilts.errors import MissingNameError, XstiltsError
from xstilts.graph.events import (
    Event,
    NodeBlocked,
    NodeDone,
    NodeElsewhere,
    NodeFailed,
    NodeProgress,
    NodeSetAside,
    NodeStarted,
    RunStarted,
)
from xstilts.graph.log import RunLog, Tracker, append
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.tracking import tracker

PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"
TRAIN = Node("train", {"a": 1}, {}, {"model": "m", "arm": "none", "task": "xnli", "seed": 1})
SCORE = Node("score", {"a": 1}, {"predictions": TRAIN.key}, {"model": "m", "task": "xnli"})
OTHER = Node("score", {"a": 2}, {}, {"model": "m", "task": "pawsx"})
Lines = list[Mapping[str, Any]]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def step(number: int, loss: float) -> NodeProgress:
    return NodeProgress(0, 3, None, TRAIN, 0, number, 8, "steps", {"loss": loss})


def told(store: Store, *trackers: Tracker) -> RunLog:
    """A run in which a training learns, two scores end and one waits; a second passes between two steps."""
    clock = Clock()
    with RunLog(store, "study", trackers, clock=clock) as log:
        log(RunStarted(1, 4, None))
        log(NodeStarted(1, 4, None, TRAIN, 0, "cpu"))
        for number in range(1, 9):
            clock.seconds += 1
            log(step(number, 1 / number))
        log(NodeDone(2, 4, None, TRAIN, 0, 8.0))
        log(NodeElsewhere(2, 4, None, OTHER, 1, "process 3 runs it"))
        log(NodeDone(3, 4, None, OTHER, 1, 0.0, elsewhere=True))
    return log


def lines(file: Path) -> Lines:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def of_run(log: RunLog) -> Lines:
    return lines(log.folder / "runs" / f"{log.run}.jsonl")


def of_node(log: RunLog, node: Node) -> Lines:
    return lines(log.folder / "nodes" / f"{node.key}.jsonl")


def test_a_run_and_its_nodes_have_their_files(store: Store) -> None:
    log = told(store)
    assert [line["event"] for line in of_run(log)] == [
        "run_started", "node_started", "node_done", "node_waiting", "node_done", "run_ended",
    ]  # fmt: skip
    started, ended = of_run(log)[0], of_run(log)[-1]
    assert (started["study"], started["found"], started["total"]) == ("study", 1, 4)
    assert (ended["done"], ended["failed"], ended["seconds"]) == (2, 0, 8.0)
    found = of_node(log, TRAIN)
    assert [line["event"] for line in found] == ["node_started", *["node_progress"] * 5, "node_done"]
    assert [line["position"] for line in found[1:-1]] == [1, 3, 5, 7, 8], "every two seconds, and the last"
    assert found[1]["values"] == {"loss": 1.0} and found[1]["labels"]["task"] == "xnli"
    assert found[-1]["seconds"] == 8.0
    assert not (log.folder / "nodes" / f"{OTHER.key}.jsonl").exists(), "another driver writes that one"


def test_every_field_is_documented(store: Store) -> None:
    table = PAGE.read_text(encoding="utf-8").split("| `event` |")[1].split("Progress is written")[0]
    rows = {
        re.findall(r"`(\w+)`", line)[0]: set(re.findall(r"`(\w+)`", line)[1:])
        for line in table.splitlines()[2:]
        if line
    }
    clock = Clock()
    seen: Lines = []
    with RunLog(store, "study", [seen.append], clock=clock) as log:
        log(RunStarted(0, 2, None))
        log(NodeSetAside(0, 2, None, "score m", "damaged"))
        log(NodeStarted(0, 2, None, TRAIN, 0, "cpu"))
        log(step(1, 0.5))
        log(NodeFailed(0, 2, None, TRAIN, 0, "TrainingError", "nan"))
        log(NodeBlocked(0, 2, None, SCORE, 0, TRAIN))
        log(NodeElsewhere(0, 2, None, OTHER, 0, "elsewhere"))
        log(NodeDone(1, 2, None, OTHER, 0, 1.0))
    everywhere = {"time", "run", "event", "key", "kind", "title", "labels"}
    assert {line["event"] for line in seen} == rows.keys()
    for line in seen:
        assert line.keys() - everywhere <= rows[line["event"]]


def test_a_failed_node_says_why_and_after_how_long(store: Store) -> None:
    clock = Clock()
    with RunLog(store, "study", clock=clock) as log:
        log(RunStarted(0, 2, None))
        log(NodeStarted(0, 2, None, TRAIN, 0, "cpu"))
        clock.seconds = 4
        log(NodeFailed(0, 2, None, TRAIN, 0, "TrainingError", "loss nan at step 3"))
        log(NodeBlocked(0, 2, None, SCORE, 0, TRAIN))
    failed = of_node(log, TRAIN)[-1]
    assert (failed["event"], failed["seconds"], failed["message"]) == ("node_failed", 4, "loss nan at step 3")
    assert of_run(log)[-2]["cause"] == TRAIN.key
    assert (of_run(log)[-1]["failed"], of_run(log)[-1]["blocked"]) == (1, 1)


def test_a_run_that_is_stopped_says_so(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), RunLog(store, "study") as log:
        log(RunStarted(0, 2, None))
        log(NodeStarted(0, 2, None, TRAIN, 0, "cpu"))
        raise KeyboardInterrupt
    assert of_run(log)[-1]["error"].startswith("KeyboardInterrupt")


def test_a_run_with_nothing_to_do_writes_nothing(store: Store) -> None:
    seen: Lines = []
    with RunLog(store, "study", [seen.append]) as log:
        log(RunStarted(4, 4, None))
    assert not log.folder.exists() and not seen


def test_another_attempt_is_added_below_and_a_half_line_spoils_no_other(store: Store) -> None:
    file = told(store).folder / "nodes" / f"{TRAIN.key}.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"time": "2026')  # the power went
    append(file, b'{"event": "node_started"}\n')
    assert file.read_bytes() == whole + b'{"time": "2026\n{"event": "node_started"}\n'


def test_a_log_that_cannot_be_written_is_warned_of_once_and_trackers_go_on(store: Store) -> None:
    (store.root).mkdir(parents=True)
    (store.root / "logs").write_text("in the way")
    seen: Lines = []
    with pytest.warns(UserWarning, match="this run writes no more log") as caught:
        told(store, seen.append)
    assert len(caught) == 1
    assert len([line for line in seen if line["event"] == "node_progress"]) == 5


def test_a_tracker_that_raises_is_warned_of_once_and_harms_nothing(store: Store) -> None:
    calls: list[str] = []

    def broken(record: Mapping[str, Any]) -> None:
        calls.append(record["event"])
        if record["event"] == "node_progress":
            raise ConnectionError("no route")

    seen: Lines = []
    with pytest.warns(UserWarning, match="tracker broken failed.*ConnectionError: no route") as caught:
        log = told(store, broken, seen.append)
    assert len(caught) == 1 and calls == ["run_started", "node_started", "node_progress"]
    assert seen[-1]["event"] == "run_ended" and of_run(log)[-1]["event"] == "run_ended"


class Toy(ModuleType):
    """A tracker's library that notes what it is asked."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def note(*arguments: Any, **named: Any) -> Toy:
            sys.stdout.write("a greeting\n")
            self.calls.append((name, arguments, named))
            return self

        return note

    def __enter__(self) -> Toy:
        return self

    def __exit__(self, *of: object) -> None:
        return None

    def numbers(self) -> list[float]:
        """Every loss that arrived."""
        flat = [value for _, arguments, _ in self.calls for value in arguments]
        flat += [value for of in flat if isinstance(of, dict) for name, value in of.items() if "train" in name]
        return sorted({of for of in flat if isinstance(of, float)})


LOSSES = sorted({1 / 1, 1 / 3, 1 / 5, 1 / 7, 1 / 8})


def test_trackio_gets_every_loss_by_its_own_calls(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Toy("trackio")
    monkeypatch.setitem(sys.modules, "trackio", toy)
    log = told(store, tracker("trackio", "study"))
    (first, _, named), *steps, (last, _, _) = toy.calls
    assert (first, last) == ("init", "finish")
    assert (named["project"], named["name"]) == ("study", log.run)
    assert steps[0] == ("log", ({"loss/train m none xnli seed 1": 1.0},), {"step": 1})
    assert toy.numbers() == LOSSES
    assert capsys.readouterr().out == "", "standard output is for what was asked"


def test_an_unknown_tracker_and_one_that_is_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingNameError, match="trackio"):
        tracker("trakio", "study")
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(XstiltsError, match=r"pip install 'xstilts\[trackio\]'"):
        tracker("trackio", "study")


def shown() -> Iterator[tuple[str, str]]:
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        yield re.findall(r"def (\w+)", code)[0], code


@pytest.mark.parametrize("name", [name for name, _ in shown()])
def test_the_recipes_of_the_page_work(name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy("toy")
    for library in ("wandb", "mlflow", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, library, toy)
    (tmp_path / "recipe.py").write_text(dict(shown())[name])
    recipe = runpy.run_path(str(tmp_path / "recipe.py"))[name]
    assert dict(shown())[name].count("\n") <= 13
    if name == "send_again":
        told(store)
        seen: Lines = []
        recipe(store.root, seen.append)
        assert next(line["values"]["loss"] for line in seen if line["event"] == "node_progress") == 1.0
    else:
        told(store, recipe)
        assert toy.numbers() == LOSSES


def test_events_of_the_run_are_all_known() -> None:
    """A new kind of event needs a line in the log, or a reason here: a waiting slot and an ended job are about no node."""
    logged, of_no_node = {"RunStarted", "NodeEvent", "NodeSetAside"}, {"SlotWaiting", "Said"}
    assert {of.__name__ for of in Event.__subclasses__()} == logged | of_no_node
