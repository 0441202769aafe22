"""Fine-tunings that collapse on dev are begun anew where that is declared: counted, shown, resumed, never because of test."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from retry_world import FIELDS, MEASURED, ONCE, Status, World
from tiny_world import command, fake_model, run_command, tiny_study, write_study
from xstilts import journey
from xstilts.errors import StudyError
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.plan import Cell, Plan
from xstilts.plan.retries import retry_seed, with_retries
from xstilts.report.retries import retry_notes
from xstilts.report.show import show_plan
from xstilts.study import parse_study


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def collapses(*places: str, times: int = 1) -> Status:
    """Chance on dev in the first ``times`` attempts at ``arm/target seed``; a test score that cannot be read."""

    def status(node: Node) -> str:
        if node.spec["split"] == "test" and node.spec["task"] != "tatoeba":
            return "test"
        of = node.labels
        here = f"{of['arm']}/{of['task']} {of['seed']}" in places
        return "collapsed" if here and of.get("retry", 0) < times else "ok"

    return status


def readable(status: Status) -> Status:
    return lambda node: "ok" if status(node) == "test" else status(node)


def cell(planned: Plan, arm: str, target: str, split: str, seed: int) -> Cell:
    (found,) = [c for c in planned.cells if (c.arm, c.target, c.split, c.seed) == (arm, target, split, seed)]
    return found


def training(planned: Plan, of: Cell) -> Node:
    nodes = planned.graph.by_key
    return nodes[nodes[nodes[of.key].parents["predictions"]].parents["model"]]


def test_a_declaration_is_in_no_key(world: World) -> None:
    without = world.plan(retries={})
    assert [n.key for n in world.plan(retries={"collapsed": 3}).graph] == [n.key for n in without.graph]
    done, summary = world.run(without, collapses("none/xnli 1"))
    assert (done, summary.complete) == (without, True)
    assert not [title for title in world.ran if "retry" in title]
    assert {c.retry for c in done.cells} == {0}


def test_a_mistake_in_the_declaration_is_named() -> None:
    raw = {**FIELDS, "models": {"m": {"path": "m"}}}
    with pytest.raises(StudyError, match=r"retries\.colapsed: unknown field(?s:.*)'collapsed'"):
        parse_study({**raw, "retries": {"colapsed": 1}})
    with pytest.raises(StudyError, match=r"retries\.collapsed: Input should be greater than or equal to 0"):
        parse_study({**raw, "retries": {"collapsed": -1}})


def test_what_collapsed_on_dev_is_begun_anew_as_new_nodes(world: World) -> None:
    planned = world.plan()
    done, summary = world.run(planned, collapses("none/xnli 2"))
    assert summary.complete
    assert [t for t in world.ran if "retry" in t] == [
        "train m/none/xnli seed 2 retry 1",
        "predict m/none/xnli split dev seed 2 retry 1",
        "score m/none/xnli split dev seed 2 retry 1",
        "predict m/none/xnli split test seed 2 retry 1",
        "score m/none/xnli split test seed 2 retry 1",
    ]
    assert planned.graph.by_key.keys() < done.graph.by_key.keys(), "the attempt that collapsed stays"
    moved = {(c.arm, c.target, c.split, c.seed) for c in done.cells if c.retry}
    assert moved == {("none", "xnli", "dev", 2), ("none", "xnli", "test", 2)}
    assert {c for c in done.cells if not c.retry} < set(planned.cells)
    first, again = (training(p, cell(p, "none", "xnli", "test", 2)) for p in (planned, done))
    assert again == training(done, cell(done, "none", "xnli", "dev", 2))
    assert dict(again.spec) == {**first.spec, "seed": retry_seed(2, 1), "retry_of": first.key}
    assert (again.parents, again.labels["seed"]) == (first.parents, 2)
    assert Store(world.store.root).record(first.key)["key"] == first.key


def test_at_most_as_often_as_declared(world: World) -> None:
    done, _ = world.run(world.plan(retries={"collapsed": 2}), collapses("mnli/pawsx 1", times=9))
    third = training(done, cell(done, "mnli", "pawsx", "test", 1))
    second = done.graph.by_key[third.spec["retry_of"]]
    first = done.graph.by_key[second.spec["retry_of"]]
    assert [n.spec["seed"] for n in (first, second, third)] == [1, retry_seed(1, 1), retry_seed(1, 2)]
    assert (cell(done, "mnli", "pawsx", "dev", 1).retry, "retry_of" in first.spec) == (2, False)


def test_the_same_command_again_does_nothing_and_finds_the_same(world: World) -> None:
    status = collapses("none/xnli 2", "mnli/pawsx 1", times=9)
    done, _ = world.run(world.plan(), status)
    payload, world.ran = world.store.studies(), []
    again, summary = world.run(world.plan(), status)
    assert (again, world.ran, summary.found, summary.complete) == (done, [], len(done.wanted), True)
    assert world.store.studies() == payload
    assert world.store.replaced_studies() == []


@pytest.mark.parametrize("stop", [0, 10, 18, 19, 20, 22])
def test_stopped_anywhere_and_taken_up_again_it_ends_the_same(world: World, tmp_path: Path, stop: int) -> None:
    status = collapses("none/xnli 2", "mnli/pawsx 1", times=9)
    calm = World(tmp_path / "calm")
    expected, _ = calm.run(calm.plan(), status)
    left = stop  # of 19 planned scores and 4 of what is begun anew

    def stopping(node: Node) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return status(node)

    with pytest.raises(KeyboardInterrupt):
        world.run(world.plan(), stopping)
    for key in list(world.store.claims()):
        world.store.release(key)
    done, summary = world.run(world.plan(), status)
    assert summary.complete
    assert [c.key for c in done.cells] == [c.key for c in expected.cells]
    assert set(world.store.keys()) == set(calm.store.keys())


def test_where_a_collapse_cannot_be_told_nothing_is_begun_anew(world: World) -> None:
    def anywhere(node: Node) -> str:
        return "no_gold" if node.spec["task"] == "pawsx" else "collapsed"

    fields: dict[str, Any] = {"targets": ["xnli", "pawsx", "xquad"], "seeds": [1]}
    planned = world.plan(**fields)
    assert planned.unjudged == ("xquad (no dev score in this study)",)
    done, _ = world.run(planned, anywhere)
    assert done.unjudged == ("pawsx (no dev gold in en)", "xquad (no dev score in this study)")
    assert {c.target for c in done.cells if c.retry} == {"xnli"}
    world.rows = 19
    few, _ = world.run(world.plan(**fields, limits={"train_rows": 5}), anywhere)
    assert few.unjudged[0] == "xnli (19 dev rows in en, fewer than 20)"
    assert not any(c.retry for c in few.cells)


def test_the_language_that_an_arm_is_fine_tuned_in_decides(world: World) -> None:
    def in_german(node: Node) -> str:
        return "collapsed" if node.labels["arm"] == "de" else "ok"

    train = {"xnli.train.de": ["multinli_1.0/multinli_1.0_train.jsonl"]}
    fields: dict[str, Any] = {
        "arms": {"none": {}, "de": {"target_source": "de"}},
        "seeds": [1],
        "data": {"files": train},
    }
    fields |= {"targets": ["xnli"], "training": {"target": {"selection": "last"}}}
    assert world.plan(**fields, languages=["en"]).unjudged == ("xnli (no dev score in de)",)
    world.only = "de"
    done, _ = world.run(world.plan(**fields), in_german)
    assert {c.arm for c in done.cells if c.retry} == {"de"}


def test_a_measurement_is_of_the_last_attempt_and_comes_last(world: World) -> None:
    planned = world.plan(measurements=MEASURED)
    done, summary = world.run(planned, collapses("none/pawsx 1", "mnli/pawsx 1"))
    (measured,) = done.measured
    made_from = done.graph.by_key[measured.key].parents
    assert [t for t in world.ran if t.startswith("measure")] == [world.ran[-1]]
    assert summary.complete
    for arm in ("none", "mnli"):
        assert made_from[f"model m/{arm}"] == training(done, cell(done, arm, "pawsx", "test", 1)).key
    assert planned.measured[0].key not in done.graph.by_key
    world.ran = []
    assert world.run(world.plan(measurements=MEASURED), collapses())[0] == done
    assert world.ran == []


def test_a_failure_is_tried_once_and_blocks_its_measurement(world: World) -> None:
    world.broken = "train m/none/pawsx seed 1"
    done, summary = world.run(world.plan(measurements=MEASURED), collapses("none/xnli 2"))
    (failed,) = summary.failed
    assert done.graph.by_key[failed].title == world.broken
    assert summary.blocked[done.measured[0].key] == failed
    assert len(summary.blocked) == 5
    assert cell(done, "none", "xnli", "dev", 2).retry == 1


def test_the_table_counts_and_names_them(world: World) -> None:
    status = readable(collapses("none/xnli 2", "mnli/pawsx 1", times=9))
    planned, _ = world.run(world.plan(retries={"collapsed": 2}), status)
    for table in journey.tables(world.store, "s"):
        assert (
            "2 of 8 fine-tunings were begun anew with another seed after a collapse on the dev set of the language they "
            "learn in (declared: at most 2 retries each): none/xnli seed 2 (2 times) (at chance still), mnli/pawsx seed 1 "
            "(2 times) (at chance still)."
        ) in table.notes
    retries = {(r["arm"], r["target"], r["seed"], r["retry"]) for r in journey.rows(world.store, "s") if r["retry"]}
    assert retries == {("none", "xnli", 2, 2), ("mnli", "pawsx", 1, 2)}
    assert {r["retry"] for r in journey.rows(world.store, "s") if r["target"] == "tatoeba"} == {None}
    none = replace(planned, study=planned.study.model_copy(update={"retries": world.plan(retries={}).study.retries}))
    assert list(retry_notes(none.payload(), [], "m")) == []


def test_a_model_that_writes_text_is_begun_anew_with_what_it_wrote_and_what_was_read_of_it(world: World) -> None:
    folder = fake_model(world.folder / "t5")
    (folder / "config.json").write_text(json.dumps({"model_type": "mt5", "num_layers": 2}))
    models = {"m": {"path": str(folder), "run": "text_to_text"}}
    planned, _ = world.run(world.plan(models=models, targets=["xnli"]), readable(collapses("mnli/xnli 2")))
    again = ["train m/mnli/xnli seed 2 retry 1"]
    for split in ("dev", "test"):
        again += [f"{kind} m/mnli/xnli split {split} seed 2 retry 1" for kind in ("generate", "parse", "score")]
    assert sorted(title for title in world.ran if "retry" in title) == sorted(again)
    nodes = planned.graph.by_key
    parsed = nodes[nodes[cell(planned, "mnli", "xnli", "test", 2).key].parents["predictions"]]
    assert nodes[nodes[parsed.parents["raw"]].parents["model"]].spec["seed"] == retry_seed(2, 1)
    notes = [note for table in journey.tables(world.store, "s") for note in table.notes]
    assert sum("1 of 4 fine-tunings were begun anew" in n and n.endswith("mnli/xnli seed 2.") for n in notes) == 2


def test_the_plan_says_so(world: World) -> None:
    world.run(world.plan(), collapses("none/xnli 2"))
    planned, out = world.plan(targets=["xnli", "pawsx", "xquad"]), io.StringIO()
    summary = journey.plan_summary(planned, world.store)
    assert summary["retries"]["begun"] == ["train m/none/xnli seed 2 retry 1"]
    show_plan(summary, Console(file=out, width=200))
    assert "is begun anew with another seed, at most 1 time. Begun anew so far: 1." in out.getvalue()
    assert "A collapse cannot be told for xquad (no dev score in this study)." in out.getvalue()
    assert with_retries(planned, world.store) == planned


def test_on_the_command_line_a_study_that_cannot_learn_is_begun_anew(tmp_path: Path) -> None:
    few = {"max_steps": 2, "batch_size": 6, "selection": "last", "learning_rate": 1000.0, "warmup": 0}
    fields: dict[str, Any] = {"arms": {"none": {}}, "languages": ["en", "de"], "training": {"target": few}}
    study = write_study(tmp_path, tiny_study(**fields, retries=ONCE))
    store = tmp_path / "store"
    said = command(*run_command(study, store))
    assert re.search(
        r"1 of 1 fine-tunings were begun anew(?s:.*)\(declared: at most 1 retry each\): none/xnli seed", said
    )
    row = json.loads(command("results", "--store", store, "--json", "-"))[0]
    assert row["retry"] == 1
    why = json.loads(command("why", row["key"][:12], "--store", store, "--json", "-"))
    spec = next(n["spec"] for n in why["ancestry"] if n["kind"] == "train")
    first = json.loads(command("why", spec["retry_of"][:12], "--store", store, "--json", "-"))["ancestry"][0]
    assert (first["status"], first["spec"]["seed"], spec["seed"]) == ("done", 1, retry_seed(1, 1))
    command(*run_command(study, store, "--json", tmp_path / "run.json"))
    assert json.loads((tmp_path / "run.json").read_text())["ran"] == 0


def test_a_damaged_dev_score_is_no_reason_to_stop_planning(world: World) -> None:
    """A run sets it aside and makes it again; only then can anybody tell a collapse."""
    planned = world.plan()
    done, _ = world.run(planned, collapses("none/xnli 1"))
    assert {c.retry for c in done.cells} == {0, 1}
    collapsed = cell(planned, "none", "xnli", "dev", 1).key
    (world.store.path(collapsed) / "scores.json").write_text("[]")
    world.store = Store(world.store.root)
    assert {c.retry for c in world.plan().cells} == {0}
