"""A node that would not fit is refused before it runs, with the part that is too large and the cheapest change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_world import tiny_data
from xstilts.errors import MemoryNeedError
from xstilts.graph.node import Node, Resources
from xstilts.memory import check
from xstilts.memory.advice import cheapest
from xstilts.memory.check import check_room
from xstilts.memory.dimensions import dimensions
from xstilts.memory.estimate import How, Work, inference, training
from xstilts.memory.need import GIB
from xstilts.memory.nodes import Model, adapts, distinct_subwords, needs
from xstilts.plan import Plan, make_plan
from xstilts.shapes import SHAPES, shape_config
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

XL = dimensions(shape_config("xlm-r-xl"))
STEP = Work(longest=128, step_tokens=8192, outputs=3)


def folder_of(home: Path, config: dict[str, Any]) -> Path:
    """What planning and the check look at: no weights."""
    (home / "config.json").write_text(json.dumps(config))
    (home / "tokenizer.json").write_text("{}")
    header = b'{"__metadata__": {}}    '
    (home / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return home


def plan_of(home: Path, shape: str, **changes: Any) -> Plan:
    """A study of one model of a shape, at ``home``."""
    from xstilts.graph.disk import digest_file
    from xstilts.model_source import find_model

    model = {"path": str(folder_of(home, shape_config(shape)))}
    if shape.startswith("mt5"):
        model["run"] = "encoder"
    raw = {"name": "s", "models": {"m": model}, "arms": {"none": {}}, "targets": ["xnli"], "seeds": [1], **changes}
    study = parse_study(raw)
    found = [find_model("m", study.models["m"], digest_file)]
    return make_plan(study, DataFolder(tiny_data()), found, precision="fp32", digest=digest_file)


def node_of(plan: Plan, kind: str) -> Node:
    return next(node for node in plan.graph if node.kind == kind)


def room(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(check, "free_memory", lambda: size)
    monkeypatch.setattr(check, "own_memory", lambda: 0)


def test_it_is_refused_with_the_largest_part_and_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, "xlm-r-xl")
    resources = Resources(plan.files, plan.models)
    room(monkeypatch, 60 * GIB)
    node = node_of(plan, "train")
    with pytest.raises(MemoryNeedError) as refused:
        check_room(node, {}, resources)
    text = str(refused.value)
    assert node.title in text
    assert "60.0 GiB are free" in text
    assert "the largest part is activations" in text
    assert "would fit: --gradient-checkpointing" in text or "would fit: --micro-batch-tokens" in text
    assert "--no-memory-check" in text


def test_what_fits_passes_and_so_does_what_nobody_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, "xlm-r-xl")
    node, resources = node_of(plan, "train"), Resources(plan.files, plan.models)
    room(monkeypatch, 500 * GIB)
    check_room(node, {}, resources)
    room(monkeypatch, GIB)
    check_room(node, {}, replace(resources, memory_check=False))
    check_room(node_of(plan, "score"), {}, resources)


def test_an_answer_is_checked_by_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, "xlm-r-large")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model").mkdir()
    folder_of(tmp_path / "made" / "model", shape_config("xlm-r-xxl"))
    room(monkeypatch, 10 * GIB)
    node, resources = node_of(plan, "predict"), Resources(plan.files, plan.models)
    with pytest.raises(MemoryNeedError, match="layer streaming"):
        check_room(node, {"model": tmp_path / "made"}, replace(resources, stream="never"))
    check_room(node, {"model": tmp_path / "made"}, resources)  # its layers will be streamed


def test_a_card_is_asked_for_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, "xlm-r-xl")
    resources = Resources(plan.files, plan.models, device="cuda:0")
    monkeypatch.setattr(check, "free_on_card", lambda device: 40 * GIB)
    room(monkeypatch, 500 * GIB)
    with pytest.raises(MemoryNeedError, match=r"on cuda:0, and 40\.0 GiB are free"):
        check_room(node_of(plan, "train"), {}, resources)
    monkeypatch.setattr(check, "free_on_card", lambda device: 400 * GIB)
    check_room(node_of(plan, "train"), {}, resources)
    room(monkeypatch, GIB)
    with pytest.raises(MemoryNeedError, match="on the host"):
        check_room(node_of(plan, "train"), {}, resources)


def test_a_damaged_folder_is_left_to_who_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, "xlm-r-base")
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    room(monkeypatch, 1)
    check_room(node_of(plan, "train"), {}, Resources(plan.files, plan.models))


def test_the_check_is_in_no_key(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "xlm-r-base")
    assert "memory_check" not in json.dumps([node.as_json() for node in plan.graph])


@pytest.mark.parametrize(
    ("room_gib", "words"),
    [
        (72, "--micro-batch-tokens"),
        (53, "--gradient-checkpointing"),
        (30, "sharding over 4"),
    ],
)
def test_the_cheapest_change_comes_first(room_gib: float, words: str) -> None:
    found = cheapest(lambda how: training(XL, STEP, how), How("cuda"), int(room_gib * GIB), learns=True, adapts=True)
    assert words in found[0].words
    need = training(XL, STEP, found[0].how)
    assert need.bytes <= room_gib * GIB
    if "sharding" in words:
        assert "another result" in found[1].words


def test_adapters_are_not_advised_where_they_cannot_be_trained(tmp_path: Path) -> None:
    plan, half = plan_of(tmp_path, "xlm-r-base"), dimensions(shape_config("mt5-xl"))
    assert adapts(node_of(plan, "train"), "xlm-roberta")
    assert not adapts(node_of(plan, "train"), half.family) and not adapts(node_of(plan, "predict"), "xlm-roberta")
    found = cheapest(lambda how: training(half, STEP, how), How("cuda"), 20 * GIB, learns=True, adapts=False)
    assert found and all("LoRA" not in change.words for change in found)


def test_no_change_is_told_where_none_helps() -> None:
    assert (
        cheapest(lambda how: inference(XL, Work(longest=128), how), How("cuda"), 2**20, learns=False, adapts=False)
        == []
    )


def test_distinct_subwords_follow_heaps_law() -> None:
    """Of English XNLI 300,000 sub-words have 10,728 different ones, of XQuAD's contexts 100,000 have 6,512 [tested]."""
    assert 8_000 < distinct_subwords(300_000, 250_002) < 12_000
    assert distinct_subwords(10**12, 250_002) == 250_002
    assert distinct_subwords(0, 250_002) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_a_plan(tmp_path: Path, shape: str) -> None:
    plan = plan_of(tmp_path, shape, targets=["xnli", "xquad", "udpos"])
    model = Model(dimensions(shape_config(shape)))
    for node in plan.graph:
        found = needs(node, model, How(), lambda sha256: 1000)
        assert (found is None) == (node.kind == "score")
        assert found is None or found.bytes > 0
