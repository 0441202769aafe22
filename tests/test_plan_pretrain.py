"""A model made from scratch in a plan, and languages of the study's own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tiny_world import fake_model
from xstilts.errors import DataError, StudyError
from xstilts.journey import read_study
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

SMALL = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64, "vocabulary": 90}
PRETRAIN: dict[str, Any] = {
    "languages": ["en", "qaa"],
    "bitext": "text/{language}-en.tsv",
    "translation": 0.5,
    "model": SMALL,
    "training": {"max_steps": 3, "selection": "last"},
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def world(tmp_path: Path) -> Path:
    files = {
        "text/en.txt": "one two\nthree four\n",
        "text/qaa.txt": "eno owt\neerht ruof\n",
        "text/qaa-en.tsv": "eno\tone\n",
        "xnli/train-en.tsv": "a\tb\tneutral\nc\td\tentailment\n",
        "xnli/test-en.tsv": "e\tf\tneutral\ng\th\tentailment\n",
        "xnli/test-qaa.tsv": "i\tj\tneutral\nk\tl\tentailment\n",
        "bucc2018/qaa-en.dev.qaa": "q-1\teno\nq-2\towt\n",
        "bucc2018/qaa-en.dev.en": "e-1\tone\ne-2\ttwo\n",
        "bucc2018/qaa-en.dev.gold": "q-1\te-1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def plan(world: Path, **changes: Any) -> Plan:
    pretrain = {**PRETRAIN, **changes.pop("pretrain", {})}
    study = {
        "name": "s",
        "models": {"tiny": {"pretrain": pretrain}},
        "arms": {"none": {}, "nli": {"intermediate": "xnli"}},
        "targets": ["xnli", "bucc2018"],
        "languages": "available",
        "own_languages": {"qaa": {"name": "Neru", "distance": 1}},
        "seeds": [1, 2],
        "training": {"xnli": {"selection": "last"}},
        "encoding": {"intermediate": {"max_length": 64}, "target": {"max_length": 64}},
        **changes,
    }
    return make_plan(parse_study(study), DataFolder(world), [], precision="fp32", digest=digest)


def test_pre_training_is_one_node_that_all_arms_and_seeds_share(world: Path) -> None:
    planned = plan(world)
    (pretrain,) = [n for n in planned.graph if n.kind == "pretrain"]
    assert pretrain is planned.graph.nodes[0]
    starts = [n for n in planned.graph if n.parents.get("model") == pretrain.key]
    assert {n.kind for n in starts} == {"train", "retrieve"}
    assert all("model" not in n.spec for n in planned.graph)
    assert planned.models == {}
    sweep = next(n for n in planned.graph if n.kind == "retrieve")
    assert sweep.spec["layers"] == [0, 1, 2]
    json.dumps(planned.payload())


def test_what_changes_the_model_changes_its_key_and_the_place_does_not(world: Path, tmp_path: Path) -> None:
    def key(**changes: Any) -> str:
        return plan(world, pretrain=changes).graph.nodes[0].key

    first = key()
    assert key(seed=2) != first
    assert key(translation=0.4) != first
    assert key(model={**SMALL, "vocabulary": 91}) != first
    (world / "text" / "qaa.txt").rename(world / "text" / "q.txt")
    with pytest.raises(DataError, match="no text for qaa"):
        key()
    (world / "text" / "q.txt").rename(world / "text" / "qaa.txt")
    (world / "text" / "en.txt").write_text("one two\nthree five\n", encoding="utf-8")
    assert key() != first


def test_own_languages_are_evaluated_where_they_have_files(world: Path) -> None:
    planned = plan(world)
    scored = {n.spec["task"]: set(n.spec["languages"]) for n in planned.graph if n.kind == "score"}
    assert scored == {"xnli": {"en", "qaa"}, "bucc2018": {"qaa"}}
    without = plan(world, own_languages={}, targets=["xnli"])
    assert {tuple(n.spec["languages"]) for n in without.graph if n.kind == "score"} == {("en",)}


def test_translations_that_are_not_there_are_missed_before_anything_runs(world: Path) -> None:
    with pytest.raises(DataError, match="no bitext"):
        plan(world, pretrain={"bitext": "nothing/{language}.tsv"})


def test_sequences_longer_than_the_model_numbers_are_refused_before_anything_runs(world: Path) -> None:
    with pytest.raises(StudyError, match="bucc2018 is encoded in up to 512 sub-words"):
        plan(world, encoding={"intermediate": {"max_length": 64}, "xnli": {"max_length": 64}})


def test_a_model_on_disk_that_numbers_too_few_is_refused_before_anything_runs(world: Path, tmp_path: Path) -> None:
    folder = fake_model(tmp_path / "model")
    fields = {"models": {"m": {"path": str(folder)}}, "arms": {"none": {}}, "targets": ["xnli"], "seeds": [1]}
    fields |= {"languages": "available"}
    study = parse_study({"name": "s", **fields, "training": {"xnli": {"selection": "last"}}})

    def planned(**config: object) -> Plan:
        (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 2, **config}))
        found = [find_model(name, choice, digest) for name, choice in study.models.items()]
        return make_plan(study, DataFolder(world), found, precision="fp32", digest=digest)

    for family, before in (("xlm-roberta", 2), ("bert", 0)):
        with pytest.raises(StudyError, match=r"xnli is encoded in up to 128 sub-words, but models\.m numbers 127"):
            planned(model_type=family, max_position_embeddings=127 + before)
        assert planned(model_type=family, max_position_embeddings=128 + before).graph
    assert planned(model_type="distilbert").graph, "says no limit"


def test_a_recipe_is_found_although_a_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pocket").mkdir()  # where the first run put the world
    monkeypatch.chdir(tmp_path)
    assert read_study(Path("pocket")).name == "pocket"


def test_mlqa_has_rules_for_its_own_and_for_constructed_languages_only(world: Path) -> None:
    with pytest.raises(StudyError, match="no rule for xx"):
        plan(world, targets=["mlqa"], own_languages={"xx": {"name": "X"}})
