"""A study of a model with random weights: planned, run and marked wherever its results are shown."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny_world import tiny_data, tiny_model, tiny_study, write_study
from xstilts import cli, journey
from xstilts.errors import ModelError, StudyError
from xstilts.graph.node import Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.model_source import find_model
from xstilts.plan import Plan
from xstilts.published.numbers import load_published
from xstilts.published.own import from_records, from_store
from xstilts.report.comparison.compare import compare_study
from xstilts.report.comparison.tables import notes
from xstilts.report.results import study_results
from xstilts.shapes import RANDOM, SHAPES, shape_config
from xstilts.study import parse_study

TINY = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 200}
MODELS: dict[str, Any] = {
    "drawn": {"shape": "small-world", "random_weights": True, "tokenizer": "words"},
    "tiny": {"path": "words"},
}


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHAPES, "small-world", {**shape_config("xlm-r-base", 1), **TINY})
        yield patch


def planned(home: Path, store: Store, **changes: Any) -> Plan:
    home.mkdir(parents=True, exist_ok=True)
    shutil.copytree(tiny_model(), home / "words", dirs_exist_ok=True)
    study = tiny_study(models=MODELS, targets=["pawsx"], languages=["en", "de"], splits=["dev"], **changes)
    study["training"]["intermediate"]["selection"] = "last"
    return journey.plan_study(write_study(home, study), tiny_data(), store)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch) -> tuple[Store, Plan]:
    """A store in which both models are finished, by the code of a worker in this process."""
    from xstilts.execute import execute

    home = tmp_path_factory.mktemp("random")
    store = Store(home / "store")
    plan = planned(home, store)
    store.save_study(plan.study.name, plan.payload())
    for node in plan.graph:
        out = store.begin(node)
        parents = {role: store.path(key) for role, key in node.parents.items()}
        resources = Resources(plan.files, plan.models, threads=1)
        counts = execute(node, parents, out, resources, Progress(lambda event: None))
        store.commit(node, out, counts)
    return store, plan


def test_one_node_makes_the_model_for_all_arms(finished: tuple[Store, Plan]) -> None:
    store, plan = finished
    (node,) = [n for n in plan.graph if n.kind == "random"]
    assert node.spec["config"] == SHAPES["small-world"]
    assert node.spec["seed"] == 1
    config = json.loads((store.path(node.key) / "model" / "config.json").read_text())
    assert RANDOM in config
    children = [n for n in plan.graph if n.parents.get("model") == node.key]
    assert {n.labels["arm"] for n in children} == {"none", "mnli"}


def test_what_is_made_from_it_keeps_the_mark(finished: tuple[Store, Plan]) -> None:
    store, plan = finished
    for node in (n for n in plan.graph if n.kind == "train"):
        config = json.loads((store.path(node.key) / "model" / "config.json").read_text())
        assert (RANDOM in config) == (node.labels["model"] == "drawn")


def test_plan_tables_and_rows_are_marked(finished: tuple[Store, Plan]) -> None:
    store, plan = finished
    assert journey.plan_summary(plan, store)["random"] == {"drawn": "small-world, seed 1"}
    tables = journey.tables(store, by_language=True)
    assert len([t for t in tables if t.title.startswith("drawn")]) > 1
    for table in tables:
        drawn = table.title.startswith("drawn")
        assert table.title.endswith("(random weights)") == drawn
        assert any(note.startswith("RANDOM WEIGHTS: drawn") for note in table.notes[:1]) == drawn
    assert {(r["model"], r["weights"]) for r in journey.rows(store)} == {("drawn", "random"), ("tiny", None)}


def test_arms_are_compared_under_the_mark(finished: tuple[Store, Plan]) -> None:
    store, plan = finished
    compared = compare_study(store, study_results(store, plan.study.name), "dev")
    said = {of.model: next(iter(notes(of))) for of in compared}
    assert said["drawn"].startswith("RANDOM WEIGHTS: drawn")
    assert "RANDOM" not in said["tiny"]


def test_nobody_s_numbers_are_compared_with_it(finished: tuple[Store, Plan], tmp_path: Path) -> None:
    store, plan = finished
    (own,) = from_store(store, load_published())
    assert own.refused == ("drawn",)
    assert {row["model"] for row in own.rows} == {"tiny"}
    record = tmp_path / "record.jsonl"
    record.write_text("\n".join(json.dumps(row) for row in journey.rows(store)))
    assert from_records(record, load_published()).refused == ("drawn",)
    assert from_records(record, load_published(), plan.study).refused == ("drawn",)


def test_a_folder_with_the_mark_is_marked_too(finished: tuple[Store, Plan], tmp_path: Path) -> None:
    store, plan = finished
    (node,) = [n for n in plan.graph if n.kind == "random"]
    model = {"path": str(store.path(node.key) / "model")}
    study = write_study(tmp_path, tiny_study(models={"m": model}, targets=["pawsx"], languages=["en"], splits=["dev"]))
    again = journey.plan_study(study, tiny_data(), store)
    assert again.random == {"m": "seed 1"}
    choice = again.study.models["m"]
    assert find_model("m", choice, lambda path: "0" * 64).random == "seed 1"


def test_seed_shape_dtype_and_tokenizer_are_in_the_key(tmp_path: Path, patched: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    drawn = MODELS["drawn"]

    def key(name: str, **changes: Any) -> str:
        home = tmp_path / name
        home.mkdir()
        shutil.copytree(tiny_model(), home / "words")
        if name == "other-words":
            (home / "words" / "tokenizer_config.json").write_text("{}")
        raw = tiny_study(models={"drawn": {**drawn, **changes}}, targets=["pawsx"], languages=["en"], splits=["dev"])
        plan = journey.plan_study(write_study(home, raw), tiny_data(), store)
        return next(n.key for n in plan.graph if n.kind == "random")

    same = key("a")
    assert key("b") == same
    others = {key("c", seed=2), key("d", dtype="bf16"), key("other-words")}
    assert len({same, *others}) == 4


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"shape": "xlm-r-xl", "tokenizer": "t"}, "random_weights: true"),
        ({"path": "m", "random_weights": True}, "random_weights: true"),
        ({"shape": "xlm-r-xl", "random_weights": True}, "tokenizer"),
        ({"path": "m", "seed": 3}, "tokenizer, seed and dtype"),
        ({"path": "m", "shape": "xlm-r-xl", "random_weights": True, "tokenizer": "t"}, "give one of"),
    ],
)
def test_a_shape_is_meant(model: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        parse_study({"name": "s", "models": {"m": model}, "arms": {"none": {}}, "targets": ["xnli"]})


def test_an_unknown_shape_says_the_nearest(tmp_path: Path) -> None:
    model = {"shape": "xlmr-xl", "random_weights": True, "tokenizer": "words"}
    study = write_study(tmp_path, tiny_study(models={"m": model}))
    with pytest.raises(Exception, match="'xlm-r-xl'"):
        journey.plan_study(study, tiny_data(), Store(tmp_path / "store"))


def test_a_folder_without_a_tokenizer_is_refused_while_planning(tmp_path: Path, patched: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path, tiny_study(models={"drawn": MODELS["drawn"]}))
    with pytest.raises(Exception, match="no tokenizer files"):
        journey.plan_study(study, tiny_data(), Store(tmp_path / "store"))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["xstilts", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_memory_of_a_study_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_model(), tmp_path / "words")
    models = {"xxl": {"shape": "xlm-r-xxl", "random_weights": True, "tokenizer": "words"}}
    study = write_study(tmp_path, tiny_study(models=models, targets=["pawsx"], languages=["en"]))
    planning = ("plan", study, "--data", tiny_data(), "--store", tmp_path / "store", "--memory", "--device", "cuda:0")
    assert call(monkeypatch, *planning, "--room", 80) == 0
    printed = capsys.readouterr().out
    assert "RANDOM WEIGHTS" in printed
    assert "What does not fit" in printed
    assert "Ways to run the fullest node of each model" in printed
    assert call(monkeypatch, *planning, "--room", 80, "--json", "-") == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    assert all("sharding over" in of["changes"][0] for of in memory["nodes"] if not of["fits"])
    assert any(of["note"].startswith("planned only") for of in memory["ways"])
    assert {of["node"]: of["fits"] for of in memory["nodes"]} == {
        "train xxl/mnli": False,
        "train xxl/pawsx": False,
        "predict xxl/pawsx": True,
    }
    assert call(monkeypatch, *planning, "--room", 400, "--json", "-") == 0
    assert all(of["fits"] for of in json.loads(capsys.readouterr().out)["memory"]["nodes"])


def test_shapes_are_listed_and_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "shapes") == 0
    assert "10,695,954,432" in capsys.readouterr().out
    monkeypatch.setitem(SHAPES, "small-world", {**shape_config("xlm-r-base", 1), **TINY})
    made = ("shapes", "small-world", "--random-weights", tmp_path / "m", "--tokenizer", tiny_model(), "--layers", 2)
    assert call(monkeypatch, *made) == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text())["num_hidden_layers"] == 2
    assert call(monkeypatch, *made) == ModelError("").exit_code  # nothing is overwritten
    assert call(monkeypatch, "shapes", "small-world", "--random-weights", tmp_path / "n", "--dtype", "fp16") == 2
    assert "RANDOM WEIGHTS" in said_by_predict(tmp_path / "m", monkeypatch, capsys)


def said_by_predict(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    (folder.parent / "texts.txt").write_text("a text\n")
    capsys.readouterr()
    assert call(monkeypatch, "embed", folder, folder.parent / "texts.txt", "--out", folder.parent / "e.npy") == 0
    return " ".join(capsys.readouterr().err.split())
