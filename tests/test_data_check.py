from __future__ import annotations

import gzip
import hashlib
import io
import json
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from xstilts import tasks
from xstilts.checking import Report, check_folder, render
from xstilts.checking.findings import Part
from xstilts.checking.reading import MAX_BAD_ROWS
from xstilts.data.pairs import NLI_LABELS, read_nli
from xstilts.data.squad import read_squad
from xstilts.errors import DataError
from xstilts.task_types import Classification, Span
from xstilts.tasks.task import Task

PAIRS = Task(
    name="pairs",
    role="target",
    title="Pairs",
    type=Classification(NLI_LABELS),
    languages=("en", "de"),
    files={
        "train": (("pairs/train-{language}.tsv",), ("pairs/train-{language}.jsonl",)),
        "dev": (("pairs/dev-{language}.tsv",),),
        "test": (("pairs/test-{language}.tsv",),),
    },
    read=read_nli,
    metric=lambda golds, predictions, language: {},
    main_score=("accuracy",),
    trains_on="pairs",
    counts={"train": {"en": 3}, "dev": {"en": 2, "de": 2}, "test": {"en": 2, "de": 2}},
    paper="Nobody 2026",
    licence="cc0-1.0",
    address="https://example.org/pairs",
    fetch="curl -O https://example.org/pairs.zip",
)
QUESTIONS = Task(
    name="questions",
    role="intermediate",
    title="Questions",
    type=Span(),
    files={"train": (("questions/train.json",),), "test": (("questions/test.json",),)},
    read=read_squad,
    metric=lambda golds, predictions, language: {},
    main_score=("f1",),
    trains_on="questions",
    paper="Nobody 2026",
    licence="cc0-1.0",
    address="https://example.org/questions",
    fetch="by hand",
)
ROWS = "A man sleeps.\tA man rests.\tentailment\nIt rains.\tIt is dry.\tcontradiction\n"


def write(root: Path, name: str, text: str | bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything of PAIRS but the German files; one training row too few; one training row is also tested."""
    write(tmp_path, "pairs/train-en.tsv", "It rains.\tIt is dry.\tcontradiction\nA cat.\tA dog.\tneutral\n")
    write(tmp_path, "pairs/dev-en.tsv", "One.\tTwo.\tneutral\nThree.\tFour.\tneutral\n")
    write(tmp_path, "pairs/test-en.tsv", ROWS)
    return tmp_path


def part(report: Report, task: str, split: str, language: str = "en") -> Part:
    (found,) = [p for p in report.parts if (p.task, p.split, p.language) == (task, split, language)]
    return found


def shown(report: Report) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=200))
    return out.getvalue()


def squad(*paragraphs: tuple[str, int], first: int = 0) -> str:
    """A SQuAD file with so many questions about each context; the answer is the context's first word."""
    made = []
    for context, questions in paragraphs:
        answers = [{"text": context.split()[0], "answer_start": 0}]
        numbers = range(first, first + questions)
        qas = [{"id": f"{context}{i}", "question": f"Question {i}?", "answers": answers} for i in numbers]
        made.append({"context": context, "qas": qas})
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": made}]})


def test_counts_files_and_digests(folder: Path) -> None:
    report = check_folder(folder, [PAIRS])
    dev = part(report, "pairs", "dev")
    content = (folder / "pairs/dev-en.tsv").read_bytes()
    assert (dev.rows, dev.with_gold, dev.published, dev.complete) == (2, 2, 2, True)
    assert dev.files[0].path == "pairs/dev-en.tsv"
    assert dev.files[0].sha256 == hashlib.sha256(content).hexdigest()[:12]
    assert (dev.files[0].bytes, dev.files[0].gzip) == (len(content), False)
    assert report.ok


def test_a_short_split_is_reported_and_is_no_error(folder: Path) -> None:
    report = check_folder(folder, [PAIRS])
    train = part(report, "pairs", "train")
    assert (train.rows, train.published, train.complete) == (2, 3, False)
    assert report.ok
    assert "short: en 2 of 3" in shown(report)


def test_missing_files_come_with_address_licence_and_command(folder: Path) -> None:
    report = check_folder(folder, [PAIRS])
    assert [(m.split, m.languages) for m in report.missing] == [("dev", ("de",)), ("test", ("de",))]
    assert report.missing[0].looked_for == ("pairs/dev-de.tsv",)
    text = shown(report)
    for word in (PAIRS.address, PAIRS.licence, PAIRS.fetch, "pairs/dev-de.tsv"):
        assert word in text
    assert not part(report, "pairs", "dev", "de").found


def test_training_row_in_a_test_set_is_found(folder: Path) -> None:
    (overlap,) = check_folder(folder, [PAIRS]).overlaps
    assert (overlap.task, overlap.split, overlap.tested_split, overlap.text) == ("pairs", "train", "test", "text")
    assert (overlap.rows, overlap.total, overlap.tested_rows, overlap.tested_total) == (1, 2, 1, 2)
    assert overlap.equal_rows == 1


def test_questions_overlap_by_context(tmp_path: Path) -> None:
    write(tmp_path, "questions/train.json", squad(("Ann reads.", 3), ("Bob sings.", 1)))
    write(tmp_path, "questions/test.json", squad(("Ann reads.", 2), ("Cid runs.", 5), first=2))
    (overlap,) = check_folder(tmp_path, [QUESTIONS]).overlaps
    assert (overlap.rows, overlap.total, overlap.tested_rows, overlap.tested_total) == (3, 4, 2, 7)
    assert (overlap.text, overlap.equal_rows) == ("context", 1)


def test_shapes_are_not_compared_with_each_other(folder: Path) -> None:
    write(folder, "questions/train.json", squad(("It rains.", 1)))
    report = check_folder(folder, [PAIRS, QUESTIONS])
    assert {(o.task, o.tested_task) for o in report.overlaps} == {("pairs", "pairs")}


def test_all_bad_rows_are_collected_with_their_lines(folder: Path) -> None:
    write(folder, "pairs/dev-en.tsv", "One.\tTwo.\tneutral\nThree.\tFour.\tmaybe\nFive.\tSix.\nA.\tB.\tneutral\n")
    report = check_folder(folder, [PAIRS])
    bad = part(report, "pairs", "dev").bad_rows
    assert [b.where for b in bad] == ["pairs/dev-en.tsv:2", "pairs/dev-en.tsv:3"]
    assert "'maybe'" in bad[0].what
    assert "column" in bad[1].what
    assert part(report, "pairs", "dev").rows == 2
    assert not report.ok
    assert "pairs/dev-en.tsv:3" in shown(report)


def test_bad_rows_of_a_gzipped_file(folder: Path) -> None:
    (folder / "pairs/dev-en.tsv").unlink()
    write(folder, "pairs/dev-en.tsv.gz", gzip.compress(b"One.\tTwo.\tneutral\nThree.\tFour.\tmaybe\n"))
    dev = part(check_folder(folder, [PAIRS]), "pairs", "dev")
    assert dev.files[0].gzip
    assert [b.where for b in dev.bad_rows] == ["pairs/dev-en.tsv.gz:2"]
    assert dev.rows == 1


def test_a_file_of_bad_rows_only_ends_the_reading(folder: Path) -> None:
    write(folder, "pairs/dev-en.tsv", "A.\tB.\tmaybe\n" * 50)
    bad = part(check_folder(folder, [PAIRS]), "pairs", "dev").bad_rows
    assert len(bad) == MAX_BAD_ROWS + 1
    assert "stopped" in bad[-1].what


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b'{"data": [{"title": "t", "paragra', "JSON"), (b"\xff\xfe\x00", "UTF-8")],
)
def test_a_damaged_file_is_one_bad_row(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, "questions/train.json", content)
    report = check_folder(tmp_path, [QUESTIONS])
    (bad,) = part(report, "questions", "train").bad_rows
    assert bad.where.startswith("questions/train.json")
    assert message in bad.what
    assert not report.ok


def test_gold_beside_label_free_tests_is_counted_and_checked(folder: Path) -> None:
    write(folder, "pairs/test-en.tsv", "A man sleeps.\tA man rests.\nIt rains.\tIt is dry.\n")
    assert part(check_folder(folder, [PAIRS]), "pairs", "test").with_gold == 0
    gold = write(folder, "labels/pairs/test-en.tsv", "entailment\ncontradiction\n")
    test = part(check_folder(folder, [PAIRS]), "pairs", "test")
    assert (test.rows, test.with_gold, test.gold_files[0].path) == (2, 2, "labels/pairs/test-en.tsv")
    gold.write_text("entailment\n")
    short = part(check_folder(folder, [PAIRS]), "pairs", "test")
    assert (short.rows, short.with_gold, len(short.bad_rows)) == (2, 0, 1)


def test_rows_without_a_majority_label_are_left_out_and_counted(folder: Path) -> None:
    (folder / "pairs/train-en.tsv").unlink()
    labels = ["neutral", "-", "entailment", "-"]
    rows = [json.dumps({"gold_label": g, "sentence1": f"{i}", "sentence2": "b"}) for i, g in enumerate(labels)]
    write(folder, "pairs/train-en.jsonl", "\n".join(rows) + "\n")
    report = check_folder(folder, [PAIRS])
    train = part(report, "pairs", "train")
    assert (train.rows, train.dropped) == (2, 2)
    assert "2 rows without a majority label" in shown(report)


def test_a_split_pointed_at_another_file(folder: Path) -> None:
    write(folder, "other.tsv", ROWS)
    train = part(check_folder(folder, [PAIRS], {"pairs.train": ["other.tsv"]}), "pairs", "train")
    assert (train.files[0].path, train.rows, train.overridden) == ("other.tsv", 2, True)
    absent = part(check_folder(folder, [PAIRS], {"pairs.train": ["nowhere.tsv"]}), "pairs", "train")
    assert absent.bad_rows[0].where == "nowhere.tsv"


def test_the_report_is_json(folder: Path) -> None:
    write(folder, "pairs/dev-en.tsv", "One.\tTwo.\tmaybe\n")
    report = check_folder(folder, [PAIRS])
    record = json.loads(json.dumps(report.as_json()))
    assert record["ok"] is False
    assert record["parts"][0]["files"][0]["path"] == "pairs/train-en.tsv"
    assert {"parts", "missing", "overlaps", "seconds", "root"} <= set(record)


def test_file_names_are_not_markup(tmp_path: Path) -> None:
    root = tmp_path / "[bold]"
    write(root, "pairs/dev-en.tsv", "One.\tTwo.\t[red]\n")
    text = shown(check_folder(root, [PAIRS]))
    assert "[bold]" in text
    assert "[red]" in text


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        check_folder(tmp_path / "nowhere", [PAIRS])


@pytest.fixture
def real_report(real_data: Path) -> Report:
    return check_once(real_data)


@cache
def check_once(real_data: Path) -> Report:
    return check_folder(
        real_data, [tasks.load(name) for name in tasks.names()], {"squad_v2.train": ["squad/dev-v2.0.json"]}
    )


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("task", "split", "language", "rows", "with_gold"),
    [
        ("xnli", "dev", "sw", 2490, 2490),
        ("xnli", "test", "en", 5010, 5010),
        ("pawsx", "test", "en", 2000, 0),
        ("xquad", "test", "th", 1190, 1190),
        ("mlqa", "dev", "en", 1148, 1148),
        ("tatoeba", "test", "sw", 390, 390),
        ("squad_v2", "train", "en", 4449, 4449),
        ("squad_v1", "train", "en", 1027, 1027),
    ],
)
def test_real_counts(real_report: Report, task: str, split: str, language: str, rows: int, with_gold: int) -> None:
    found = part(real_report, task, split, language)
    assert (found.rows, found.with_gold) == (rows, with_gold)


@pytest.mark.real_data
def test_real_folder_has_no_bad_rows_and_is_read_fast(real_report: Report) -> None:
    assert real_report.ok, real_report.bad_rows
    assert real_report.seconds < 60
    assert any(m.task == "qqp" and m.command for m in real_report.missing)


@pytest.mark.real_data
def test_real_squad_standin_shares_contexts_with_xquad(real_report: Report) -> None:
    """250 of XQuAD's 1,190 English questions are in the SQuAD stand-in file; 5 more are about the same contexts."""
    (overlap,) = [o for o in real_report.overlaps if (o.task, o.split, o.tested_task) == ("squad_v2", "train", "xquad")]
    assert (overlap.tested_language, overlap.tested_rows, overlap.tested_total) == ("en", 255, 1190)
    assert overlap.equal_rows == 250
