"""Casts: ``parse(render(x))`` is the gold, on made-up rows, hand-made rows and every real row; what is not is listed.

``text_exceptions.json`` lists the rows of the real data whose gold does not come back. It is renewed by
``XSTILTS_RENEW_GOLDEN=1 python -m pytest tests/tasks/test_text_casts.py -m real_data``.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.errors import ModelError
from xstilts.metrics.tagging import chunks
from xstilts.task_types import Answer, ChoiceExample, PairExample, SpanExample, TaggingExample
from xstilts.task_types.answer_cast import AnswerCast, padded
from xstilts.task_types.cast import FLAWS, UNPARSABLE, Cast, script_of, words_of
from xstilts.task_types.casts import cast_as_json, cast_of_json
from xstilts.task_types.label_casts import ChoiceCast
from xstilts.task_types.tagging_casts import EntityCast, entities
from xstilts.tasks import load, names
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.tasks.task import Task

EXCEPTIONS = Path(__file__).parent / "text_exceptions.json"
CAST = [name for name in names() if load(name).text_cast is not None]
XNLI, PAWS, NER, POS = (load(name).text_cast for name in ("xnli", "pawsx", "panx", "udpos"))
WORDS = st.text(st.characters(categories=["L", "N", "M", "P", "S"]), min_size=1, max_size=8).filter(
    lambda word: unicodedata.normalize("NFKC", word).split() == [word] and "$" not in word
)


def answered(task: Task, example: Any, *, folded: bool = False) -> Any:
    """What the task's metric is given for an example's own target, as a sentence-piece vocabulary writes it if ``folded``."""
    cast = task.text_cast
    assert cast is not None
    target = cast.render(example).target
    assert target is not None
    row = cast.parse(example, words_of(target) if folded else target)
    assert set(row["flaws"]) <= set(FLAWS)
    return task.type.answer(row)


def comes_back(task: Task, example: Any, *, folded: bool = False) -> bool:
    """For a question its first answer, or none; of entities, the chunks that are scored; everything else whole."""
    gold = task.type.gold(example)
    if isinstance(task.text_cast, EntityCast):
        return chunks([answered(task, example, folded=folded)]) == chunks([gold])
    wanted = (gold[0] if gold else "") if isinstance(example, SpanExample) else gold
    return bool(answered(task, example, folded=folded) == wanted)


def all_rows(task: Task, data: DataFolder, split: str, language: str) -> list[Any]:
    """The rows with gold."""
    paths = data.files(task, split, language)
    found = read_examples(task, paths, language, data.gold_files(task, split, language))
    return [example for example in found if task.type.gold(example) is not None]


# As published (FACTS 6.4).


def test_xnli_is_said_as_mt5_says_it() -> None:
    assert XNLI is not None
    row = PairExample("1", "It rains.", "It is dry.", "contradiction")
    said = XNLI.render(row)
    assert (said.inputs, said.target) == ("xnli: premise: It rains. hypothesis: It is dry.", "2")
    assert XNLI.targets == ("0", "1", "2")


def test_pawsx_is_said_as_mt5_says_it() -> None:
    assert PAWS is not None
    said = [PAWS.render(PairExample("1", "a b", "b a", label)) for label in ("0", "1")]
    assert said[0].inputs == "paws sentence1: a b sentence2: b a"
    assert [s.target for s in said] == ["different_meaning", "paraphrase"]


def test_entities_are_said_as_mt5_says_them() -> None:
    assert NER is not None
    tags = ("B-PER", "O", "B-PER", "I-PER", "B-PER")
    said = NER.render(TaggingExample("1", ("rick", "and", "morty", "smith", "summer"), tags))
    assert said.inputs == "tag: rick and morty smith summer"
    assert said.target == "PER: rick $$ PER: morty smith $$ PER: summer"


def test_questions_are_said_as_mt5_says_them() -> None:
    row = SpanExample("1", "Who's there?", "It was J.R. (and snake_case 3.5)", (Answer("J.R.", 7), Answer("J", 7)))
    said = AnswerCast().render(row)
    assert said.inputs == "question: Who ' s there ? context: It was J . R . ( and snake_case 3 . 5 )"
    assert said.target == "J . R ."


def test_marks_are_not_punctuation() -> None:
    hindi = "\u0939\u093f\u0928\u094d\u0926\u0940\u0964"
    assert padded(hindi) == f"{hindi[:-1]} {hindi[-1]}"


# Wrong answers.


def test_a_label_that_cannot_be_read_is_wrong_and_counted() -> None:
    for cast, texts in ((XNLI, ("", "3", "entailment", "0 0")), (PAWS, ("", "Paraphrase!", "umschreibung"))):
        assert cast is not None
        for text in texts:
            row = cast.parse(PairExample("1", "a", "b", None), text)
            assert row == {"id": "1", "label": UNPARSABLE, "flaws": [UNPARSABLE]}
    assert all(UNPARSABLE not in getattr(load(n).type, "labels", ()) for n in CAST)


def test_a_choice_that_cannot_be_read_is_no_choice() -> None:
    row = ChoiceExample("1", "p", ("a", "b"), None)
    cast = ChoiceCast("x:", 2)
    assert [cast.parse(row, text)["choice"] for text in ("1", " 0 ", "2", "", "-1", "a")] == [1, 0, -1, -1, -1, -1]


def test_an_unknown_label_has_no_text() -> None:
    assert XNLI is not None
    with pytest.raises(ModelError, match="'maybe' of row '7' has no text"):
        XNLI.render(PairExample("7", "a", "b", "maybe"))


@pytest.mark.parametrize(
    ("text", "tags", "flaws"),
    [
        ("", "O O O O O", []),
        ("LOC: paris", "B-LOC O O O O", []),
        ("LOC: paris $$ PER: paris", "B-LOC O O B-PER O", []),
        ("PER: paris hilton", "O O O B-PER I-PER", []),
        ("ORG: london", "O O O O O", ["outside_input"]),
        ("ORG: \u043b\u043e\u043d\u0434\u043e\u043d", "O O O O O", ["outside_input", "other_script"]),
        ("LOC: paris $$ paris", "B-LOC O O O O", [UNPARSABLE]),
        ("GPE: paris", "O O O O O", [UNPARSABLE]),
        ("PER:", "O O O O O", [UNPARSABLE]),
        ("PER: hilton $$ PER: hilton", "O O O O B-PER", ["unplaced"]),
        ("PER: hilt", "O O O O O", ["unplaced"]),
    ],
)
def test_entities_take_their_leftmost_free_match(text: str, tags: str, flaws: list[str]) -> None:
    assert NER is not None
    row = NER.parse(TaggingExample("1", ("paris", "is", "not", "paris", "hilton"), None), text)
    assert (" ".join(row["tags"]), row["flaws"]) == (tags, flaws)


def test_a_word_without_a_tag_gets_one_that_is_wrong() -> None:
    assert POS is not None
    row = POS.parse(TaggingExample("1", ("a", "b", "c", "d"), None), "1 DET 3 Nomen 4 VERB 4 NOUN 9 X and so on")
    assert row["tags"] == ["DET", UNPARSABLE, UNPARSABLE, "VERB"]
    assert row["flaws"] == [UNPARSABLE]


def test_answers_are_found_in_the_context_or_counted() -> None:
    context = "The cats of St. Petersburg (\uff11\uff19\uff19\uff10) sat; the cat slept."
    row = SpanExample("1", "q", context, None)

    def parsed(text: str) -> tuple[str, int, list[str]]:
        found = AnswerCast().parse(row, text)
        return found["text"], found["start"], found["flaws"]

    assert parsed("St . Petersburg") == ("St. Petersburg", 12, [])
    assert parsed("1990") == ("\uff11\uff19\uff19\uff10", 28, [])  # folded, as a vocabulary folds
    assert parsed("cat") == ("cat", 43, [])  # the whole word, not the part of an earlier one
    assert parsed("etersbur") == ("etersbur", 17, [])
    assert parsed("dogs") == ("dogs", -1, ["outside_input"])
    assert parsed("\u0441\u043e\u0431\u0430\u043a\u0438") == (
        "\u0441\u043e\u0431\u0430\u043a\u0438",
        -1,
        ["outside_input", "other_script"],
    )
    assert parsed(" ") == ("", -1, [UNPARSABLE])
    assert AnswerCast(unanswerable=True).parse(row, "")["flaws"] == []


def test_scripts() -> None:
    assert script_of("12 :") is None
    assert script_of("Tokyo") == "LATIN"
    assert script_of("\u6771\u4eac\u3068\u30ab") == script_of("\u5317\u4eac") == "CJK"


# Round trips.


@given(st.sampled_from(["xnli", "mnli", "anli_plus", "pawsx", "qqp"]), st.text(), st.text(), st.integers(0, 2))
def test_labels_come_back(name: str, first: str, second: str, number: int) -> None:
    task = load(name)
    labels = task.type.labels  # type: ignore[attr-defined]
    assert comes_back(task, PairExample("1", first, second, labels[number % len(labels)]))


@given(st.lists(st.text(), min_size=4, max_size=4), st.integers(0, 3))
def test_choices_come_back(choices: list[str], number: int) -> None:
    assert comes_back(load("hellaswag"), ChoiceExample("1", "prompt", tuple(choices), number))


@given(st.lists(st.tuples(WORDS, st.sampled_from(["NOUN", "VERB", "X", "PUNCT"])), min_size=1, max_size=12))
def test_tags_come_back(pairs: list[tuple[str, str]]) -> None:
    words, tags = zip(*pairs, strict=True)
    assert comes_back(load("udpos"), TaggingExample("1", words, tags))


@st.composite
def sentences_with_entities(draw: st.DrawFn) -> TaggingExample:
    """Different words, so that no entity stands at two places; entities side by side too."""
    words = draw(st.lists(WORDS, min_size=1, max_size=10, unique=True))
    tags: list[str] = []
    while len(tags) < len(words):
        size, kind = draw(st.integers(1, 3)), draw(st.sampled_from(["", "PER", "LOC"]))
        size = min(size, len(words) - len(tags))
        tags += ["O"] * size if not kind else [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
    return TaggingExample("1", tuple(words), tuple(tags))


@given(sentences_with_entities())
def test_what_is_written_of_entities_comes_back(example: TaggingExample) -> None:
    assert NER is not None
    row = NER.parse(example, str(NER.render(example).target))
    assert example.tags is not None
    assert [tuple(e) for e in row["entities"]] == list(entities(example.words, example.tags))
    # Words that begin with one another may be cut at another place, but as many entities are placed.
    assert "outside_input" not in row["flaws"]


@given(st.text(max_size=60), st.integers(0, 60), st.integers(1, 20))
def test_an_answer_is_found_where_its_like_stands(context: str, start: int, length: int) -> None:
    answer = context[start : start + length]
    example = SpanExample("1", "q", context, (Answer(answer, start),))
    row = AnswerCast().parse(example, padded(answer))
    if not padded(answer):
        assert row["flaws"] == [UNPARSABLE]
    elif row["start"] >= 0:
        assert context[row["start"] :].startswith(row["text"])
        said, there = ("".join(unicodedata.normalize("NFKD", text).split()) for text in (answer, row["text"]))
        assert said in there  # more than it only where one character of the context folds to several


@pytest.mark.parametrize("name", CAST)
def test_a_cast_is_plain_json(name: str) -> None:
    cast = load(name).text_cast
    assert cast is not None
    assert cast_of_json(json.loads(json.dumps(cast_as_json(cast)))) == cast


@pytest.mark.parametrize("name", CAST)
def test_hand_made_rows_come_back(name: str, data_root: Path) -> None:
    task, data = load(name), DataFolder(data_root)
    split, language = next((s, lang) for s in task.files for lang in task.languages if data.files(task, s, lang))
    rows = all_rows(task, data, split, language)
    assert rows
    assert all(comes_back(task, row) for row in rows)


@pytest.mark.parametrize("name", CAST)
def test_gold_is_not_rendered_into_inputs_nor_read_by_parse(name: str, data_root: Path) -> None:
    task, data = load(name), DataFolder(data_root)
    split, language = next((s, lang) for s in task.files for lang in task.languages if data.files(task, s, lang))
    cast: Cast | None = task.text_cast
    assert cast is not None
    for row in all_rows(task, data, split, language):
        hidden = replace(row, **{f: None for f in ("label", "tags", "answers") if hasattr(row, f)})
        assert cast.render(hidden).inputs == cast.render(row).inputs
        assert cast.render(hidden).target is None
        assert cast.parse(hidden, str(cast.render(row).target)) == cast.parse(row, str(cast.render(row).target))


def _exceptions(real_data: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    task, data = load(name), DataFolder(real_data)
    for split in task.files:
        for language in data.languages(task, split):
            rows = all_rows(task, data, split, language)
            if rows:
                whole = [row.id for row in rows if not comes_back(task, row)]
                folded = sum(not comes_back(task, row, folded=True) for row in rows)
                yield f"{name} {split} {language}", {"rows": len(rows), "folded": folded, "ids": whole}


@pytest.mark.real_data
@pytest.mark.parametrize("name", CAST)
def test_every_real_row_comes_back_but_those_listed(real_data: Path, name: str) -> None:
    found = dict(_exceptions(real_data, name))
    listed = json.loads(EXCEPTIONS.read_text(encoding="utf-8")) if EXCEPTIONS.exists() else {}
    if os.environ.get("XSTILTS_RENEW_GOLDEN") == "1":
        listed = {place: of for place, of in listed.items() if not place.startswith(f"{name} ")} | found
        text = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(listed.items()))
        EXCEPTIONS.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    assert found == {place: of for place, of in listed.items() if place.startswith(f"{name} ")}
