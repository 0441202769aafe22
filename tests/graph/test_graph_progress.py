"""How a run looks: on a terminal, and in a log file."""

import io

import pytest
from rich.console import Console
from toy_graph import go, node, tree

from xstilts.graph.events import Event, NodeProgress, NodeStarted
from xstilts.graph.node import Graph
from xstilts.graph.progress import Display, remaining
from xstilts.graph.schedule import Schedule
from xstilts.graph.store import Store


def run_shown(store: Store, graph: Graph, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    with Display(console, len(graph.nodes)) as show:
        events: list[Event] = []
        go(graph, store, events=events)
        for event in events:
            show(event)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_failure_is_always_printed(store: Store, terminal: bool) -> None:
    text = run_shown(store, Graph("g", (node("train", "bad", fail="no [rows] left"),)), terminal=terminal)
    assert "no [rows] left" in text


def test_a_bar_on_a_terminal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "6/6" in run_shown(store, tree(2, 1, steps=3), terminal=True)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True, width=100), 9, clock=iter((0.0, 61.0, 61.0)).__next__) as show:
        show(NodeProgress(1, 9, None, node("train", "a"), 0, 5, 10, "steps", {}))
    assert "1/9 nodes" in out.getvalue()


def test_a_line_a_minute_elsewhere() -> None:
    out = io.StringIO()
    now = [0.0]
    show = Display(Console(file=out, force_terminal=False, width=40), 9, clock=lambda: now[0])
    made = node("train", "t")
    for second in range(150):
        now[0] = float(second)
        event = NodeProgress(3, 9, 600.0, made, 0, second, 500, "steps", {"loss": 0.5})
        show(NodeStarted(3, 9, None, made, 0, "cpu") if second == 0 else event)
    assert out.getvalue().splitlines() == [
        "3/9 nodes, about 10 min left; now: train t 60/500 steps, loss 0.5",
        "3/9 nodes, about 10 min left; now: train t 120/500 steps, loss 0.5",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (12.4, ", about 12 s left"), (600, ", about 10 min left"), (7200, ", about 2.0 h left")],
)
def test_remaining(seconds: float | None, text: str) -> None:
    assert remaining(seconds) == text


def test_the_forecast_is_the_mean_of_each_kind_over_the_slots() -> None:
    graph = tree(3, 1)
    schedule = Schedule(graph.by_key, 0, 2)
    assert schedule.eta_seconds() is None
    train = schedule.take(0)
    assert train is not None
    schedule.finish(0, train, 30.0)
    # Nothing is known of predictions and scores yet: they count as the mean of all.
    assert schedule.eta_seconds() == (2 * 30 + 3 * 30 + 3 * 30) / 2
    predict = schedule.take(0)
    assert predict is not None
    assert predict.parents == {"from0": train.key}
    schedule.finish(0, predict, 10.0)
    assert schedule.eta_seconds() == (2 * 30 + 2 * 10 + 3 * 20) / 2


@pytest.mark.parametrize("terminal", [True, False])
def test_a_damaged_checkpoint_is_said_once_whatever_the_form(terminal: bool) -> None:
    out = io.StringIO()
    note = {"resumed at": "step 11", "damaged": "step-00000012/weights.safetensors"}
    with Display(Console(file=out, force_terminal=terminal, width=100), 9) as show:
        for step in (11, 12):
            show(NodeProgress(3, 9, None, node("train", "t"), 0, step, 500, "steps", note))
    assert (
        out.getvalue().count("warning: train t: 11/500 steps, resumed at step 11, damaged step-00000012/weights") == 1
    )
    assert out.getvalue().count("warning") == 1
