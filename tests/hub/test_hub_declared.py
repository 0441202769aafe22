"""What is declared of the hub's datasets: files that the tasks' readers find, rows that they read as they should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_world import Machine, Rows, class_label, dataset, nli_features
from server import Hub

from tiny_world import fake_model, tiny_study, write_study
from xstilts.errors import DataError
from xstilts.hub.declared import REFUSED, copies
from xstilts.hub.ledger import load_ledger
from xstilts.hub.needs import Need, needs
from xstilts.study import parse_study
from xstilts.tasks import load, names
from xstilts.tasks.folder import DataFolder, read_examples

QUESTION = '{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q", "answers": []}]}]}]}\n'


def needed(splits: tuple[str, ...] = ("train", "dev", "test")) -> list[tuple[str, str, str]]:
    """Every task, split and language that the hub may be asked for: training rows in English only."""
    return [
        (task.name, split, language)
        for task in map(load, names())
        for split in splits
        if split in task.files
        for language in (("en",) if split == "train" else task.languages)
    ]


def test_every_file_is_one_that_the_task_looks_for(tmp_path: Path) -> None:
    for number, (name, split, language) in enumerate(needed()):
        declared = copies(name, split, language)
        if not declared:
            assert name in REFUSED or (name, split, language) in [("udpos", "dev", x) for x in ("kk", "th", "tl", "yo")]
            continue
        root = tmp_path / str(number)
        for copy in declared:
            path = root / copy.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(QUESTION if path.suffix == ".json" else "a\tb\t1\n")
        found = DataFolder(root).files(load(name), split, language)
        assert found == tuple(root / copy.path for copy in declared), (name, split, language)


def test_every_task_is_declared_or_refused() -> None:
    unknown = {name for name, split, language in needed(("dev", "test")) if not copies(name, split, language)}
    assert unknown - {"udpos"} == set(REFUSED)


def test_what_a_study_needs() -> None:
    raw = tiny_study(
        models={"m": {"path": "x"}},
        arms={"none": {}, "mnli": {"intermediate": "mnli"}},
        targets=["xnli", "xquad", "tatoeba"],
        languages=["en", "de"],
        splits=["test"],
        data={"files": {"xquad.test.de": "mine.json"}},
    )
    found = {(n.task, n.split, n.language) for n in needs(parse_study(raw)) if not n.optional}
    assert found == {
        ("mnli", "train", "en"),
        ("mnli", "dev", "en"),  # the study chooses its checkpoint on dev
        ("xnli", "train", "en"),
        ("xnli", "test", "en"),
        ("xnli", "test", "de"),
        ("squad_v1", "train", "en"),  # what XQuAD trains on
        ("xquad", "test", "en"),
        ("tatoeba", "test", "de"),
    }
    optional = {(n.task, n.split) for n in needs(parse_study(raw)) if n.optional}
    assert optional == {("bucc2018", "dev")}
    fixed = parse_study({**raw, "retrieval": {"layer_from": "fixed"}})
    assert not [n for n in needs(fixed) if n.optional]
    assert Need("xnli", "test", "de") in needs(fixed)


def arms(machine: Machine, *tasks: str, **changes: object) -> Path:
    """A study of these intermediate tasks whose one target needs nothing but a line of its own."""
    machine.data.mkdir(exist_ok=True)
    (machine.data / "own.tsv").write_text("a\tb\tneutral\nc\td\tentailment\n")
    raw = tiny_study(
        models={"m": {"path": str(fake_model(machine.home / "model"))}},
        arms={task: {"intermediate": task} for task in tasks},
        targets=["xnli"],
        languages=["en"],
        splits=["test"],
        data={"files": {"xnli.train": "own.tsv", "xnli.test": "own.tsv"}, "drop_overlap": False},
    )
    return write_study(
        machine.home,
        {**raw, "training": {role: {"selection": "last"} for role in ("intermediate", "target")}, **changes},
    )


def read(machine: Machine, task: str, split: str, language: str = "en") -> list[object]:
    """The gold of what was fetched, through the task's own reader."""
    found = DataFolder(machine.data).files(load(task), split, language)
    return [load(task).type.gold(e) for e in read_examples(load(task), found, language)]


def nli(*labels: int) -> Rows:
    return [{"premise": f"p{k}", "hypothesis": f"h{k}", "label": label} for k, label in enumerate(labels)]


def test_labels_go_by_name_whatever_their_order(machine: Machine, hub: Hub) -> None:
    turned = ("contradiction", "entailment", "neutral")
    hub.commit(
        "datasets",
        "nyu-mll/multi_nli",
        dataset({"default": {"train": nli(0, 1, 2)}}, {"default": nli_features(turned)}),
    )
    snli = dataset({"plain_text": {"train": nli(-1, 0, 2)}}, {"plain_text": nli_features()})
    hub.commit("datasets", "stanfordnlp/snli", snli)
    rounds = {f"train_r{k}": nli(k - 1) for k in (1, 2, 3)}
    hub.commit("datasets", "facebook/anli", dataset({"plain_text": rounds}, {"plain_text": nli_features()}))
    machine.fetch(arms(machine, "anli_plus"))
    assert read(machine, "anli_plus", "train") == [
        *turned,
        *("entailment", "contradiction"),  # SNLI's row without gold is written as published and dropped by the reader
        *("entailment", "neutral", "contradiction"),
    ]
    assert (machine.data / "snli_1.0/snli_1.0_train.jsonl").read_text().count('"gold_label": "-"') == 1


def test_numbers_without_names_are_refused(machine: Machine, hub: Hub) -> None:
    hub.commit("datasets", "nyu-mll/multi_nli", dataset({"default": {"train": nli(0, 1, 2)}}))
    error = machine.fetch(arms(machine, "mnli"), expect=2)["stderr"]
    assert "label 0 is none of 'entailment', 'neutral', 'contradiction'" in error


def test_pairs_and_choices(machine: Machine, hub: Hub) -> None:
    texts = [{"name": f"question{k}", "dtype": "string"} for k in (1, 2)]
    qqp = [*texts, {"name": "label", "dtype": class_label(("not_duplicate", "duplicate"))}]
    asked = [{"question1": 'a "quoted" one', "question2": "a\ttab", "label": k} for k in (1, 0)]
    hub.commit("datasets", "nyu-mll/glue", dataset({"qqp": {"train": asked}}, {"qqp": qqp}))
    swag = [{"ctx_a": "He", "ctx_b": "then", "endings": list("abcd"), "label": "2"}]
    hub.commit("datasets", "Rowan/hellaswag", dataset({"default": {"train": swag}}))
    cosmos = [{"context": "c,\nd", "question": "q", **{f"answer{k}": str(k) for k in range(4)}, "label": 3}]
    script = {"README.md": b"#\n", "cosmos_qa.py": b"raise SystemExit(9)"}
    hub.commit("datasets", "allenai/cosmos_qa", script)
    converted = {
        f"default/{s}/0000.parquet": dataset({"d": {s: cosmos}})[f"d/{s}-00000-of-00001.parquet"] for s in ("train",)
    }
    hub.commit("datasets", "allenai/cosmos_qa", converted, "refs/convert/parquet")
    sense = [{"question": "Where?", "choices": {"label": list("ABCDE"), "text": list("vwxyz")}, "answerKey": "D"}]
    hub.commit("datasets", "tau/commonsense_qa", dataset({"default": {"train": sense}}))
    machine.fetch(arms(machine, "qqp", "hellaswag", "cosmosqa", "commonsense_qa"))
    assert read(machine, "qqp", "train") == ["1", "0"]
    assert read(machine, "hellaswag", "train") == [2]
    assert read(machine, "cosmosqa", "train") == [3]
    assert read(machine, "commonsense_qa", "train") == [3]
    (first, _) = read_examples(load("qqp"), [machine.data / "QQP/train.tsv"], "en")
    assert (first.first, first.second) == ('a "quoted" one', "a\ttab")


def qa(identity: str, context: str, text: list[str], start: list[int]) -> dict[str, object]:
    return {"id": identity, "context": context, "question": "q?", "answers": {"text": text, "answer_start": start}}


def test_answers_stand_where_they_are(machine: Machine, hub: Hub) -> None:
    first = [qa("1", "the sun is up", ["sun"], [4]), qa("2", "the sun is up", [], [])]
    hub.commit("datasets", "rajpurkar/squad_v2", dataset({"squad_v2": {"train": first}}))
    stripped = [qa("1", "it is late now", ["late"], [8])]  # the hub took two leading spaces away
    mixed = [qa("german-1", "a b", ["b"], [2]), qa("english-1", "c d", ["d"], [2]), qa("finnish-1", "e", ["e"], [0])]
    xtreme: dict[str, dict[str, Rows]] = {
        "XQuAD.en": {"validation": stripped},
        "tydiqa": {"train": mixed, "validation": mixed},
    }
    hub.commit("datasets", "google/xtreme", dataset(xtreme))
    file = arms(machine, "squad_v2", targets=["xnli", "xquad", "tydiqa"], languages=["en", "fi"])
    raw = file.read_text().replace("files:", "files:\n    squad_v1.train: own.json")
    (machine.data / "own.json").write_text(QUESTION)
    file.write_text(raw)
    machine.fetch(file)
    assert read(machine, "squad_v2", "train")[1] == ()
    question = read_examples(load("xquad"), [machine.data / "xquad/xquad.en.json"], "en")[0]
    assert question.answers[0].start == 6
    assert machine.ledger()["files"]["xquad/xquad.en.json"]["changes"] == {"answers moved": 1}
    for language, split, answer in (("en", "train", "d"), ("en", "test", "d"), ("fi", "test", "e")):
        (found,) = read(machine, "tydiqa", split, language)
        assert found[0] == answer  # type: ignore[index]


def test_an_answer_that_is_nowhere_is_refused(machine: Machine, hub: Hub) -> None:
    bad = [qa("1", "the sun is up", ["moon"], [4])]
    hub.commit("datasets", "rajpurkar/squad_v2", dataset({"squad_v2": {"train": bad}}))
    error = machine.fetch(arms(machine, "squad_v2"), expect=2)["stderr"]
    assert "answer 'moon' is not near character 4" in error
    assert "rajpurkar/squad_v2 squad_v2 train at" in error


def test_training_rows_in_another_language_are_not_english_ones(machine: Machine, hub: Hub) -> None:
    file = arms(machine, "mnli", source="de")
    file.write_text(file.read_text().replace("xnli.train: own.tsv", "pawsx.train: own.tsv"))
    fetched = machine.fetch(file, expect=1)
    refused = {(r["task"], r["split"], *r["languages"]): r["reason"] for r in fetched["refused"]}
    assert refused.keys() == {("mnli", "train", "de"), ("xnli", "train", "de")}
    assert set(refused.values()) == {"the hub has no such rows"}
    assert hub.requests == []


@pytest.mark.parametrize("text", ["{", json.dumps({"files": {"a": {"path": 3}}})])
def test_a_damaged_ledger_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "hub.json").write_text(text)
    with pytest.raises(DataError, match=r"hub\.json: the record of what came from the hub is damaged"):
        load_ledger(tmp_path)
