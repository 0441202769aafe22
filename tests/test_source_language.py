"""The language of training rows is a choice of each arm, in both stages: in keys, rows, overlaps, errors and averages."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tiny_world import command, fake_model, run_command, tiny_data, tiny_study, write_study
from xstilts.errors import DataError, StudyError
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Node
from xstilts.hub.needs import needs
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.report.sources import baseline_of, learned
from xstilts.report.table import Table, zero_shot_table
from xstilts.study import Study, parse_study
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder

TOY = Path(__file__).parent / "translation" / "toy_engine.py"
LAST = {"intermediate": {"selection": "last"}, "target": {"selection": "last"}}
ARMS: dict[str, Any] = {
    "none": {},
    "none-de": {"target_source": "de"},
    "mnli": {"intermediate": "mnli"},
    "mnli-de": {"intermediate": "mnli", "source": "de"},
    "mnli-en-de": {"intermediate": "mnli", "target_source": "de"},
    "mnli-de-de": {"intermediate": "mnli", "source": "de", "target_source": "de"},
}


def rows(lines: Sequence[str]) -> str:
    return "".join(f"{line}\tentailment\n" for line in lines)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The tiny data with German training rows of XNLI and MNLI; one of MNLI's is in the German test set."""
    root = tmp_path / "data"
    shutil.copytree(tiny_data(), root)
    test = (root / "xnli/test-de.tsv").read_text().splitlines()
    (root / "xnli/train-de.tsv").write_text(rows(["ein satz\tein anderer", "noch ein\tund so"]))
    path = root / "XNLI-MT-1.0/multinli/multinli.train.de.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("premise\thypo\tlabel\n" + rows(["das ist\tso", test[3]]))
    return root


Planned = Callable[..., Plan]


@pytest.fixture
def plan(tmp_path: Path, data: Path) -> Planned:
    """Plans a study of the arms above with changed fields."""

    def planned(**changes: Any) -> Plan:
        study = studied(**{"targets": ["xnli", "tatoeba"], "training": LAST, **changes})
        place = {"path": str(fake_model(tmp_path / "model"))}
        models = [find_model(n, c.model_copy(update=place), digest_file) for n, c in study.models.items()]
        return make_plan(study, DataFolder(data), models, precision="fp32", digest=digest_file)

    return planned


def studied(**changes: Any) -> Study:
    fields = {"name": "s", "models": {"m": {"path": "x"}}, "arms": ARMS, "targets": ["xnli"], "seeds": [1]}
    return parse_study({**fields, **changes})


def trained(planned: Plan, arm: str, role: str) -> Node:
    """The node of an arm; one that several arms share has the labels of the first, and is found as the model's parent."""
    nodes = {n.key: n for n in planned.graph if n.kind == "train"}
    (tuned,) = (n for n in nodes.values() if (n.labels["arm"], n.labels["role"]) == (arm, "target"))
    return tuned if role == "target" else nodes[tuned.parents["model"]]


def test_an_arm_says_in_which_languages_it_learns() -> None:
    study = studied(source="ru")
    said = {arm: (study.source_of(arm, "intermediate"), study.source_of(arm, "target")) for arm in ("mnli", "mnli-de")}
    assert said == {"mnli": ("ru", "ru"), "mnli-de": ("de", "ru")}
    assert study.source_of("mnli-en-de", "target") == "de"


def test_a_source_without_intermediate_rows_is_refused() -> None:
    with pytest.raises(StudyError, match=r"arms\.a: source: the language of intermediate rows"):
        studied(arms={"a": {"source": "de"}})
    with pytest.raises(StudyError, match=r"arms\.a\.source"):
        studied(arms={"a": {"intermediate": "mnli", "source": "German"}})


def test_each_stage_learns_in_its_language(plan: Planned) -> None:
    planned = plan()
    for arm, choice in ARMS.items():
        tuned = trained(planned, arm, "target")
        language = choice.get("target_source", "en")
        assert tuned.spec["source"] == language
        assert [f["name"] for f in tuned.spec["files"]] == [f"train-{language}.tsv"]
        if "intermediate" in choice:
            before = trained(planned, arm, "intermediate")
            assert before.key == tuned.parents["model"]
            assert before.spec["source"] == choice.get("source", "en")
    assert [f["name"] for f in trained(planned, "mnli-de", "intermediate").spec["files"]] == ["multinli.train.de.tsv"]


def test_arms_share_what_is_the_same(plan: Planned) -> None:
    planned = plan()
    keys = {arm: trained(planned, arm, "target").parents.get("model") for arm in ARMS}
    assert keys["mnli"] == keys["mnli-en-de"]
    assert keys["mnli-de"] == keys["mnli-de-de"]
    assert keys["mnli"] != keys["mnli-de"]
    tuned = [trained(planned, arm, "target").key for arm in ARMS]
    assert len(set(tuned)) == len(tuned)


def test_a_language_said_twice_is_the_same_key(plan: Planned) -> None:
    said = {"mnli": {"intermediate": "mnli", "source": "en", "target_source": "en"}}
    assert trained(plan(arms=said), "mnli", "target").key == trained(plan(), "mnli", "target").key


def test_overlaps_are_looked_for_in_the_language_that_is_learned(plan: Planned) -> None:
    planned = plan()
    names = {
        arm: [f["name"] for of in trained(planned, arm, "intermediate").spec["overlap"] for f in of["files"]]
        for arm in ("mnli", "mnli-de")
    }
    assert names == {"mnli": ["test-en.tsv"], "mnli-de": ["test-de.tsv"]}


def test_dev_rows_are_those_of_the_language_that_is_learned(plan: Planned) -> None:
    chosen = trained(plan(training={"intermediate": {"selection": "last"}}), "none-de", "target").spec["dev"]
    assert [f["name"] for f in chosen["files"]] == ["dev-de.tsv"]
    with pytest.raises(DataError, match=r"mnli has no de dev rows .* \(there are some in: en\)"):
        plan(training={})


def test_a_language_without_rows_is_told_with_those_that_have_some(plan: Planned) -> None:
    with pytest.raises(DataError, match=r"mnli has no fr train files \(there are some in: en, de\)"):
        plan(arms={"a": {"intermediate": "mnli", "source": "fr"}})
    with pytest.raises(DataError, match=r"xnli has no sw train files \(there are some in: de, en\)"):
        plan(arms={"a": {"target_source": "sw"}})


def test_mixtures_learn_in_one_language(plan: Planned, data: Path) -> None:
    (data / "translated/de/QQP").mkdir(parents=True)
    (data / "translated/de/QQP/train.tsv").write_text("id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n")
    mixed = {"a": {"intermediate": ["mnli", "qqp"], "source": "de"}}
    planned = plan(arms=mixed, training={**LAST, "mixture": {"selection": "last"}})
    (node,) = (n for n in planned.graph if n.kind == "mix")
    assert node.spec["source"] == "de"
    assert [f["name"] for part in node.spec["parts"].values() for f in part["files"]] == [
        "multinli.train.de.tsv",
        "train.tsv",
    ]


def test_a_plan_says_which_rows_a_machine_translated(plan: Planned) -> None:
    assert plan().translated == {
        "mnli.train.de": "machine-translated from en: XNLI-MT-1.0 (Conneau et al. 2018)",
    }
    assert plan(arms={"none": {}}).payload()["translated"] == {}


def test_fetching_needs_the_rows_of_every_language() -> None:
    wanted = {(n.task, n.language) for n in needs(studied()) if n.split == "train"}
    assert wanted == {("xnli", "en"), ("xnli", "de"), ("mnli", "en"), ("mnli", "de")}


def test_translated_rows_are_never_scored(data: Path) -> None:
    path = data / "translated/ja/xnli/dev-ja.tsv"
    path.parent.mkdir(parents=True)
    path.write_text(rows(["a\tb"]))
    shutil.copyfile(path, path.with_name("train-ja.tsv"))
    folder = DataFolder(data)
    assert folder.files(load("xnli"), "dev", "ja") == ()
    assert [p.name for p in folder.files(load("xnli"), "train", "ja")] == ["train-ja.tsv"]
    assert folder.languages(load("xnli"), "train") == ("de", "en", "ja")


SHOWN: dict[str, Any] = {
    "name": "s",
    "targets": ["xnli", "tatoeba"],
    "arms": {name: {"intermediate": None, **of} for name, of in ARMS.items()},
    "seeds": [1],
    "source": "en",
    "limits": {"train_rows": None, "evaluation_rows": None},
    "data": {"files": {}},
    "models": {"m": {"note": ""}},
    "notes": {},
}


def table(arms: dict[str, Any], scores: dict[str, dict[str, float]]) -> Table:
    found = [
        {"model": "m", "arm": arm, "target": target, "seed": 1, "language": language, "split": "test", "metric": "x"}
        | {"value": value + 10 * k, "status": "ok", "selection": None, "count": 100, "key": f"{arm} {target}"}
        for k, arm in enumerate(arms)
        for target, of in scores.items()
        for language, value in of.items()
    ]
    return zero_shot_table(found, {**SHOWN, "arms": arms}, "m", "test")


SCORES = {"xnli": {"en": 90.0, "de": 70.0, "ru": 50.0, "sw": 30.0}, "tatoeba": {"de": 40.0, "sw": 20.0}}


def test_no_language_that_any_arm_learns_in_counts_as_zero_shot() -> None:
    arms = {name: SHOWN["arms"][name] for name in ("none", "none-de", "mnli")}
    shown = table(arms, SCORES)
    assert shown.columns == ("xnli", "tatoeba", "avg", "no retr.", "no en,de", "gap")
    values = {arm: dict(zip(shown.columns, (e.value for e in entries), strict=True)) for arm, entries in shown.rows}
    assert values["none"]["no en,de"] == (40 + 20) / 2  # xnli without en and de, tatoeba without de
    assert values["none"]["gap"] == 90 - 40
    assert values["none-de"]["gap"] == 70 - 40  # of the arm's own source
    assert any("none-de learns fine-tuning rows in de" in note for note in shown.notes)


def test_one_source_gives_the_columns_of_one_source() -> None:
    shown = table({"none": {"intermediate": None}, "mnli": {"intermediate": "mnli"}}, SCORES)
    assert shown.columns == ("xnli", "tatoeba", "avg", "no retr.", "no en", "gap")
    assert not any("learn" in note for note in shown.notes)


def test_an_arm_is_compared_with_the_baseline_of_its_language() -> None:
    study = {**SHOWN, "arms": SHOWN["arms"]}
    named = {arm: baseline_of(study, arm) for arm in ARMS}
    assert named == {
        "none": None,
        "none-de": "none",
        "mnli": "none",
        "mnli-de": "none",
        "mnli-en-de": "none-de",
        "mnli-de-de": "none-de",
    }
    assert learned(study) == ("en", "de")
    shown = table(SHOWN["arms"], SCORES)
    deltas = {arm: entries[0].delta for arm, entries in shown.rows}
    assert deltas == {"none": None, "none-de": 10, "mnli": 20, "mnli-de": 30, "mnli-en-de": 30, "mnli-de-de": 40}


def test_translated_by_a_program_and_trained_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data(), data)
    engine = f"command:{sys.executable} {TOY} {{from}} {{to}}"
    common = ("--to", "es", "--data", data, "--engine", engine, "--max-untranslated", 1)
    for task, split in (("mnli", "train"), ("mnli", "dev"), ("xnli", "train")):
        command("translate", task, "--split", split, *common)
    arms = {"none": {}, "es": {"intermediate": "mnli", "source": "es"}, "none-es": {"target_source": "es"}}
    study = write_study(tmp_path, tiny_study(name="sources", arms=arms, splits=["test"]))
    printed = command(*run_command(study, tmp_path / "store", data=data))
    assert "Rows of mnli.train.es are machine-translated from en by command" in " ".join(printed.split())
    assert "no en,es" in printed
    numbers = json.loads(command("results", "--store", tmp_path / "store", "--json", "-"))
    assert {(r["arm"], r["source"]) for r in numbers} == {("none", "en"), ("es", "en"), ("none-es", "es")}
    assert all(r["value"] is not None for r in numbers)
