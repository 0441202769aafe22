"""Readers on small files in the published formats, made by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xstilts.data.bitext import read_bucc, read_tatoeba
from xstilts.data.ccgbank import read_ccgbank
from xstilts.data.choices import read_commonsense_qa, read_cosmosqa, read_hellaswag
from xstilts.data.conll import read_words
from xstilts.data.conllu import read_conllu
from xstilts.data.pairs import read_nli, read_paraphrase
from xstilts.data.squad import read_squad
from xstilts.task_types import Answer


def save(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def squad(context: str, *questions: dict[str, Any]) -> str:
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]})


def test_xtreme_pairs_are_unquoted_and_crlf_is_no_text(tmp_path: Path) -> None:
    path = save(
        tmp_path, "dev-en.tsv", 'A "b"\tC\tneutral\r\n"say ""x"""\td\tcontradictory\r\n'.replace('A "b"', '"A ""b"""')
    )
    first, second = read_nli((path,), "en")
    assert (first.first, first.second, first.label) == ('A "b"', "C", "neutral")
    assert (second.first, second.label) == ('say "x"', "contradiction")


def test_xtreme_test_rows_have_no_gold(tmp_path: Path) -> None:
    path = save(tmp_path, "test-en.tsv", "a\tb\r\nc\td\r\n")
    assert [example.label for example in read_nli((path,), "en")] == [None, None]


def test_a_row_that_looks_like_a_header_is_a_row(tmp_path: Path) -> None:
    path = save(tmp_path, "train-en.tsv", "sentence1\tsentence2\t0\na\tb\t1\n")
    assert [(e.first, e.label) for e in read_paraphrase((path,), "en")] == [("sentence1", "0"), ("a", "1")]


def test_gzip_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dev-en.tsv.gz"
    path.write_bytes(gzip.compress("\ufeffa\tb\t1\n".encode()))
    (example,) = read_paraphrase((path,), "en")
    assert (example.first, example.label) == ("a", "1")


def test_xnli_holds_all_languages_and_one_is_read(tmp_path: Path) -> None:
    head = "language\tgold_label\tsentence1\tsentence2\n"
    path = save(tmp_path, "xnli.dev.tsv", head + "ar\tneutral\tx\ty\nde\tentailment\tu\tv\n")
    (example,) = read_nli((path,), "de")
    assert (example.first, example.label) == ("u", "entailment")


def test_rows_without_a_majority_are_dropped(tmp_path: Path) -> None:
    rows = [{"gold_label": label, "sentence1": "a", "sentence2": "b"} for label in ("neutral", "-", "entailment")]
    lines = save(tmp_path, "snli.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    table = save(tmp_path, "snli.txt", "gold_label\tsentence1\tsentence2\tlabel1\n-\ta\tb\t\nneutral\ta\tb\n")
    assert [e.label for e in read_nli((lines, table), "en")] == ["neutral", "entailment", "neutral"]


def test_anli_letters_become_words(tmp_path: Path) -> None:
    rows = [{"context": "a", "hypothesis": "b", "label": letter} for letter in "enc"]
    path = save(tmp_path, "train.jsonl", "\n".join(map(json.dumps, rows)))
    assert [e.label for e in read_nli((path,), "en")] == ["entailment", "neutral", "contradiction"]


def test_a_published_table_is_not_quoted(tmp_path: Path) -> None:
    path = save(tmp_path, "train.tsv", 'id\tsentence1\tsentence2\tlabel\n1\t"a\tb\t0\n')
    assert [(e.first, e.label) for e in read_paraphrase((path,), "en")] == [('"a', "0")]


def test_tags_with_prefix_and_double_blank_lines(tmp_path: Path) -> None:
    path = save(tmp_path, "de-dev", "de:In\tO\nde:Rom\tB-LOC\n\n\nde:Ja\tO\n")
    assert [e.words for e in read_words((path,), "de")] == [("In", "Rom"), ("Ja",)]


def test_a_colon_inside_a_word_is_no_prefix(tmp_path: Path) -> None:
    path = save(tmp_path, "dev-en.tsv", "en:x\tO\nb\tO\n")
    assert next(read_words((path,), "en")).words == ("en:x", "b")


def test_bare_words_have_no_tags(tmp_path: Path) -> None:
    path = save(tmp_path, "test-en.tsv", "In\nRome\n")
    (example,) = read_words((path,), "en")
    assert (example.words, example.tags) == (("In", "Rome"), None)


def conllu(*rows: tuple[str, str, str, int]) -> str:
    return "".join(f"{i}\t{form}\t_\t{tag}\t_\t_\t{head}\t_\t_\t_\n" for i, form, tag, head in rows) + "\n"


def test_a_fused_form_takes_the_tag_nearest_to_the_root(tmp_path: Path) -> None:
    text = conllu(("1-2", "dámelo", "_", 0), ("1", "da", "VERB", 0), ("2", "lo", "PRON", 1), ("2.1", "x", "X", 1))
    (example,) = read_conllu((save(tmp_path, "a.conllu", "# text\n" + text),), "es")
    assert (example.words, example.tags) == (("dámelo",), ("VERB",))


def test_equally_near_words_are_ranked_by_tag(tmp_path: Path) -> None:
    text = conllu(("1-2", "zum", "_", 0), ("1", "zu", "ADP", 3), ("2", "dem", "DET", 3), ("3", "Haus", "NOUN", 0))
    (example,) = read_conllu((save(tmp_path, "a.conllu", text),), "de")
    assert (example.words, example.tags) == (("zum", "Haus"), ("ADP", "NOUN"))


def test_spaces_and_non_joiners_leave_words_and_hidden_sentences_go(tmp_path: Path) -> None:
    hidden = conllu(("1", "_", "NOUN", 0), ("2", "_", "VERB", 1))
    shown = conllu(
        ("1", "một ít", "DET", 0), ("2", "a\u200cb", "NOUN", 1), ("3", "_", "SYM", 1), ("4", ".", "PUNCT", 1)
    )
    (example,) = read_conllu((save(tmp_path, "a.conllu", hidden + shown),), "vi")
    assert example.words == ("mộtít", "ab", "_", ".")


def test_squad_gold_is_answers_nothing_or_missing(tmp_path: Path) -> None:
    answer = {"text": "b", "answer_start": 2}
    text = squad(
        "a b",
        {"id": "1", "question": "q", "answers": [answer, answer]},
        {"id": "2", "question": "q", "answers": [], "is_impossible": True},
        {"id": "3", "question": "q", "answers": [{"text": "", "answer_start": 0}]},
        {"id": "1", "question": "q", "answers": [answer]},
    )
    examples = list(read_squad((save(tmp_path, "x.json", text),), "en"))
    assert [e.answers for e in examples[:3]] == [(Answer("b", 2), Answer("b", 2)), (), None]
    assert [e.id for e in examples] == ["1", "2", "3", "1#2"]


def test_tydiqa_single_file_is_read_by_language(tmp_path: Path) -> None:
    questions = [{"id": f"{name}-1-0", "question": "q", "answers": []} for name in ("finnish", "korean")]
    path = save(tmp_path, "train.json", squad("c", *questions))
    assert [e.id for e in read_squad((path,), "ko")] == ["korean-1-0"]


def test_laser_lines_are_aligned_and_xtreme_lines_are_not(tmp_path: Path) -> None:
    foreign = save(tmp_path, "x.deu", "eins\nzwei\n")
    (laser,) = read_tatoeba((foreign, save(tmp_path, "x.eng", "two\none\n")), "de")
    (xtreme,) = read_tatoeba((foreign, save(tmp_path, "x.en", "one\ntwo\n")), "de")
    assert (laser.queries, laser.candidates, laser.gold) == (("two", "one"), ("eins", "zwei"), (0, 1))
    assert xtreme.gold is None


def test_bucc_queries_are_foreign(tmp_path: Path) -> None:
    paths = (
        save(tmp_path, "de-en.dev.de", "de-1\teins\nde-2\tzwei\n"),
        save(tmp_path, "de-en.dev.en", "en-1\tone\n"),
        save(tmp_path, "de-en.dev.gold", "de-1\ten-1\n"),
    )
    (bitext,) = read_bucc(paths, "de")
    assert (bitext.query_ids, bitext.candidates, bitext.gold) == (("de-1", "de-2"), ("one",), (("de-1", "en-1"),))


def test_multiple_choice_layouts(tmp_path: Path) -> None:
    swag = save(tmp_path, "h.jsonl", json.dumps({"ctx_a": "p", "ctx_b": "he", "endings": list("abcd"), "label": 2}))
    (example,) = read_hellaswag((swag,), "en")
    assert (example.prompt, example.choices[0], example.label) == ("p", "he a", 2)
    head = "id,context,question,answer0,answer1,answer2,answer3,label\r\n"
    cosmos = save(tmp_path, "c.csv", head + '1,"line\r\nbreak","q, r",a,b,c,d,3\r\n')
    (example,) = read_cosmosqa((cosmos,), "en")
    assert (example.prompt, example.label) == ("line\nbreak q, r", 3)
    choices = [{"label": letter, "text": letter.lower()} for letter in "ABCDE"]
    common = save(tmp_path, "q.jsonl", json.dumps({"answerKey": "B", "question": {"stem": "s", "choices": choices}}))
    (example,) = read_commonsense_qa((common,), "en")
    assert (example.prompt, example.choices[1], example.label) == ("s", "b", 1)


def test_ccgbank_leaves(tmp_path: Path) -> None:
    path = save(tmp_path, "w.auto", "ID=1\n(<T S 0 2> (<L N/N NNP NNP Mr. N/N>) (<L (S[dcl]\\NP)/NP VBZ VBZ is X>) )\n")
    (example,) = read_ccgbank((path,), "en")
    assert (example.words, example.tags) == (("Mr.", "is"), ("N/N", "(S[dcl]\\NP)/NP"))


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXT, TEXT, st.sampled_from(("0", "1"))), min_size=1, max_size=5))
def test_what_csv_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    import csv

    path = tmp_path / "train-en.tsv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, delimiter="\t").writerows(rows)
    rows = [(a, b, c) for a, b, c in rows]
    if path.read_text("utf-8").startswith("\ufeff"):
        return
    assert [(e.first, e.second, e.label) for e in read_paraphrase((path,), "en")] == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_make_no_difference(tmp_path: Path, end: str) -> None:
    path = save(tmp_path, "dev-en.tsv", end.join(["a\tO", "b\tO", "", "c\tO", ""]))
    assert [e.tags for e in read_words((path,), "en")] == [("O", "O"), ("O",)]
