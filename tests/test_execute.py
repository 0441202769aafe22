"""Running nodes: heads are matched by label names, gold never reaches a model that predicts, outside tasks run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_world import command, run_command, tiny_data, tiny_model, tiny_study, write_study
from xstilts.errors import DataError, GoldError, ModelError
from xstilts.execute import execute
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Node, Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.scoring import read_rows
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

QUIET = Progress(lambda event: None)
TURNED = '''
"""PAWS-X with its labels in another order, fine-tuned on PAWS-X's own rows."""
from dataclasses import replace

from xstilts.task_types import Classification
from xstilts.tasks import load

TASK = replace(load("pawsx"), name="turned", trains_on="pawsx", type=Classification(("1", "0")))
'''


def planned(**changes: Any) -> Plan:
    """A plan over the tiny data and the tiny model."""
    study = parse_study(tiny_study(**changes))
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    return make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)


def run(plan: Plan, node: Node, parents: dict[str, Path], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True)
    return execute(node, parents, out, Resources(plan.files, plan.models, threads=1), QUIET)


@pytest.fixture(scope="module")
def pawsx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A plan, and the folder of its PAWS-X training, finished."""
    plan = planned(arms={"none": {}}, targets=["pawsx", "xnli"], splits=["test"])
    trained = tmp_path_factory.mktemp("pawsx") / "trained"
    node = next(n for n in plan.graph if (n.kind, n.labels["task"]) == ("train", "pawsx"))
    counts = run(plan, node, {}, trained)
    assert (counts["rows_found"], counts["rows_trained_on"]) == (24, 24)
    assert "packed" in counts["execution"]
    assert (counts["encoding"]["windows"], counts["training"]["windows"]) == (24, 12), "a set of rows and two steps"
    assert counts["training"]["seconds"] > 0
    return plan, trained


def of(plan: Plan, kind: str, task: str) -> Node:
    return next(n for n in plan.graph if (n.kind, n.labels["task"]) == (kind, task))


def test_training_leaves_a_model_and_its_log(pawsx: tuple[Plan, Path]) -> None:
    _, trained = pawsx
    assert {p.name for p in trained.iterdir()} == {"model", "training.json", "training.jsonl"}
    assert json.loads((trained / "model" / "config.json").read_text())["label2id"] == {"0": 0, "1": 1}
    assert len(read_rows(trained / "training.jsonl")) >= 1


def test_training_again_gives_the_same_weights(pawsx: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, trained = pawsx
    run(plan, of(plan, "train", "pawsx"), {}, tmp_path / "again")
    weights = "model/model.safetensors"
    assert digest_file(tmp_path / "again" / weights) == digest_file(trained / weights)


def test_a_head_that_does_not_know_the_tasks_labels_is_refused(pawsx: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, trained = pawsx
    with pytest.raises(ModelError, match="xnli has labels the model's head does not know: contradiction, entailment"):
        run(plan, of(plan, "predict", "xnli"), {"model": trained}, tmp_path / "out")


def test_predictions_do_not_depend_on_gold(pawsx: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, trained = pawsx
    node, gold = of(plan, "predict", "pawsx"), of(plan, "score", "pawsx").spec["languages"]
    counts = run(plan, node, {"model": trained}, tmp_path / "plain")
    assert (counts["languages"], counts["examples"]) == (7, 7 * 24)
    entries = {k: {**v, "gold": gold[k]["gold"]} for k, v in node.spec["languages"].items()}
    run(plan, replace(node, spec={**node.spec, "languages": entries}), {"model": trained}, tmp_path / "told")
    for file in (tmp_path / "plain" / "outputs").iterdir():
        assert file.read_bytes() == (tmp_path / "told" / "outputs" / file.name).read_bytes()


def test_training_rows_without_gold_are_counted_and_the_first_is_named(
    pawsx: tuple[Plan, Path], tmp_path: Path
) -> None:
    plan, _ = pawsx
    node = of(plan, "train", "pawsx")
    spec = {**node.spec, "files": of(plan, "predict", "pawsx").spec["languages"]["de"]["files"], "overlap": []}
    with pytest.raises(GoldError, match=r"(?s)24 of 24 training rows of pawsx have no gold.*row '.+'.*data check"):
        run(plan, replace(node, spec=spec), {}, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "added_tokens.json"])
def test_a_base_model_that_changed_since_it_was_planned_is_refused(
    pawsx: tuple[Plan, Path], tmp_path: Path, name: str
) -> None:
    plan, _ = pawsx
    folder = Path(shutil.copytree(tiny_model(), tmp_path / "model"))
    (folder / name).write_bytes((folder / name).read_bytes() + b" " if (folder / name).exists() else b"{}")
    moved = replace(plan, models=dict.fromkeys(plan.models, str(folder)))
    with pytest.raises(DataError, match=r"(?s)model: changed since it was planned.*run the same command again"):
        run(moved, of(plan, "train", "pawsx"), {}, tmp_path / "out")


def test_a_task_file_that_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from dataclasses import replace\nfrom xstilts.tasks import load\n")
    file.write_text(file.read_text() + 'TASK = replace(load("xnli"), name="mine")\n')
    spec: dict[str, Any] = {"task": "mine", "split": "test", "languages": {}, "rows": None}
    node = Node("score", {**spec, "task_files": {"mine": digest_file(file)}}, {"predictions": "0" * 64})
    resources = Resources(task_files=(str(file),))
    assert execute(node, {"predictions": tmp_path}, tmp_path, resources, QUIET) == {"rows": 0}
    with pytest.raises(DataError, match=r"(?s)'mine' is not given.*--task-file"):
        execute(node, {"predictions": tmp_path}, tmp_path, Resources(), QUIET)
    file.write_text(file.read_text() + "# another task\n")
    with pytest.raises(DataError, match=r"mine\.py: changed since it was planned"):
        execute(node, {"predictions": tmp_path}, tmp_path, resources, QUIET)


def outputs(store: Path, task: str) -> dict[str, list[Any]]:
    """Language -> the predicted labels of a task in a store."""
    nodes = Store(store).studies()["tiny"]["nodes"]
    (key,) = [n["key"] for n in nodes if n["kind"] == "predict" and n["spec"]["task"] == task]
    files = (Store(store).path(key) / "outputs").iterdir()
    return {f.stem: [row["label"] for row in read_rows(f)] for f in files}


def test_permuted_labels_are_matched_by_name_and_an_outside_task_runs(tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_data(), tmp_path / "data"))
    shutil.copytree(data / "labels" / "pawsx", data / "labels" / "turned")
    (tmp_path / "turned.py").write_text(TURNED)
    raw = tiny_study(arms={"none": {}}, targets=["pawsx", "turned"], splits=["test"])
    study, store = write_study(tmp_path, raw), tmp_path / "store"
    command(*run_command(study, store, "--task-file", tmp_path / "turned.py", data=data))
    found = outputs(store, "turned")
    assert len(found) == 7
    assert found == outputs(store, "pawsx")
    rows = json.loads(command("results", "--store", store, "--json", "-"))
    scored = {t: {r["language"]: r["value"] for r in rows if r["target"] == t} for t in ("pawsx", "turned")}
    assert scored["turned"] == scored["pawsx"]
    table = command("results", "--store", store, "--markdown")
    assert "| arm | pawsx | turned |" in table
    assert "turned 7/7" in table


def test_tags_of_ccg_and_choices_of_hellaswag_are_intermediate_tasks(tmp_path: Path) -> None:
    """CCG's dev has a category that its training rows lack; the checkpoint is chosen on it all the same."""
    assert tiny_model().is_dir()
    arms = {"ccg": {"intermediate": "ccg"}, "hellaswag": {"intermediate": "hellaswag"}}
    raw = tiny_study(arms=arms, targets=["pawsx"], splits=["test"], languages=["de"], limits={"train_rows": 12})
    study, store = write_study(tmp_path, raw), tmp_path / "store"
    command(*run_command(study, store))
    nodes = Store(store).studies()["tiny"]["nodes"]
    trained = {
        n["labels"]["task"]: Store(store).path(n["key"]) for n in nodes if n["labels"].get("role") == "intermediate"
    }
    labels = json.loads((trained["ccg"] / "model" / "config.json").read_text())["label2id"]
    assert set(labels) <= {"N", "NP", "N/N", "S/NP"}
    for folder in trained.values():
        assert json.loads((folder / "training.json").read_text())["rows_trained_on"] == 12
    rows = json.loads(command("results", "--store", store, "--json", "-"))
    assert {(r["arm"], r["language"], r["count"]) for r in rows} == {("ccg", "de", 24), ("hellaswag", "de", 24)}
