"""Which files belong to a task, and gold that lies apart from its text."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from xstilts.errors import DataError, GoldError
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, count_rows, read_examples

XNLI, PANX, TATOEBA, XQUAD = load("xnli"), load("panx"), load("tatoeba"), load("xquad")
LAYOUT = "LASER/data/tatoeba/v1/tatoeba.deu-eng"


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_complete_layout_wins(data_root: Path) -> None:
    data = DataFolder(data_root)
    assert [p.name for p in data.files(TATOEBA, "test", "de")] == ["tatoeba.deu-eng.deu", "tatoeba.deu-eng.eng"]
    put(data_root, "tatoeba/de-en.de", "eins\nzwei\n")
    assert [p.parent.name for p in data.files(TATOEBA, "test", "de")] == ["v1", "v1"]
    put(data_root, "tatoeba/de-en.en", "one\ntwo\n")
    assert [p.name for p in data.files(TATOEBA, "test", "de")] == ["de-en.de", "de-en.en"]


def test_absent_files_are_said_by_pattern(data_root: Path) -> None:
    data = DataFolder(data_root)
    assert data.files(XNLI, "dev", "de") == ()
    assert data.missing(XNLI, "dev", "de") == ["xnli/dev-de.tsv", "XNLI-1.0/xnli.dev.tsv"]
    assert data.languages(XNLI, "dev") == ("en",)


def test_a_gzip_file_stands_in(data_root: Path) -> None:
    (data_root / "xnli/dev-fr.tsv.gz").write_bytes(gzip.compress(b"a\tb\tneutral\n"))
    (path,) = DataFolder(data_root).files(XNLI, "dev", "fr")
    assert len(read_examples(XNLI, (path,), "fr")) == 1


def test_a_file_of_all_languages_counts_for_those_in_it(data_root: Path) -> None:
    put(data_root, "XNLI-1.0/xnli.dev.tsv", "language\tgold_label\tsentence1\tsentence2\nth\tneutral\ta\tb\n")
    data = DataFolder(data_root)
    assert data.languages(XNLI, "dev") == ("en", "th")


def test_a_glob_is_sorted_by_file_name(data_root: Path) -> None:
    for folder, name in (("UD_A", "fr_z-ud-dev"), ("UD_B", "fr_a-ud-dev")):
        put(data_root, f"ud-treebanks-v2.5/{folder}/{name}.conllu", "x")
    assert [p.stem for p in DataFolder(data_root).files(load("udpos"), "dev", "fr")] == ["fr_a-ud-dev", "fr_z-ud-dev"]


def test_a_study_points_a_split_at_another_file(data_root: Path) -> None:
    put(data_root, "mine.tsv", "u\tv\tneutral\n")
    put(data_root, "mine-de.tsv", "u\tv\n")
    overrides = {"xnli.train": [Path("mine.tsv")], "xnli.test": [Path("mine-{language}.tsv")]}
    data = DataFolder(data_root, overrides)
    assert [p.name for p in data.files(XNLI, "train", "en")] == ["mine.tsv"]
    assert data.languages(XNLI, "train") == ("en",)
    assert data.languages(XNLI, "test") == ("de",)
    assert data.gold_files(XNLI, "test", "de") == ()
    wrong = DataFolder(data_root, {"xnli.train": [Path("nothing.tsv")]})
    with pytest.raises(DataError, match=r"nothing\.tsv"):
        wrong.files(XNLI, "train", "en")


def test_labels_are_attached_by_order(data_root: Path) -> None:
    data = DataFolder(data_root)
    gold = data.gold_files(XNLI, "test", "de")
    examples = read_examples(XNLI, data.files(XNLI, "test", "de"), "de", gold)
    assert [e.label for e in examples] == ["neutral", "contradiction"]


@pytest.mark.parametrize(
    ("labels", "problem", "line"),
    [("neutral\n", "1 gold rows here but 2 rows", ""), ("neutral\nmaybe\n", "unknown label 'maybe'", ":2")],
)
def test_gold_that_does_not_fit(data_root: Path, labels: str, problem: str, line: str) -> None:
    gold = put(data_root, "labels/xnli/test-de.tsv", labels)
    with pytest.raises(GoldError, match=problem) as caught:
        read_examples(XNLI, (data_root / "xnli/test-de.tsv",), "de", (gold,))
    assert caught.value.where == f"{gold}{line}"


def test_one_and_the_same_label_is_a_placeholder(tmp_path: Path) -> None:
    texts = put(tmp_path, "test-de.tsv", "a\tb\n" * 12)
    gold = put(tmp_path, "gold.tsv", "neutral\n" * 12)
    with pytest.raises(GoldError, match="placeholders"):
        read_examples(XNLI, (texts,), "de", (gold,))
    with pytest.raises(GoldError, match="placeholders"):
        read_examples(PANX, (put(tmp_path, "test-fr.tsv", "a\tO\n\n" * 12),), "fr")


def test_tags_keep_step_with_words(tmp_path: Path) -> None:
    texts = put(tmp_path, "test-de.tsv", "In\nRom\n\nJa\n")
    gold = put(tmp_path, "gold.tsv", "O\nB-LOC\n\nO\n")
    assert [e.tags for e in read_examples(PANX, (texts,), "de", (gold,))] == [("O", "B-LOC"), ("O",)]
    put(tmp_path, "gold.tsv", "O\n\nO\n")
    with pytest.raises(GoldError, match="1 gold tags here but 2 words"):
        read_examples(PANX, (texts,), "de", (gold,))
    put(tmp_path, "gold.tsv", "O\nO\n")
    with pytest.raises(GoldError, match="1 gold sentences here but 2 sentences"):
        read_examples(PANX, (texts,), "de", (gold,))


def test_answers_are_attached_by_id(data_root: Path) -> None:
    whole = data_root / "xquad/xquad.en.json"
    blank = put(
        data_root,
        "blank.json",
        whole.read_text().replace('"text": "Rome", "answer_start": 14', '"text": "", "answer_start": 0'),
    )
    first, second = read_examples(XQUAD, (blank,), "en")
    assert first.answers is None and second.answers
    assert read_examples(XQUAD, (blank,), "en", (whole,)) == read_examples(XQUAD, (whole,), "en")
    other = put(data_root, "other.json", whole.read_text().replace('"q1"', '"q9"'))
    with pytest.raises(GoldError, match="1 of 2 questions"):
        read_examples(XQUAD, (blank,), "en", (other,))


def test_line_numbers_of_a_sorted_side(tmp_path: Path) -> None:
    foreign = put(tmp_path, "de-en.de", "".join(f"satz {k}\n" for k in range(12)))
    english = put(tmp_path, "de-en.en", "".join(f"line {chr(97 + k)}\n" for k in range(12)))
    gold = put(tmp_path, "gold.tsv", "".join(f"{11 - k}\n" for k in range(12)))
    (bitext,) = read_examples(TATOEBA, (foreign, english), "de", (gold,))
    assert bitext.gold == tuple(range(11, -1, -1))
    put(tmp_path, "gold.tsv", "".join(f"{k}\n" for k in range(12)))
    with pytest.raises(GoldError, match="English side is sorted"):
        read_examples(TATOEBA, (foreign, english), "de", (gold,))
    put(tmp_path, "gold.tsv", "12\n" * 12)
    with pytest.raises(GoldError, match="'12' is not a line number from 0 to 11"):
        read_examples(TATOEBA, (foreign, english), "de", (gold,))


def test_no_rows_of_the_language_is_an_error(tmp_path: Path) -> None:
    path = put(tmp_path, "x.tsv", "language\tgold_label\tsentence1\tsentence2\nth\tneutral\ta\tb\n")
    with pytest.raises(DataError, match="no rows of language 'de'"):
        read_examples(XNLI, (path,), "de")


def test_rows_are_counted_as_published(data_root: Path) -> None:
    data, bucc = DataFolder(data_root), load("bucc2018")
    assert count_rows(read_examples(bucc, data.files(bucc, "dev", "de"), "de")) == 2
    assert count_rows(read_examples(XNLI, data.files(XNLI, "dev", "en"), "en")) == 2
