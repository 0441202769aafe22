"""The pocket study of a text-to-text model: what the shipped recipe plans."""

from __future__ import annotations

from pathlib import Path

from small_world import CODES, small_world

from xstilts.graph.disk import digest_file
from xstilts.journey import read_study
from xstilts.plan import make_plan
from xstilts.tasks.folder import DataFolder


def test_one_model_is_made_by_denoising_and_writes_the_answers_of_all_targets() -> None:
    study = read_study(Path("pocket-text"))
    plan = make_plan(study, DataFolder(small_world()), [], precision="fp32", digest=digest_file)
    (made,) = (node for node in plan.graph if node.kind == "pretrain")
    assert (made.spec["settings"]["objective"], made.labels["task"]) == ("denoising", "denoising")
    assert set(made.spec["text"]) == set(CODES)
    trained = {node.labels["task"]: node for node in plan.graph if node.kind == "train"}
    assert set(trained) == set(study.targets) == {"xnli", "pawsx", "udpos", "panx", "xquad"}
    for node in trained.values():
        assert node.parents["model"] == made.key
        assert node.spec["source"] == "en", "no other language's row is trained on"
        assert "cast" in node.spec
    asked = [node for node in plan.graph if node.kind == "generate" and node.spec["split"] == "test"]
    assert {node.spec["task"]: set(node.spec["languages"]) for node in asked} == {task: set(CODES) for task in trained}
