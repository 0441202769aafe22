"""LoRA in a study: whose keys it moves, what each stage starts from, and that everything runs with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from test_execute import planned, run
from test_retrieval_checkpoints import RETRIEVED, TWO, attempt
from tiny_world import fake_model, tiny_data, tiny_model, tiny_study
from xstilts.errors import StudyError
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Node
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.plan import checks as plan_checks
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

FEW = {"max_steps": 3, "batch_size": 6, "selection": "last", "learning_rate": 1e-2, "warmup": 0}
LORA: dict[str, Any] = {"rank": 2, "targets": ["query", "output"]}
BOTH = {"intermediate": {**FEW, "lora": LORA}, "target": {**FEW, "lora": LORA}}
ADAPTED = [f"encoder.layer.{n}.{place}.weight" for n in (0, 1) for place in ("attention.self.query", "output.dense")]


def trained(plan: Plan, role: str) -> Node:
    return next(n for n in plan.graph if n.labels.get("role") == role and n.labels["arm"] == "mnli")


def weights(folder: Path) -> dict[str, Tensor]:
    """Of the encoder, by the names of a base model."""
    found = load_file(folder / "model.safetensors")
    return {name.removeprefix("roberta."): w for name, w in found.items()}


def test_each_stage_has_adapters_of_its_own_on_what_the_stage_before_came_to(tmp_path: Path) -> None:
    plan = planned(training=BOTH, targets=["xnli"], splits=["test"], languages=["en"])
    counts = run(plan, trained(plan, "intermediate"), {}, tmp_path / "mnli")
    run(plan, trained(plan, "target"), {"model": tmp_path / "mnli"}, tmp_path / "xnli")
    base, first, second = (weights(f) for f in (tiny_model(), tmp_path / "mnli" / "model", tmp_path / "xnli" / "model"))
    shared = base.keys() & first.keys()
    assert {name for name in shared if not torch.equal(base[name], first[name])} == set(ADAPTED)
    assert {name for name in shared if not torch.equal(first[name], second[name])} == set(ADAPTED)
    for name in ADAPTED:  # 16 or 24 rows, yet an update of rank 2 in either stage
        for before, after in ((base, first), (first, second)):
            values = torch.linalg.svdvals((after[name] - before[name]).double())
            assert values[1] > 1e-6 > values[2], name
    assert counts["lora"]["trained_parameters"] == 2 * 2 * (16 + 16 + 24 + 16) + 16 * 16 + 16 + 3 * 16 + 3
    for stage in ("mnli", "xnli"):
        kept = load_file(tmp_path / stage / "adapters" / "adapter_model.safetensors")
        assert len(kept) == 2 * len(ADAPTED)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "xnli" / "model")
    assert torch.equal(theirs.state_dict()["roberta." + ADAPTED[0]], second[ADAPTED[0]])


def test_embeddings_may_be_trained_with_it(tmp_path: Path) -> None:
    plan = planned(training={**BOTH, "intermediate": {**FEW, "lora": {**LORA, "embeddings": True}}}, targets=["xnli"])
    run(plan, trained(plan, "intermediate"), {}, tmp_path / "mnli")
    base, first = weights(tiny_model()), weights(tmp_path / "mnli" / "model")
    moved = {name for name in base.keys() & first.keys() if not torch.equal(base[name], first[name])}
    assert moved == {*ADAPTED, "embeddings.word_embeddings.weight"}


MIXED = {"intermediate": ["mnli", "masked_lm"], "masked_lm": {"languages": ["en", "de"], "text": "xnli.dev"}}
EIGHT = {**FEW, "max_steps": 8, "lora": LORA}


@pytest.mark.parametrize("arm", [{"intermediate": "mnli"}, MIXED], ids=["train", "mix"])
def test_killed_and_taken_up_again_it_ends_with_the_same_bytes(tmp_path: Path, arm: dict[str, Any]) -> None:
    """With encoders that are kept on the way: they are merged, and training goes on as if nobody had looked."""
    raw = {**RETRIEVED, "training": {"intermediate": EIGHT, "mixture": EIGHT}}
    plan = planned(**raw, arms={"arm": arm}, retrieval=TWO)
    calm = attempt(plan, tmp_path / "calm" / "out")
    assert {name.rpartition("/")[0] for name in calm} == {"model", "adapters", "at/3", "at/5"}
    without = attempt(planned(**raw, arms={"arm": arm}), tmp_path / "without" / "out")
    assert without == {name: digest for name, digest in calm.items() if not name.startswith("at/")}
    for stop in (3, 6):
        assert attempt(plan, tmp_path / "stopped" / "out", stop=stop) == {}
    saved = load_file(tmp_path / "stopped" / "checkpoints" / "step-00000005" / "weights.safetensors")
    assert all(name.startswith("head.") or ".lora_" in name for name in saved), "frozen weights are not saved"
    assert attempt(plan, tmp_path / "stopped" / "out") == calm
    kept = weights(tmp_path / "calm" / "out" / "at" / "3")
    assert not torch.equal(kept[ADAPTED[0]], weights(tiny_model())[ADAPTED[0]])


def keys(plan: Plan) -> dict[str, str]:
    return {
        " ".join(str(n.labels.get(k, "")) for k in ("arm", "role", "task", "split")) + n.kind: n.key for n in plan.graph
    }


def test_it_moves_the_keys_of_what_it_trains_and_no_others() -> None:
    plain, lora = (planned(training={"intermediate": FEW, "target": {**FEW, **more}}) for more in ({}, {"lora": LORA}))
    before, after = keys(plain), keys(lora)
    same = {name for name in before if before[name] == after[name]}
    assert same == {"mnli intermediate mnli train"}
    other = keys(planned(training={"intermediate": FEW, "target": {**FEW, "lora": {**LORA, "alpha": 8}}}))
    assert {name for name in after if after[name] == other[name]} == same


def refused(match: str, **changes: Any) -> None:
    with pytest.raises(StudyError, match=match):
        planned(**changes)


def test_what_cannot_be_is_said_while_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(r"training\.xnli\.lora\.rank.*greater than or equal to 1", training={"target": {"lora": {"rank": 0}}})
    refused(r"training\.xnli\.lora\.targets.*'query', 'key'", training={"target": {"lora": {"targets": ["queries"]}}})
    refused("the same layer twice in key, key", training={"target": {"lora": {"targets": ["key", "key"]}}})
    both = {"arms": {"two": {"intermediate": ["mnli", "hellaswag"]}}}
    other = {"mnli": {**FEW, "lora": {"rank": 3}}, "mixture": FEW, "hellaswag": FEW}
    refused(r"(?s)training\.mnli\.lora: mnli asks for other adapters.*training\.mixture\.lora", **both, training=other)
    pretrained = {"pretrain": {"languages": ["en"], "training": {"max_steps": 1, "lora": {}}}}
    with pytest.raises(StudyError, match=r"pretrain\.training.*no weights to adapt"):
        parse_study(tiny_study(models={"scratch": pretrained}))
    study = parse_study(tiny_study(models={"m": {"path": str(fake_model(tmp_path))}}, training=BOTH))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "electra", "num_hidden_layers": 2}))
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    with pytest.raises(StudyError, match=r"(?s)models\.m: LoRA is not verified for 'electra'.*xlm-roberta-xl"):
        make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)
    monkeypatch.setattr(plan_checks, "find_spec", lambda _: None)
    refused(r"(?s)needs the package peft.*xstilts\[lora\]", training=BOTH)
