"""Right of the seam: calibration from dev only, official scores, verdicts, submission files; hand-made outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from test_rows import placed
from xstilts.chance import chance, verdict
from xstilts.errors import DataError, PredictionError
from xstilts.graph.node import Node
from xstilts.scoring import calibrate, folded, read_rows, score, write_rows
from xstilts.task_types.classification import PairExample
from xstilts.task_types.span import Answer, SpanExample
from xstilts.task_types.tagging import TaggingExample
from xstilts.tasks import load

Rows = list[dict[str, Any]]
AB = ["a", "b"] * 50


@pytest.mark.parametrize(
    ("task", "golds", "answers", "scores", "expected"),
    [
        ("xnli", AB, AB, {"accuracy": 59}, "ok"),
        ("xnli", AB, AB, {"accuracy": 58}, "chance"),  # 50 % + 1.645 standard errors of 5 % = 58.2 %
        ("xnli", ["a"] * 90 + ["b"] * 10, AB, {"accuracy": 94}, "chance"),  # 90 % + 4.9 %
        ("xnli", ["a"] * 90 + ["b"] * 10, AB, {"accuracy": 95}, "ok"),
        ("xnli", AB, ["a"] * 100, {"accuracy": 99}, "collapsed"),
        ("xnli", AB[:18], ["a"] * 18, {"accuracy": 0}, "ok"),  # too few to judge
        ("panx", [("O", "O")] * 20, [("O", "O")] * 20, {"token_accuracy": 100}, "collapsed"),
        ("udpos", [("X", "NOUN")] * 50, [("X", "VERB")] * 50, {"token_accuracy": 59, "f1": 0}, "ok"),
        ("udpos", [("X", "NOUN")] * 50, [("X", "VERB")] * 50, {"token_accuracy": 58, "f1": 99}, "chance"),
        ("xquad", AB, AB, {"exact_match": 0, "f1": 9}, "chance"),
        ("xquad", AB, AB, {"exact_match": 1, "f1": 9}, "ok"),
        ("xquad", AB, [""] * 100, {"exact_match": 0, "f1": 0}, "collapsed"),
        ("tatoeba", range(100), None, {"accuracy": 3}, "chance"),
        ("tatoeba", range(100), None, {"accuracy": 4}, "ok"),
        ("bucc2018", range(100), None, {"f1": 0}, "chance"),
    ],
)
def test_verdicts(task: str, golds: Any, answers: Any, scores: dict[str, float], expected: str) -> None:
    assert verdict(load(task), golds, answers, scores) == expected


def run_score(
    folder: Path, spec: dict[str, Any], outputs: dict[str, Rows], resources: Any, calibration: Any = None
) -> Rows:
    """The rows of a score node over these outputs; its folder is ``folder/out``."""
    for language, rows in outputs.items():
        write_rows(folder / "predictions" / "outputs" / f"{language}.jsonl", rows)
    parents = {"predictions": folder / "predictions"}
    if calibration is not None:
        parents["calibration"] = folder
        (folder / "calibration.json").write_text(json.dumps(calibration))
    (folder / "out").mkdir()
    counts = score(Node("score", spec), parents, folder / "out", resources)
    found: Rows = json.loads((folder / "out" / "scores.json").read_text())
    assert counts == {"rows": len(found)}
    return found


def chance_of(folder: Path) -> dict[str, float]:
    """Language -> what guessing scores, as the score node in ``folder`` says."""
    found: dict[str, float] = json.loads((folder / "out" / "chance.json").read_text())
    return found


XNLI = {"test-de.tsv": "a\tb\nc\td\ne\tf\n", "gold.tsv": "neutral\nentailment\nentailment\n"}
SAID: Rows = [{"label": "neutral"}, {"label": "entailment"}, {"label": "neutral"}]


def test_labels_are_scored_and_written_as_a_submission(tmp_path: Path) -> None:
    entry, resources = placed(XNLI, tmp_path)
    spec = {"task": "xnli", "split": "test", "languages": {"de": entry}, "rows": None}
    (row,) = run_score(tmp_path, spec, {"de": SAID}, resources)
    assert chance_of(tmp_path) == {"de": pytest.approx(200 / 3)}  # two of three are entailment
    assert row == {
        "language": "de",
        "metric": "accuracy",
        "value": pytest.approx(200 / 3),
        "count": 3,
        "layer": None,
        "pooling": None,
        "selection": None,
        "status": "ok",
        "main": True,
    }
    assert (tmp_path / "out" / "submission" / "test-de.tsv").read_text() == "neutral\nentailment\nneutral\n"


@pytest.mark.parametrize("change", [{"rows": 2}, {"split": "dev"}])
def test_a_part_of_the_rows_or_dev_is_no_submission(tmp_path: Path, change: dict[str, Any]) -> None:
    entry, resources = placed(XNLI, tmp_path)
    spec = {"task": "xnli", "split": "test", "languages": {"de": entry}, "rows": None, **change}
    (row,) = run_score(tmp_path, spec, {"de": SAID[: change.get("rows", 3)]}, resources)
    assert row["count"] == change.get("rows", 3)
    assert not (tmp_path / "out" / "submission").exists()


def test_without_gold_there_is_a_submission_and_no_score(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": XNLI["test-de.tsv"]}, tmp_path)
    spec = {"task": "xnli", "split": "test", "languages": {"de": entry}, "rows": None}
    (row,) = run_score(tmp_path, spec, {"de": SAID}, resources)
    assert (row["status"], row["metric"], row["value"]) == ("no_gold", None, None)
    assert (tmp_path / "out" / "submission" / "test-de.tsv").exists()


def test_missing_gold_among_other_gold_is_counted(tmp_path: Path) -> None:
    answer = {"text": "one", "answer_start": 0}
    questions = [{"id": str(i), "question": "?", "answers": [answer] if i else []} for i in range(3)]
    document = json.dumps({"data": [{"paragraphs": [{"context": "one two", "qas": questions}]}]})
    entry, resources = placed({"xquad.de.json": document}, tmp_path)
    spec = {"task": "xquad", "split": "test", "languages": {"de": entry}, "rows": None}
    (row,) = run_score(tmp_path, spec, {"de": [{"text": "one", "score": 1.0, "null_score": 0.0}] * 3}, resources)
    assert (row["status"], row["value"], row["count"], row["missing_gold"]) == ("no_gold", None, 1, 1)


def test_missing_predictions_are_counted(tmp_path: Path) -> None:
    entry, resources = placed(XNLI, tmp_path)
    spec = {"task": "xnli", "split": "test", "languages": {"de": entry}, "rows": None}
    with pytest.raises(PredictionError, match="2 predictions for 3 examples of xnli de"):
        run_score(tmp_path, spec, {"de": SAID[:2]}, resources)


def test_tags_and_answers_become_submissions(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": "a\nb\n\nc\n", "gold.tsv": "X\nNOUN\n\nVERB\n"}, tmp_path)
    spec = {"task": "udpos", "split": "test", "languages": {"de": entry}, "rows": None}
    said: Rows = [{"tags": ["X", "NOUN"]}, {"tags": ["X"]}]
    rows = run_score(tmp_path, spec, {"de": said}, resources)
    assert {r["metric"]: r["main"] for r in rows} == {
        "f1": True,
        "precision": False,
        "recall": False,
        "token_accuracy": False,
    }
    assert (tmp_path / "out" / "submission" / "test-de.tsv").read_text() == "X\nNOUN\n\nX\n\n"


def test_a_damaged_line_of_predictions_is_named(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_text('{"label": "a"}\n{"label": \n')
    with pytest.raises(PredictionError, match=r"de\.jsonl:2: not valid JSON"):
        read_rows(tmp_path / "de.jsonl")


TATOEBA = {"x-en.de": "eins\nzwei\ndrei\n", "x-en.en": "one\nthree\ntwo\n", "gold.tsv": "0\n2\n1\n"}


def swept(right: dict[tuple[int, str], int]) -> Rows:
    """At each layer and pooling so many of the three lines right."""
    gold, wrong = [0, 2, 1], [1, 0, 0]
    return [
        {"layer": layer, "pooling": pooling, "neighbours": gold[:n] + wrong[n:], "scores": [0.5] * 3}
        for (layer, pooling), n in right.items()
    ]


def test_tatoeba_gives_the_rule_the_fixed_layer_the_best_and_the_curve(tmp_path: Path) -> None:
    entry, resources = placed(TATOEBA, tmp_path)
    spec = {"task": "tatoeba", "split": "test", "languages": {"de": entry}, "rows": None}
    outputs = swept({(0, "mean"): 1, (1, "mean"): 2, (2, "mean"): 0, (0, "first"): 3})
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 2, "thresholds": {}}
    rows = run_score(tmp_path, spec, {"de": outputs}, resources, calibration)
    found = {(r["selection"], r["layer"], r["pooling"]): round(r["value"], 1) for r in rows}
    assert found == {
        ("curve", 0, "mean"): 33.3,
        ("curve", 1, "mean"): 66.7,
        ("curve", 2, "mean"): 0.0,
        ("curve", 0, "first"): 100.0,
        ("rule", 1, "mean"): 66.7,
        ("fixed_layer", 2, "mean"): 0.0,
        ("best_on_test", 0, "first"): 100.0,
    }
    assert (tmp_path / "out" / "submission" / "test-de.tsv").read_text() == "0\n2\n0\n", "the layer of the rule"


def test_the_best_layer_is_one_for_all_languages(tmp_path: Path) -> None:
    entries = {}
    for language in ("de", "fr"):
        (tmp_path / language).mkdir()
        files = {name.replace("de", language): text for name, text in TATOEBA.items()}
        entries[language], resources = placed(files, tmp_path / language)
    spec = {"task": "tatoeba", "split": "test", "languages": entries, "rows": None}
    outputs = {
        "de": swept({(0, "mean"): 3, (1, "mean"): 2, (2, "mean"): 0}),
        "fr": swept({(0, "mean"): 0, (1, "mean"): 2, (2, "mean"): 3}),
    }
    calibration = {"layer": 2, "pooling": "mean", "fixed_layer": 2, "thresholds": {}}
    rows = run_score(tmp_path, spec, outputs, resources, calibration)
    best = {r["language"]: (r["layer"], round(r["value"], 1)) for r in rows if r["selection"] == "best_on_test"}
    assert best == {"de": (1, 66.7), "fr": (1, 66.7)}, "not layer 0 for German and layer 2 for French"


BUCC = {"de": "d1\teins\nd2\tzwei\nd3\tdrei\n", "en": "e1\tone\ne2\ttwo\ne3\tthree\n", "gold": "d1\te1\nd2\te2\n"}


def mined(layer: int, *pairs: tuple[str, str, float], pooling: str = "mean") -> dict[str, Any]:
    return {"layer": layer, "pooling": pooling, "pairs": [list(p) for p in pairs]}


def run_calibrate(folder: Path, outputs: Rows | None) -> dict[str, Any]:
    gold, parents, resources = {}, {}, placed({}, folder)[1]
    if outputs is not None:
        entry, resources = placed({f"x.{k}": v for k, v in BUCC.items()}, folder)
        gold, parents = {"de": entry}, {"bucc_dev": folder}
        write_rows(folder / "outputs" / "de.jsonl", outputs)
    spec = {"gold": gold, "num_layers": 24, "fixed_layer": 14, "pooling": "mean"}
    calibrate(Node("calibrate", spec), parents, folder, resources)
    found: dict[str, Any] = json.loads((folder / "calibration.json").read_text())
    return found


def test_calibration_finds_the_layer_and_each_threshold_on_dev(tmp_path: Path) -> None:
    found = run_calibrate(
        tmp_path,
        [
            mined(0, ("d1", "e2", 3.0), ("d2", "e1", 2.0)),
            mined(1, ("d1", "e1", 3.0), ("d2", "e2", 2.0), ("d3", "e3", 1.0)),
            mined(1, ("d1", "e1", 9.0), ("d3", "e3", 5.0), pooling="first"),
        ],
    )
    assert (found["layer"], found["pooling"], found["fixed_layer"]) == (1, "mean", 14)
    assert found["thresholds"]["de"] == {"0 mean": 0.0, "1 mean": 1.5, "1 first": 7.0}
    assert {(c["layer"], c["pooling"]): round(c["f1"], 1) for c in found["curve"]} == {
        (0, "mean"): 0.0,
        (1, "mean"): 100.0,
        (1, "first"): 66.7,
    }


def test_without_dev_pairs_the_layer_is_the_fixed_one(tmp_path: Path) -> None:
    found = run_calibrate(tmp_path, None)
    assert (found["layer"], found["thresholds"], found["curve"]) == (14, {}, [])


def test_bucc_test_uses_the_threshold_of_dev_and_never_its_own_gold(tmp_path: Path) -> None:
    entry, resources = placed({"x.de": BUCC["de"], "x.en": BUCC["en"], "gold.tsv": BUCC["gold"]}, tmp_path)
    spec = {"task": "bucc2018", "split": "test", "languages": {"de": entry}, "rows": None}
    outputs = [mined(1, ("d1", "e1", 3.0), ("d2", "e2", 2.0), ("d3", "e3", 1.0))]
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 1, "thresholds": {"de": {"1 mean": 2.5}}}
    rows = run_score(tmp_path, spec, {"de": outputs}, resources, calibration)
    rule = {r["metric"]: r["value"] for r in rows if r["selection"] == "rule"}
    assert rule == {"f1": pytest.approx(200 / 3), "precision": 100, "recall": 50}  # 1.5 would give 100
    assert (tmp_path / "out" / "submission" / "test-de.tsv").read_text() == "d1\te1\n"


def test_bucc_dev_says_that_its_threshold_is_its_own(tmp_path: Path) -> None:
    entry, resources = placed({f"x.{k}": v for k, v in BUCC.items()}, tmp_path)
    spec = {"task": "bucc2018", "split": "dev", "languages": {"de": entry}, "rows": None}
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 14, "thresholds": {"de": {"1 mean": 2.5}}}
    rows = run_score(tmp_path, spec, {"de": [mined(1, ("d1", "e1", 3.0))]}, resources, calibration)
    assert {r["selection"] for r in rows} == {"curve", "threshold_from_same_dev"}


def test_a_language_without_dev_pairs_has_no_threshold_and_no_submission(tmp_path: Path) -> None:
    entry, resources = placed({"x.de": BUCC["de"], "x.en": BUCC["en"], "gold.tsv": BUCC["gold"]}, tmp_path)
    spec = {"task": "bucc2018", "split": "test", "languages": {"de": entry}, "rows": None}
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 14, "thresholds": {}}
    (row,) = run_score(tmp_path, spec, {"de": [mined(1, ("d1", "e1", 3.0))]}, resources, calibration)
    assert (row["status"], row["value"]) == ("no_threshold", None)
    assert not (tmp_path / "out" / "submission").exists()


def test_empty_dev_gold_sets_no_threshold(tmp_path: Path) -> None:
    entry, resources = placed({"x.de": BUCC["de"], "x.en": BUCC["en"], "x.gold": ""}, tmp_path)
    write_rows(tmp_path / "outputs" / "de.jsonl", [mined(0, ("d1", "e1", 1.0))])
    spec = {"gold": {"de": entry}, "num_layers": 2, "fixed_layer": 1, "pooling": "mean"}
    with pytest.raises(DataError, match=r"x\.gold: the file is empty"):
        calibrate(Node("calibrate", spec), {"bucc_dev": tmp_path}, tmp_path, resources)


def test_sweep_rows_are_folded_by_layer_and_pooling() -> None:
    rows = [
        {"layer": 0, "pooling": "mean", "neighbour": 3, "score": 0.1234567},
        {"layer": 0, "pooling": "mean", "neighbour": 1, "score": 1.0},
        {"layer": 0, "pooling": "first", "neighbour": 2, "score": 0.5},
    ]
    assert list(folded(rows)) == [
        {"layer": 0, "pooling": "mean", "neighbours": [3, 1], "scores": [0.123457, 1.0]},
        {"layer": 0, "pooling": "first", "neighbours": [2], "scores": [0.5]},
    ]
    pair = {"layer": 1, "pooling": "mean", "source": "a", "target": "b", "margin": 1.5}
    assert list(folded([pair])) == [{"layer": 1, "pooling": "mean", "pairs": [["a", "b", 1.5]]}]


def pairs(*labels: str) -> list[PairExample]:
    return [PairExample(str(i), "a", "b", label) for i, label in enumerate(labels)]


def test_chance_of_labels_is_the_most_frequent_one() -> None:
    assert chance(load("xnli"), pairs("neutral", "entailment", "neutral", "neutral"), "de") == 75


def test_chance_of_tags_is_the_better_of_one_tag_and_tags_by_their_frequency() -> None:
    def sentences(*tags: tuple[str, ...]) -> list[TaggingExample]:
        return [TaggingExample(str(i), ("w",) * len(found), found) for i, found in enumerate(tags)]

    # All words NOUN: one run of three words and one of one word, of which the second is right; drawn tags do no better.
    constant = 100 * 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)
    assert chance(load("udpos"), sentences(("NOUN", "NOUN", "VERB"), ("NOUN",)), "de") >= constant - 1e-9
    many = sentences(*[("O", "B-PER", "O", "B-LOC")] * 200)
    assert (
        15 < chance(load("panx"), many, "de") < 35
    )  # a constant answer scores 0 or finds half; draws find one in four


def test_chance_of_answers_is_a_word_of_the_context() -> None:
    def questions(context: str, answer: str, n: int = 400) -> list[SpanExample]:
        return [SpanExample(str(i), "who?", context, (Answer(answer, context.index(answer)),)) for i in range(n)]

    assert 15 < chance(load("xquad"), questions("w x y z", "x"), "de") < 35
    assert chance(load("xquad"), questions("one two three four", "one two three four"), "de") == pytest.approx(20)


def test_chance_of_finding_a_translation_is_one_in_all(tmp_path: Path) -> None:
    entry, resources = placed(TATOEBA, tmp_path)
    spec = {"task": "tatoeba", "split": "test", "languages": {"de": entry}, "rows": None}
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 1, "thresholds": {}}
    run_score(tmp_path, spec, {"de": swept({(1, "mean"): 3})}, resources, calibration)
    assert chance_of(tmp_path) == {"de": pytest.approx(100 / 3)}
