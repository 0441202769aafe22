"""An arm that learns text by masked LM, alone or among tasks: what may stand in a study, what is planned, that it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from test_execute import planned, run
from tiny_world import SHORT, command, run_command, tiny_data, tiny_model, tiny_study, write_study
from xstilts.errors import DataError, MissingNameError, StudyError
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.hub.needs import Need, needs, texts
from xstilts.models.masked_lm_head import NEW, TAKEN
from xstilts.models.model import Model
from xstilts.plan import Plan
from xstilts.rows import texts_of
from xstilts.scoring import read_rows
from xstilts.study import parse_study
from xstilts.task_types import ChoiceExample, PairExample, SpanExample, TaggingExample

TEXT: dict[str, Any] = {"languages": ["en", "de"], "text": "xnli.dev"}
ALONE: dict[str, Any] = {"intermediate": "masked_lm", "masked_lm": TEXT}
MIXED: dict[str, Any] = {"intermediate": ["mnli", "masked_lm"], "masked_lm": TEXT}
FEW = {"max_steps": 2, "batch_size": 6, "selection": "last"}
TRAINING: dict[str, Any] = {
    "intermediate": {"batch_size": 6, "selection_rows": 8},
    "masked_lm": {"max_steps": 3, "batch_size": 4},
    "mixture": {"max_steps": 12, "selection": "dev", "weight_decay": 0.0},
    "target": FEW,
}


def with_text(**changes: Any) -> dict[str, Any]:
    return {"intermediate": "masked_lm", "masked_lm": {**TEXT, **changes}}


def mixes(plan: Plan) -> list[Node]:
    return [node for node in plan.graph if node.kind == "mix"]


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ({"intermediate": "masked_lm"}, "says what text"),
        ({"intermediate": ["mnli", "masked_lm"]}, "says what text"),
        ({"intermediate": "mnli", "masked_lm": TEXT}, "says what text"),
        ({**ALONE, "mixture": {"cap": 5}}, "no list"),
        ({**MIXED, "mixture": {"sampling": "fixed", "weights": {"mnli": 1}}}, "masked_lm"),
        (with_text(text="xnli.test"), "is what is scored"),
        (with_text(bitext="text/{language}-en.tsv"), "share `translation`, which is 0"),
        (with_text(bitext="text/{language}-en.tsv", translation=1.0), "less than 1"),
        (with_text(text="text/all.txt"), "one file for 2 languages"),
        (with_text(text={"en": "a.txt"}), "no file for de"),
        (with_text(languages=["en", "en"]), "twice"),
        (with_text(languages=[]), "languages"),
        (with_text(masc=0.2), "mask"),
        (with_text(mask=1.5), "less than 1"),
    ],
)
def test_mistakes_are_named(arm: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        parse_study(tiny_study(arms={"none": {}, "lm": arm}))


def test_mistakes_that_need_more_than_the_study_file_are_named_when_it_is_planned() -> None:
    with pytest.raises(StudyError, match="no dev score"):
        planned(arms={"lm": ALONE}, training={"masked_lm": {"selection": "dev"}})
    with pytest.raises(MissingNameError, match="tatoeba"):
        planned(arms={"lm": with_text(text="tatoeba.dev")})
    with pytest.raises(MissingNameError, match="masked_lm"):
        planned(arms={"lm": {"intermediate": "maskd_lm"}})
    with pytest.raises(DataError, match="no text for en, de"):
        planned(arms={"lm": with_text(text="text/{language}.txt")})
    with pytest.raises(DataError, match="no text for xx"):
        planned(arms={"lm": with_text(languages=["en", "xx"])})
    with pytest.raises(DataError, match="no bitext"):
        planned(arms={"lm": with_text(translation=0.5)})


def test_the_files_of_a_mapping_are_the_languages() -> None:
    (node,) = mixes(
        planned(arms={"lm": {"intermediate": "masked_lm", "masked_lm": {"text": {"de": "xnli/dev-de.tsv"}}}})
    )
    part = node.spec["parts"]["masked_lm"]
    assert list(part["text"]) == ["de"] and part["text"]["de"]["name"] == "dev-de.tsv"


def test_the_plan_has_one_training_and_its_key_holds_the_text_and_how_it_is_learned() -> None:
    def key(arm: dict[str, Any], **changes: Any) -> str:
        plan = planned(arms={"lm": arm}, **changes)
        (node,) = mixes(plan)
        assert (node.labels["task"], node.labels["role"]) == ("+".join(node.spec["parts"]), "intermediate")
        (tuned,) = (n for n in plan.graph if n.kind == "train")
        assert tuned.parents == {"model": node.key}
        return node.key

    settings: list[dict[str, Any]] = [
        {},
        {"alpha": 1.0},
        {"mask": 0.2},
        {"languages": ["en"]},
        {"text": "xnli.dev", "languages": ["en", "fr"]},
    ]
    keys = {key(with_text(**each)) for each in settings}
    keys |= {key(ALONE, limits={"train_rows": {"masked_lm": 5}}), key(MIXED)}
    keys |= {
        key(ALONE, encoding={"masked_lm": {"max_length": 16}, "target": SHORT}),
        key(ALONE, training={"masked_lm": {"max_steps": 7}}),
    }
    assert len(keys) == len(settings) + 4
    assert key(with_text(alpha=0.3)) == key(ALONE)


def test_other_arms_have_the_keys_they_had() -> None:
    def others(**arms: Any) -> set[str]:
        plan = planned(arms={"none": {}, "mnli": {"intermediate": "mnli"}, **arms})
        return {node.key for node in plan.graph if node.labels["arm"] != "lm"}

    assert others() == others(lm=ALONE)


def test_text_that_is_learned_is_looked_for_before_anything_is_fetched() -> None:
    files = {"text": {"de": "my/de.txt"}, "bitext": "my/{language}.tsv", "translation": 0.5}
    arms = {"rows": ALONE, "files": {"intermediate": "masked_lm", "masked_lm": files}}
    study = parse_study(tiny_study(arms=arms, splits=["test"]))
    assert {Need("xnli", "dev", "en"), Need("xnli", "dev", "de")} <= set(needs(study))
    assert [(text.where, text.what, text.pattern, text.languages) for text in texts(study)] == [
        ("arms.files.masked_lm", "text", "my/de.txt", ("de",)),
        ("arms.files.masked_lm", "bitext", "my/{language}.tsv", ("de",)),
    ]


def test_the_texts_of_rows_are_what_they_say_without_their_gold() -> None:
    assert texts_of(PairExample("1", " a b ", "c", "entailment")) == ("a b", "c")
    assert texts_of(PairExample("1", "a", None, None)) == ("a", "")
    assert texts_of(ChoiceExample("1", "a", ("b ", "c"), 1)) == ("a", "b", "c")
    assert texts_of(TaggingExample("1", ("a", "b"), ("X", "Y"))) == ("a b",)
    assert texts_of(SpanExample("1", "why", "because", ())) == ("because", "why")
    with pytest.raises(TypeError):
        texts_of("a text")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path, dict[str, Any]]:
    """A plan with masked LM alone, the folder of its training, finished, and its counts."""
    plan = planned(arms={"lm": ALONE}, training=TRAINING)
    out = tmp_path_factory.mktemp("alone") / "mixed"
    return plan, out, run(plan, mixes(plan)[0], {}, out)


def test_alone_it_learns_every_text_once_and_says_that_its_head_is_new(alone: Any) -> None:
    _, out, counts = alone
    (told,) = counts["tasks"].values()
    lines = {}
    for language in ("en", "de"):
        rows = (tiny_data() / f"xnli/dev-{language}.tsv").read_text(encoding="utf-8").splitlines()
        lines[language] = len({text for row in rows for text in row.split("\t")[:2]})
    assert told["lines"] == lines and told["translations"] == {}
    assert told["rows_trained_on"] == sum(lines.values())
    assert told["head"] == NEW
    assert (told["steps"], told["share"], counts["training"]["planned_steps"]) == (3, 1.0, 3)
    assert counts["training"]["examples"] == 3 * 4 and counts["training"]["dev"] == ()
    assert json.loads((out / "training.json").read_text())["tasks"]["masked_lm"]["head"] == NEW
    assert {row["task"] for row in read_rows(out / "training.jsonl")} == {"masked_lm"}


def test_its_head_is_exported_and_taken_up_by_the_next_one(alone: Any, tmp_path: Path) -> None:
    _, out, _ = alone
    folder = out / "model"
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["XLMRobertaForMaskedLM"]
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
    ours = Model.load(folder)
    assert ours.head is not None
    assert torch.equal(theirs.lm_head.dense.weight, ours.head.state_dict()["dense.weight"])
    plan = planned(arms={"lm": ALONE}, training=TRAINING, models={"tiny": {"path": str(folder)}})
    counts = run(plan, mixes(plan)[0], {}, tmp_path / "again")
    assert counts["tasks"]["masked_lm"]["head"] == TAKEN


def test_fine_tuning_starts_from_its_encoder(alone: Any, tmp_path: Path) -> None:
    plan, out, _ = alone
    tuned = next(node for node in plan.graph if node.kind == "train")
    counts = run(plan, tuned, {"model": out}, tmp_path / "tuned")
    assert counts["training"]["steps"] == 2


def test_limits_cut_the_lines_of_each_language(tmp_path: Path) -> None:
    plan = planned(arms={"lm": ALONE}, training=TRAINING, limits={"train_rows": {"masked_lm": 7}})
    counts = run(plan, mixes(plan)[0], {}, tmp_path / "out")
    assert counts["tasks"]["masked_lm"]["lines"] == {"en": 7, "de": 7}


def test_among_tasks_every_row_of_the_matrix_learns_and_the_dev_score_is_of_the_tasks(tmp_path: Path) -> None:
    plan = planned(arms={"both": {**MIXED, "mixture": {"sampling": "uniform"}}}, training=TRAINING)
    (node,) = mixes(plan)
    assert "dev" in node.spec["parts"]["mnli"] and "dev" not in node.spec["parts"]["masked_lm"]
    counts = run(plan, node, {}, tmp_path / "out")
    steps = {name: told["steps"] for name, told in counts["tasks"].items()}
    assert list(steps) == ["mnli", "masked_lm"] and sum(steps.values()) == 12 and min(steps.values()) > 0
    assert len(counts["training"]["dev"]) >= 1
    log = [row["task"] for row in read_rows(tmp_path / "out" / "training.jsonl") if "loss" in row]
    assert {name: log.count(name) for name in steps} == steps
    name = "embeddings.word_embeddings.weight"
    before = load_file(tiny_model() / "model.safetensors")[name]
    after = load_file(tmp_path / "out" / "model" / "model.safetensors")[f"roberta.{name}"]
    assert (before != after).any(dim=1).all(), "masked LM compares with every sub-word, and nothing decays here"


def test_the_table_says_that_the_head_was_new(tmp_path: Path) -> None:
    arms = {"none": {}, "lm": ALONE}
    raw = tiny_study(arms=arms, training=TRAINING, languages=["en", "de"], splits=["test"])
    study, store = write_study(tmp_path, raw), tmp_path / "store"
    command(*run_command(study, store))
    shown = command("results", "--store", store, "--markdown")
    assert f"Masked LM in arm lm: the head that learned was {NEW}." in shown
    (node,) = (n for n in Store(store).studies()["tiny"]["nodes"] if n["kind"] == "mix")
    assert node["labels"]["task"] == "masked_lm"
    assert "no retrieval" in command("results", "--store", store, "--layers")
