"""Every task's own reader reads the world's files, with the declared rows, balanced labels and gold that holds."""

from __future__ import annotations

from collections import Counter

import pytest
from small_world import CODES, FOREIGN, SMALL, SOURCE, examples, small_world

from xstilts import tasks
from xstilts.data.conll import UPOS
from xstilts.tasks.folder import DataFolder, count_rows

ROWS = {"train": SMALL.train_rows, "dev": SMALL.dev_rows, "test": SMALL.test_rows}
COUNTS = {
    "xnli": ROWS,
    "pawsx": ROWS,
    "udpos": ROWS,
    "panx": ROWS,
    "xquad": {"test": SMALL.test_rows},
    "mlqa": {"dev": SMALL.dev_rows, "test": SMALL.test_rows},
    "tydiqa": {"train": SMALL.train_questions, "test": SMALL.test_rows},
    "bucc2018": {"dev": SMALL.bucc_dev[1], "test": SMALL.bucc_test[1]},
    "tatoeba": {"test": SMALL.tatoeba_pairs},
    "anli_plus": {"train": SMALL.train_rows * 3 // 2, "dev": SMALL.dev_rows * 3 // 2},
    "mnli": {"train": SMALL.train_rows, "dev": SMALL.dev_rows},
    "qqp": {"train": SMALL.train_rows, "dev": SMALL.dev_rows},
    "squad_v1": {"train": SMALL.train_questions, "dev": SMALL.dev_rows},
    "squad_v2": {"train": SMALL.train_questions, "dev": SMALL.dev_rows},
    "hellaswag": {"train": SMALL.train_choices, "dev": SMALL.dev_rows},
    "ccg": {"train": SMALL.train_rows, "dev": SMALL.dev_rows},
    "cosmosqa": {"train": SMALL.train_choices, "dev": SMALL.dev_rows},
    "commonsense_qa": {"train": SMALL.train_choices, "dev": SMALL.dev_rows},
}
RETRIEVAL = {"bucc2018", "tatoeba"}
TAUGHT = {"xnli", "pawsx", "udpos", "panx", "mnli"}  # with training rows in the second source, too
PARALLEL = [("xnli", "dev"), ("xnli", "test"), ("pawsx", "dev"), ("pawsx", "test")]
SPLITS = [(task, split) for task, counts in COUNTS.items() for split in counts]


def languages(task: str, split: str) -> tuple[str, ...]:
    if task in RETRIEVAL:
        return FOREIGN
    if split == "train":
        return (SOURCE, "qab") if task in TAUGHT else (SOURCE,)
    return CODES if tasks.load(task).role == "target" else (SOURCE,)


def test_all_eighteen_tasks_are_there_and_nothing_else() -> None:
    assert sorted(COUNTS) == sorted(t.name for t in (*tasks.targets(), *tasks.intermediate()))
    data = DataFolder(small_world())
    for name, counts in COUNTS.items():
        task = tasks.load(name)
        for split in task.files:
            found = {code for code in CODES if data.files(task, split, code)}
            assert found == (set(languages(name, split)) if split in counts else set()), (name, split)


@pytest.mark.parametrize(("task", "split"), SPLITS)
def test_readers_read_the_declared_rows_with_gold(task: str, split: str) -> None:
    shape = tasks.load(task).type
    for language in languages(task, split):
        rows = examples(task, split, language)
        assert count_rows(rows) == COUNTS[task][split]
        assert all(shape.gold(row) is not None for row in rows)


@pytest.mark.parametrize(("task", "split"), SPLITS)
def test_gold_scored_against_gold_is_perfect(task: str, split: str) -> None:
    declared = tasks.load(task)
    shape = declared.type.name
    for language in languages(task, split):
        golds = [declared.type.gold(row) for row in examples(task, split, language)]
        if shape == "retrieval":
            (golds,) = golds  # one bitext
        answers = [(gold or ("",))[0] for gold in golds] if shape == "span" else golds
        scores = declared.metric(golds, answers, language)
        assert all(scores[name] == 100.0 for name in declared.main_score)


@pytest.mark.parametrize("task", ["xnli", "pawsx", "anli_plus", "mnli", "qqp"])
def test_labels_are_balanced(task: str) -> None:
    for split in COUNTS[task]:
        counts = Counter(row.label for row in examples(task, split))
        assert max(counts.values()) - min(counts.values()) <= 5  # anli_plus is five files, each balanced


@pytest.mark.parametrize("task", ["hellaswag", "cosmosqa", "commonsense_qa"])
def test_right_choices_stand_everywhere_as_often(task: str) -> None:
    choices = tasks.load(task).type.num_choices  # type: ignore[attr-defined]
    for split in COUNTS[task]:
        rows = examples(task, split)
        assert Counter(row.label for row in rows) == dict.fromkeys(range(choices), len(rows) // choices)
        assert all(len(set(row.choices)) == choices for row in rows)


@pytest.mark.parametrize(("task", "split"), PARALLEL)
def test_parallel_languages_have_the_same_gold(task: str, split: str) -> None:
    golds = {tuple(row.label for row in examples(task, split, code)) for code in CODES}
    assert len(golds) == 1
    texts = {tuple(row.first for row in examples(task, split, code)) for code in CODES}
    assert len(texts) == len(CODES)


@pytest.mark.parametrize(("task", "split"), [("xquad", "test"), ("mlqa", "dev"), ("mlqa", "test")])
def test_parallel_questions_have_the_same_ids_and_no_empty_answer(task: str, split: str) -> None:
    assert len({tuple(row.id for row in examples(task, split, code)) for code in CODES}) == 1
    for code in CODES:
        for row in examples(task, split, code):
            (answer,) = row.answers
            assert row.context[answer.start : answer.start + len(answer.text)] == answer.text != ""
            before, after = row.context[: answer.start], row.context[answer.start + len(answer.text) :]
            assert (not before or before[-1] == " ") and after[0] in " ."  # whole words


def test_a_question_asks_for_one_answer() -> None:
    for task in ("squad_v1", "squad_v2"):
        for row in examples(task, "train"):
            for answer in row.answers:
                assert f" {row.context} ".replace(".", " ").count(f" {answer.text} ") == 1 or answer.text in digits()
    kinds = Counter(row.question.split()[0] for row in examples("squad_v1", "train"))
    assert set(kinds) == {"who", "what", "where", "when", "how"} and min(kinds.values()) >= 20


def digits() -> set[str]:
    """Numbers may be told of two things."""
    return {*map(str, range(2, 10)), "two", "three", "four", "five", "six", "seven", "eight", "nine"}


def test_a_third_of_squad_v2_has_no_answer() -> None:
    rows = examples("squad_v2", "train")
    assert 0.25 < sum(row.answers == () for row in rows) / len(rows) < 0.42
    assert all(row.answers for row in examples("squad_v1", "train"))


@pytest.mark.parametrize("code", CODES)
def test_entities_are_bio_and_of_all_types(code: str) -> None:
    seen: set[str] = set()
    for row in examples("panx", "test", code):
        before = "O"
        for tag in row.tags:
            assert not tag.startswith("I-") or before[1:] == tag[1:], row
            before = tag
        seen |= set(row.tags)
    assert seen == {"O", "B-PER", "I-PER", "B-LOC", "B-ORG", "I-ORG"}


@pytest.mark.parametrize("code", CODES)
def test_tags_are_universal_and_each_sentence_has_a_verb_or_an_auxiliary(code: str) -> None:
    for row in examples("udpos", "test", code):
        assert set(row.tags) <= set(UPOS)
        assert {"VERB", "AUX"} & set(row.tags)
        assert row.tags[-1] == "PUNCT"


@pytest.mark.parametrize("code", FOREIGN)
def test_tatoeba_is_sorted_and_its_gold_is_not_the_identity(code: str) -> None:
    (bitext,) = examples("tatoeba", "test", code)
    assert list(bitext.queries) == sorted(bitext.queries)
    assert sorted(bitext.gold) == list(range(SMALL.tatoeba_pairs)) != list(bitext.gold)
    assert len(set(bitext.queries)) == len(set(bitext.candidates)) == SMALL.tatoeba_pairs


@pytest.mark.parametrize("code", FOREIGN)
def test_bucc_plants_pairs_in_larger_pools(code: str) -> None:
    for split, (pool, planted) in (("dev", SMALL.bucc_dev), ("test", SMALL.bucc_test)):
        (bitext,) = examples("bucc2018", split, code)
        assert len(bitext.queries) == len(bitext.candidates) == pool
        assert len({foreign for foreign, _ in bitext.gold}) == len({english for _, english in bitext.gold}) == planted


def test_gold_of_retrieval_pairs_translations() -> None:
    """A word that both languages write the same (a name, a digit) is on both sides of a pair or on none."""
    (bitext,) = examples("tatoeba", "test", "qaa")
    names = {"Anna", "Bruno", "Clara", "Dario", "Elena", "Felix", "Greta", *"23456789"}
    for query, line in zip(bitext.queries, bitext.gold, strict=True):
        sides = (query, bitext.candidates[line])
        one, other = ({w.strip(".") for w in side.split()} & names for side in sides)
        assert one == other
