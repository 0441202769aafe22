"""Text-to-text in a study: what is planned and refused, and a whole study run node by node, seam in the middle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_text_models import text_folder
from tiny_world import fake_model, tiny_data, tiny_study
from xstilts.errors import MemoryNeedError, PredictionError, StudyError
from xstilts.execute import execute
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Node, Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.memory import check
from xstilts.memory.check import check_room
from xstilts.memory.dimensions import dimensions
from xstilts.memory.estimate import How, Work
from xstilts.memory.plan import memory_plan
from xstilts.memory.texts import text_inference, text_training
from xstilts.model_source import find_model
from xstilts.models.text_model import TextModel
from xstilts.plan import Plan, make_plan
from xstilts.report.memory import memory_grids
from xstilts.report.results import result_rows
from xstilts.scoring import read_rows
from xstilts.shapes import shape_config
from xstilts.study import parse_study
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder

FEW = {"max_steps": 2, "batch_tokens": 260, "selection": "last"}
LENGTHS = {"max_input_length": 200, "max_target_length": 16}
LONG = {task: {"max_target_length": 110} for task in ("udpos", "panx", "ccg")}  # of letters
TEXTS: dict[str, Any] = {
    "training": {"intermediate": FEW, "target": FEW, "mixture": {**FEW, "selection": "dev", "selection_rows": 4}},
    "encoding": {"intermediate": LENGTHS, "target": LENGTHS, **LONG},
}
SCRATCH: dict[str, Any] = {
    "objective": "span_corruption",
    "languages": ["en"],
    "text": "xnli.train",
    "model": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 24, "vocabulary": 200},
    "training": {"max_steps": 2, "batch_size": 6},
}


def study(run: str | None = "text_to_text", **changes: Any) -> dict[str, Any]:
    models = {"t5": {"path": str(text_folder(layers=2)), **({"run": run} if run else {})}}
    return tiny_study(**{"models": models, "text_to_text": TEXTS, "languages": ["de", "en"], **changes})


def planned(raw: dict[str, Any]) -> Plan:
    parsed = parse_study(raw)
    models = [find_model(name, choice, digest_file) for name, choice in parsed.models.items() if not choice.pretrain]
    return make_plan(parsed, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)


def keys(plan: Plan) -> dict[str, str]:
    return {node.title: node.key for node in plan.graph}


def test_arms_write_text_and_the_seam_is_a_node() -> None:
    plan = planned(study(targets=["xnli", "panx", "xquad", "tatoeba"], splits=["test"]))
    by_kind: dict[str, list[Node]] = {}
    for node in plan.graph:
        by_kind.setdefault(node.kind, []).append(node)
    assert len(by_kind["generate"]) == len(by_kind["parse"]) == 2 * 3
    assert "predict" not in by_kind
    assert by_kind["retrieve"], "retrieval pools the encoder half"
    xnli = next(node for node in by_kind["generate"] if node.spec["task"] == "xnli")
    assert xnli.spec["cast"]["prefix"] == "xnli:"
    assert xnli.spec["decoding"] == "greedy"
    parsed = next(node for node in by_kind["parse"] if node.parents["raw"] == xnli.key)
    assert parsed.spec.keys() == {"task", "split", "languages", "rows", "cast"}
    scored = next(node for node in by_kind["score"] if node.parents["predictions"] == parsed.key)
    assert scored.spec["task"] == "xnli"


def test_what_can_change_a_result_is_in_a_key() -> None:
    same = keys(planned(study()))
    assert keys(planned(study(training={"target": {"learning_rate": 1e-4}}, encoding={}))) == same, "for encoders"
    for changed in (
        {"constrained": True},
        {"training": {**TEXTS["training"], "target": {**FEW, "batch_tokens": 261}}},
        {"training": {**TEXTS["training"], "target": {**FEW, "optimizer": "adamw"}}},
        {"encoding": {**TEXTS["encoding"], "target": {**LENGTHS, "max_target_length": 17}}},
    ):
        assert keys(planned(study(text_to_text={**TEXTS, **changed}))) != same


def test_published_settings_are_the_defaults() -> None:
    plan = planned(study(text_to_text={}, targets=["xnli", "panx", "pawsx", "xquad"], arms={"none": {}}))
    found = {n.labels["task"]: n.spec for n in plan.graph if n.kind == "train"}
    assert {task: spec["training"]["batch_tokens"] for task, spec in found.items()} == {
        "xnli": 2**20,
        "panx": 2**16,
        "pawsx": 2**17,
        "xquad": 2**17,
    }
    assert {task: tuple(spec["encoding"].values()) for task, spec in found.items()} == {
        "xnli": (1024, 128),
        "panx": (1024, 512),
        "pawsx": (1024, 128),
        "xquad": (1024, 512),
    }
    assert {(s["training"]["learning_rate"], s["training"]["schedule"]) for s in found.values()} == {(1e-3, "constant")}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"run": None}, "does not say how its arms run"),
        ({"precision": "fp16"}, "precision: "),
        ({"retrieval": {"checkpoints": 1}, "targets": ["tatoeba"]}, "encoders are kept on the way of encoders only"),
        ({"arms": {"a": {"intermediate": "masked_lm", "masked_lm": {"languages": ["en"]}}}}, "has no mask to predict"),
        ({"text_to_text": {"training": {"target": {"batch_size": 3}}}}, "training.target.batch_size: unknown field"),
        ({"text_to_text": {"training": {"target": {"batch_tokens": 1}}}}, "greater than or equal to 8"),
    ],
)
def test_what_cannot_be_is_refused_while_planning(raw: dict[str, Any], told: str) -> None:
    with pytest.raises(StudyError, match=told):
        planned(study(**raw))


def test_memory_is_planned_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(study())
    told = memory_plan(plan, ["cpu"], 512)
    assert {row["node"].split()[0] for row in told["nodes"]} == {"train", "generate"}
    assert {way["way"] for way in told["ways"]} == {"full", "inference"}
    assert all(memory_grids(told))
    monkeypatch.setattr(check, "free_memory", lambda: 1000)
    monkeypatch.setattr(check, "own_memory", lambda: 0)
    learning = next(node for node in plan.graph if node.kind == "train" and "model" in node.spec)
    with pytest.raises(MemoryNeedError, match=r"needs .* on cpu, and 0 MiB are free"):
        check_room(learning, {}, Resources(plan.files, plan.models))


def test_what_a_text_to_text_model_holds_follows_its_optimizer_and_lengths() -> None:
    of, work = dimensions(shape_config("mt5-xl")), Work(longest=128, written=8, step_tokens=8 * 4096)
    factored, plain = (text_training(of, replace(work, factored=on), How("cuda")) for on in (True, False))
    for need in (factored, plain):
        assert need.moments["update"]["gradients"] == need.moments["update"]["weights"] == 4 * of.parameters
    assert plain.moments["update"]["optimizer"] == 8 * of.parameters > 100 * factored.moments["update"]["optimizer"]
    short, long = (
        text_inference(of, replace(work, written=n, step_tokens=0), How()).moments["write"] for n in (8, 512)
    )
    assert long["keys and values"] > 4 * short["keys and values"]


def test_an_encoder_cannot_write(tmp_path: Path) -> None:
    raw = study()
    raw["models"] = {"enc": {"path": str(fake_model(tmp_path / "m")), "run": "text_to_text"}}
    with pytest.raises(StudyError, match=r"enc \(xlm-roberta\) is an encoder: it writes no text"):
        planned(raw)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, dict[str, Path]]:
    """Every node of a study with a model that is loaded, and one made from scratch; one arm is a mixture."""
    raw = study(
        arms={"none": {}, "two": {"intermediate": ["mnli", "ccg"]}},
        targets=["xnli", "panx", "udpos", "xquad", "tatoeba"],
        splits=["test"],
    )
    raw["models"]["scratch"] = {"run": "text_to_text", "pretrain": SCRATCH}
    plan, home, folders = planned(raw), tmp_path_factory.mktemp("texts"), dict[str, Path]()
    for node in plan.graph:
        shown = (node.labels.get("arm"), node.labels.get("task"))
        if node.labels.get("model") == "scratch" and shown not in ((None, "span corruption"), ("none", "xnli")):
            continue
        folders[node.key] = out = home / node.key
        out.mkdir()
        parents = {role: folders[key] for role, key in node.parents.items()}
        resources = Resources(plan.files, plan.models, threads=1, micro_batch_tokens=2000)
        execute(node, parents, out, resources, Progress(lambda event: None))
    return plan, folders


def test_every_kind_of_node_runs(finished: tuple[Plan, dict[str, Path]]) -> None:
    plan, folders = finished
    ran = {node.kind for node in plan.graph if node.key in folders}
    assert ran == {"pretrain", "train", "mix", "generate", "parse", "retrieve", "calibrate", "score"}


def test_raw_text_and_its_length_cross_the_seam(finished: tuple[Plan, dict[str, Path]]) -> None:
    plan, folders = finished
    for node in plan.graph:
        if node.kind == "parse" and node.key in folders:
            for language in node.spec["languages"]:
                raw = read_rows(folders[node.parents["raw"]] / "raw" / f"test-{language}.jsonl")
                rows = read_rows(folders[node.key] / "outputs" / f"{language}.jsonl")
                assert [row["id"] for row in raw] == [row["id"] for row in rows]
                assert all(row.keys() == {"id", "text", "tokens", "ended"} for row in raw)
                assert all(("unfinished" in p["flaws"]) == (not r["ended"]) for r, p in zip(raw, rows, strict=True))


def test_scores_are_those_of_any_model_and_flaws_stand_beside_them(finished: tuple[Plan, dict[str, Path]]) -> None:
    plan, folders = finished
    for cell in plan.cells:
        if cell.key not in folders or cell.target == "tatoeba":
            continue
        rows = json.loads((folders[cell.key] / "scores.json").read_text())
        german = {row["metric"]: row for row in rows if row["language"] == "de"}
        assert set(load(cell.target).main_score) == {name for name, row in german.items() if row["main"]}
        assert {"unparsable", "outside_input", "other_script", "unfinished"} <= german.keys()
        assert ("text_f1" in german) == (cell.target == "panx")


def test_a_mixture_counts_the_steps_of_its_tasks(finished: tuple[Plan, dict[str, Path]]) -> None:
    plan, folders = finished
    (mix,) = [node for node in plan.graph if node.kind == "mix" and node.key in folders]
    counts = json.loads((folders[mix.key] / "training.json").read_text())
    assert sum(of["steps"] for of in counts["tasks"].values()) == counts["training"]["steps"] == 2
    assert counts["training"]["dev"], "dev rows were answered"
    assert TextModel.load(folders[mix.key] / "model").config.model_type == "mt5"


def test_raw_text_of_other_rows_is_refused(finished: tuple[Plan, dict[str, Path]], tmp_path: Path) -> None:
    plan, folders = finished
    node = next(node for node in plan.graph if node.kind == "parse" and node.key in folders)
    language = next(iter(node.spec["languages"]))
    raw = folders[node.parents["raw"]] / "raw" / f"test-{language}.jsonl"
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / raw.name).write_text("".join(raw.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(PredictionError, match="which are not of the 24 rows"):
        execute(node, {"raw": tmp_path}, tmp_path, Resources(plan.files, plan.models), Progress(lambda event: None))


def test_the_table_finds_how_a_checkpoint_was_chosen(finished: tuple[Plan, dict[str, Path]], store: Store) -> None:
    plan, _ = finished
    store.save_study(plan.study.name, plan.payload())
    assert {row["status"] for row in result_rows(store, plan.study.name)} == {"waiting"}
