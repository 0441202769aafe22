"""A submission folder is scored as XTREME's scorer does, and refused where that number would mean nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import GoldError, PredictionError
from xstilts.submission import SubmissionScores, score_submission
from xstilts.tasks import targets
from xstilts.tasks.task import Task

METRICS = {
    "xnli": {"accuracy"},
    "pawsx": {"accuracy"},
    "udpos": {"f1", "precision", "recall", "token_accuracy"},
    "panx": {"f1", "precision", "recall", "token_accuracy"},
    "xquad": {"exact_match", "f1"},
    "mlqa": {"exact_match", "f1"},
    "tydiqa": {"exact_match", "f1"},
    "bucc2018": {"f1", "precision", "recall"},
    "tatoeba": {"accuracy"},
}
GROUPS = {
    "classification": ("xnli", "pawsx"),
    "tagging": ("udpos", "panx"),
    "qa": ("xquad", "mlqa", "tydiqa"),
    "retrieval": ("bucc2018", "tatoeba"),
}
LINES = {
    "xnli": "neutral\nentailment\ncontradiction\nneutral\n",
    "pawsx": "0\n1\n1\n0\n",
    "udpos": "DET\nNOUN\nNOUN\n\nSYM\nSYM\nVERB\n",
    "panx": "B-PER\nI-PER\nO\n\nO\nB-LOC\n",
    "tatoeba": "2\n0\n3\n1\n",
}
ANSWERS = {"q1": ["Paris", "the city of Paris"], "q2": ["1990"]}


def squad(answers: dict[str, list[str]]) -> str:
    questions = [
        {"id": i, "question": "?", "answers": [{"text": text, "answer_start": 0} for text in texts]}
        for i, texts in answers.items()
    ]
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": questions}]}]})


def content(task: Task, language: str) -> tuple[str, str]:
    """A gold file and the submission that agrees with it."""
    if task.group == "qa":
        return squad(ANSWERS), json.dumps({i: texts[-1] for i, texts in ANSWERS.items()})
    lines = LINES.get(task.name, f"{language}-1\ten-7\n{language}-2\ten-5\n")
    return lines, lines


def path_of(folder: Path, task: str, language: str) -> Path:
    return folder / task / f"test-{language}.{'json' if task in GROUPS['qa'] else 'tsv'}"


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    return tmp_path / "gold"


@pytest.fixture
def predictions(tmp_path: Path, gold: Path) -> Path:
    """Nine perfect tasks in all languages, beside their gold."""
    folder = tmp_path / "predictions"
    for task in targets():
        for language in task.languages:
            for place, text in zip((gold, folder), content(task, language), strict=True):
                file = path_of(place, task.name, language)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    return folder


def test_gold_against_itself_is_100_in_all_nine_tasks(predictions: Path, gold: Path) -> None:
    scores = score_submission(predictions, gold)
    assert scores.overall == 100.0
    assert scores.groups == dict.fromkeys(GROUPS, 100.0)
    assert {name: task.score for name, task in scores.tasks.items()} == dict.fromkeys(METRICS, 100.0)


def test_the_json_is_the_contract(predictions: Path, gold: Path) -> None:
    found: dict[str, Any] = json.loads(json.dumps(score_submission(predictions, gold).as_json(), allow_nan=False))
    assert list(found) == ["overall", "groups", "tasks"]
    assert set(found["groups"]) == set(GROUPS)
    assert list(found["tasks"]) == [task.name for task in targets()]
    for task in targets():
        row = found["tasks"][task.name]
        assert list(row) == ["score", "missing", "metrics"]
        assert row["missing"] == []
        assert set(row["metrics"]) == METRICS[task.name]
        for metric in row["metrics"].values():
            assert list(metric) == ["average", "languages"]
            assert list(metric["languages"]) == list(task.languages)


def test_there_are_162_files(predictions: Path) -> None:
    assert sum(1 for _ in predictions.rglob("test-*")) == 162


def test_a_task_is_the_mean_over_languages_and_qa_the_mean_of_two_metrics(predictions: Path, gold: Path) -> None:
    path_of(predictions, "pawsx", "de").write_text("0\n1\n0\n0\n")
    path_of(predictions, "xquad", "de").write_text('{"q1": "Paris, the city", "q2": "1990"}')
    scores = score_submission(predictions, gold)
    assert scores.tasks["pawsx"].metrics["accuracy"].languages["de"] == 75.0
    assert scores.tasks["pawsx"].score == pytest.approx((6 * 100 + 75) / 7)
    exact, f1 = (10 * 100 + 50) / 11, (10 * 100 + 50 + 50 * 0.8) / 11
    assert scores.tasks["xquad"].metrics["exact_match"].average == pytest.approx(exact)
    assert scores.tasks["xquad"].metrics["f1"].average == pytest.approx(f1)
    assert scores.tasks["xquad"].score == pytest.approx((exact + f1) / 2)
    assert scores.groups["qa"] == pytest.approx((100 + 100 + (exact + f1) / 2) / 3)
    assert scores.overall == pytest.approx((7 * 100 + (exact + f1) / 2 + (6 * 100 + 75) / 7) / 9)


def test_unanswered_questions_and_pairs_not_mined_count_as_wrong(predictions: Path, gold: Path) -> None:
    path_of(predictions, "tydiqa", "fi").write_text('{"q2": "1990", "q9": "of no question"}')
    path_of(predictions, "bucc2018", "zh").write_text("zh-2\ten-5\n\n")
    path_of(predictions, "bucc2018", "ru").write_text("")
    scores = score_submission(predictions, gold)
    assert scores.tasks["tydiqa"].metrics["exact_match"].languages["fi"] == 50.0
    assert scores.tasks["bucc2018"].metrics["recall"].languages["zh"] == 50.0
    assert scores.tasks["bucc2018"].metrics["precision"].languages["zh"] == 100.0
    assert scores.tasks["bucc2018"].metrics["f1"].languages["ru"] == 0.0


def test_harmless_differences_of_form_are_taken(predictions: Path, gold: Path) -> None:
    path_of(predictions, "udpos", "de").write_text("\n".join([LINES["udpos"].replace("\n", "\r\n"), "", ""]))
    path_of(predictions, "xnli", "de").write_text("\ufeff" + LINES["xnli"].strip().replace("\n", " \r\n"))
    path_of(gold, "mlqa", "de").write_text(json.dumps(json.loads(squad(ANSWERS))["data"]))
    assert score_submission(predictions, gold).overall == 100.0


@pytest.mark.parametrize("side", ["gold", "predictions"])
def test_a_missing_language_is_an_error_that_names_the_file(predictions: Path, gold: Path, side: str) -> None:
    file = path_of(gold if side == "gold" else predictions, "udpos", "fi")
    file.unlink()
    with pytest.raises(PredictionError) as caught:
        score_submission(predictions, gold)
    assert str(file) in str(caught.value)
    assert "--partial" in str(caught.value)


@pytest.mark.parametrize("side", ["gold", "predictions"])
def test_partial_scores_what_is_there_and_says_what_is_not(predictions: Path, gold: Path, side: str) -> None:
    folder = gold if side == "gold" else predictions
    path_of(predictions, "pawsx", "de").write_text("0\n1\n0\n0\n")
    path_of(folder, "pawsx", "ja").unlink()
    shutil.rmtree(folder / "mlqa")
    scores = score_submission(predictions, gold, partial=True)
    pawsx, mlqa = scores.tasks["pawsx"], scores.tasks["mlqa"]
    assert pawsx.missing == ("ja",)
    assert pawsx.score == pytest.approx((5 * 100 + 75) / 6)
    assert "ja" not in pawsx.metrics["accuracy"].languages
    assert (mlqa.score, mlqa.metrics, len(mlqa.missing)) == (None, {}, 7)
    assert scores.overall is None
    assert scores.groups == {"classification": None, "tagging": 100.0, "qa": None, "retrieval": 100.0}


def test_partial_with_nothing_missing_is_the_same(predictions: Path, gold: Path) -> None:
    assert score_submission(predictions, gold, partial=True) == score_submission(predictions, gold)


def test_partial_with_nothing_there_is_an_error(predictions: Path, gold: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match="nothing can be scored"):
        score_submission(tmp_path / "empty", gold, partial=True)
    with pytest.raises(PredictionError, match="no folder of labels"):
        score_submission(predictions, tmp_path / "nowhere", partial=True)


def test_a_data_folder_given_for_its_label_folder_is_recognised(predictions: Path, gold: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shutil.move(gold, tmp_path / "data" / "labels")
    with pytest.raises(PredictionError, match="the label folder may be"):
        score_submission(predictions, tmp_path / "data")


BAD_PREDICTIONS = [
    ("xnli", "neutral\nentailment\ncontradiction\n", "3 lines, the gold has 4", ""),
    ("xnli", LINES["xnli"] + "neutral\n", "5 lines, the gold has 4", ""),
    ("xnli", "neutral\n\ncontradiction\nneutral\n", "one a line", ":2"),
    ("xnli", "0\tneutral\n" * 4, "one a line", ":1"),
    ("pawsx", "", "0 lines, the gold has 4", ""),
    ("tatoeba", "2\n0\n3\n", "3 lines, the gold has 4", ""),
    ("tatoeba", "2\n0\nthree\n1\n", "'three' is no whole number", ":3"),
    ("udpos", "DET\nNOUN\nNOUN\n\nSYM\nSYM\n", "sentence 2 has 2 tags, its gold has 3", ":5"),
    ("udpos", "DET\nNOUN\nNOUN\nSYM\nSYM\nVERB\n", "sentence 1 has 6 tags, its gold has 3", ":1"),
    ("udpos", "DET\nNOUN\nNOUN\n", "1 sentences, the gold has 2", ""),
    ("udpos", LINES["udpos"] + "\nX\n", "3 sentences, the gold has 2", ""),
    ("udpos", "DET\nNOUN\nNOUN\n\n\nSYM\nSYM\nVERB\n", "sentence 2 has 0 tags", ":5"),
    ("panx", "a\tB-PER\nb\tI-PER\n", "without its word", ":1"),
    ("bucc2018", "de-1\ten-7\nde-2 en-5\n", "no pair", ":2"),
    ("bucc2018", "de-1\ten-7\n1.02\tde-2\ten-5\n", "no pair", ":2"),
    ("xquad", '{"q1": "Paris",\n"q2": 19', "not json", ":2"),
    ("xquad", "", "not json", ":1"),
    ("xquad", '["Paris"]', "an object of question ids", ""),
    ("xquad", '{"q1": {"text": "Paris"}}', "not a text", ""),
]


@pytest.mark.parametrize(("task", "text", "words", "line"), BAD_PREDICTIONS)
@pytest.mark.parametrize("partial", [False, True])
def test_malformed_predictions_are_always_an_error(
    predictions: Path, gold: Path, task: str, text: str, words: str, line: str, partial: bool
) -> None:
    file = path_of(predictions, task, "de")
    file.write_text(text)
    with pytest.raises(PredictionError, match=words) as caught:
        score_submission(predictions, gold, partial=partial)
    assert caught.value.where == f"{file}{line}"


COUNTING = "".join(f"{k}\n" for k in range(10))
BAD_GOLD = [
    ("xnli", "contradiction\n" * 10, "placeholders"),
    ("pawsx", "0\n" * 10, "placeholders"),
    ("udpos", "X\nX\n\n" * 5, "placeholders"),
    ("panx", "O\nO\n\n" * 5, "placeholders"),
    ("tatoeba", COUNTING, "0, 1, 2 ... 9: a placeholder"),
    ("tatoeba", "0\n" * 10, "placeholders"),
    ("xquad", squad({"q1": [""], "q2": [""]}), "blank"),
    ("mlqa", squad({"q1": ["Paris"], "q2": []}), "blank"),
    ("tydiqa", squad({}), "no question"),
    ("tydiqa", '{"data": [{"title": "t"}]}', "not SQuAD json"),
    ("tydiqa", '{"data": [', "not json"),
    ("bucc2018", "", "no label"),
    ("xnli", "", "no label"),
    ("xnli", "a sentence\tanother\n" * 4, "one a line"),
]


@pytest.mark.parametrize(("task", "text", "words"), BAD_GOLD)
@pytest.mark.parametrize("partial", [False, True])
def test_placeholder_and_malformed_gold_is_always_refused(
    predictions: Path, gold: Path, task: str, text: str, words: str, partial: bool
) -> None:
    file = path_of(gold, task, "de" if task != "tydiqa" else "fi")
    file.write_text(text)
    with pytest.raises(GoldError, match=words) as caught:
        score_submission(predictions, gold, partial=partial)
    assert caught.value.where.startswith(str(file))


def test_gold_in_aligned_order_is_taken_when_it_is_said_to_be(predictions: Path, gold: Path) -> None:
    for folder in (gold, predictions):
        path_of(folder, "tatoeba", "de").write_text(COUNTING)
    with pytest.raises(GoldError, match="--aligned-tatoeba"):
        score_submission(predictions, gold)
    assert score_submission(predictions, gold, aligned_tatoeba=True).overall == 100.0
    for folder in (gold, predictions):
        path_of(folder, "tatoeba", "de").write_text("0\n" * 10)
    with pytest.raises(GoldError, match="placeholders"):
        score_submission(predictions, gold, aligned_tatoeba=True)


def test_a_few_equal_or_counting_labels_may_be_gold(predictions: Path, gold: Path) -> None:
    for folder in (gold, predictions):
        path_of(folder, "udpos", "et").write_text("NOUN\n\nNOUN\n")
        path_of(folder, "xnli", "de").write_text("neutral\n" * 9)
        path_of(folder, "tatoeba", "de").write_text("0\n1\n2\n")
    assert score_submission(predictions, gold).overall == 100.0


def test_bytes_that_are_no_text_are_an_error(predictions: Path, gold: Path) -> None:
    path_of(predictions, "xnli", "de").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PredictionError, match="UTF-8"):
        score_submission(predictions, gold)


def test_scoring_starts_without_torch() -> None:
    code = "import sys, xstilts.submission; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def as_submission(labels: Path, folder: Path) -> None:
    """The label folder's own answers in the layout of a submission."""
    for file in labels.glob("*/test-*"):
        place = folder / file.parent.name / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".json":
            shutil.copy(file, place)
            continue
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
        questions = [q for article in articles for paragraph in article["paragraphs"] for q in paragraph["qas"]]
        place.write_text(json.dumps({q["id"]: q["answers"][0]["text"] for q in questions}), encoding="utf-8")


@pytest.mark.real_data
def test_real_gold_against_itself_is_100(real_data: Path, tmp_path: Path) -> None:
    as_submission(real_data / "labels", tmp_path)
    scores: SubmissionScores = score_submission(tmp_path, real_data / "labels", partial=True)
    there = {name: task for name, task in scores.tasks.items() if task.score is not None}
    assert set(there) >= {"xnli", "pawsx", "udpos", "panx", "tydiqa", "tatoeba"}
    assert {name: task.score for name, task in there.items()} == dict.fromkeys(there, 100.0)
