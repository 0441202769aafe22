"""No task is solved by a constant, by half of a row or by bags of words, and no test row was seen before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator

import pytest
from small_world import CODES, FOREIGN, SMALL, SOURCE, NaiveBayes, examples, share, small_world, words

from xstilts.pocket import POCKET
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker
from xstilts.pocket.scenes import Saying, Scene
from xstilts.pocket.text import bitext, monolingual
from xstilts.tasks import load

NLI = ("xnli", "mnli", "anli_plus")
PARAPHRASE = ("pawsx", "qqp")


@pytest.mark.parametrize("task", [*NLI, *PARAPHRASE])
@pytest.mark.parametrize("half", ["first", "second"])
def test_half_of_a_pair_tells_nothing(task: str, half: str) -> None:
    train = examples(task, "train")
    model = NaiveBayes([getattr(row, half) for row in train], [row.label for row in train])
    rows = [row for split in ("dev", "test") if split in load(task).files for row in examples(task, split)]
    accuracy = share([model.label(getattr(row, half)) == row.label for row in rows])
    assert accuracy < (55 if task in NLI else 67)  # chance is 33 and 50, of 60 rows or more


@pytest.mark.parametrize("task", PARAPHRASE)
def test_word_overlap_does_not_tell_paraphrases(task: str) -> None:
    """The share of pairs with equal bags of words is the same for both labels."""
    equal: dict[str, list[bool]] = {"0": [], "1": []}
    for row in examples(task, "train"):
        equal[row.label].append(Counter(words(row.first)) == Counter(words(row.second)))
    assert abs(share(equal["0"]) - share(equal["1"])) < 10
    assert all(row.first != row.second for row in examples(task, "train"))


def test_negation_stands_under_every_inference_label() -> None:
    labels = Counter(row.label for row in examples("xnli", "train") if "not" in words(row.second))
    assert set(labels) == {"entailment", "neutral", "contradiction"}
    assert max(labels.values()) < 1.5 * min(labels.values())


@pytest.mark.parametrize("task", ["hellaswag", "cosmosqa", "commonsense_qa"])
def test_choices_alone_tell_nothing(task: str) -> None:
    train, dev = examples(task, "train"), examples(task, "dev")
    texts = [choice for row in train for choice in row.choices]
    model = NaiveBayes(texts, [str(int(k == row.label)) for row in train for k in range(len(row.choices))])
    right = []
    for row in dev:
        scores = [
            model._likelihood(choice, model.counts["1"]) - model._likelihood(choice, model.counts["0"])
            for choice in row.choices
        ]
        right.append(scores.index(max(scores)) == row.label)
    assert share(right) < 100 / len(dev[0].choices) + 18  # three standard deviations of 60 rows


def test_words_of_endings_are_as_frequent_in_right_and_wrong_ones() -> None:
    """The right ending shares its verb with one and its object with another: the odd one out says nothing."""
    for row in examples("hellaswag", "train"):
        verbs = Counter(choice.split()[2] for choice in row.choices)
        assert set(verbs.values()) == {2}
        assert set(Counter(choice.split()[-1] for choice in row.choices).values()) == {2}


def test_kinds_asked_about_are_told_in_the_text() -> None:
    told = (small_world() / "text/en.txt").read_text(encoding="utf-8")
    train = {choice for row in examples("commonsense_qa", "train") for choice in row.choices}
    dev = {choice for row in examples("commonsense_qa", "dev") for choice in row.choices}
    assert not train & dev
    missing = [thing for thing in train | dev if f" {thing}" not in told]
    assert not missing


@pytest.mark.parametrize("task", ["udpos", "panx", "ccg"])
def test_no_tag_is_most_of_all(task: str) -> None:
    tags = Counter(tag for row in examples(task, "train") for tag in row.tags)
    assert max(tags.values()) < 0.82 * tags.total()
    assert len(tags) >= 6


@pytest.mark.parametrize("task", ["xnli", "pawsx", "udpos", "panx", "mlqa", "tydiqa", "mnli", "qqp", "squad_v2"])
def test_no_training_text_is_in_dev_or_test(task: str) -> None:
    declared = load(task)
    source = declared.trains_on or task
    train = {declared.type.fingerprint(row) for row in examples(source, "train")}
    splits = [s for s in declared.files if s != "train"]
    held = [declared.type.fingerprint(row) for split in splits for row in examples(task, split)]
    assert held and not train & set(held)


@pytest.mark.parametrize("task", ["hellaswag", "cosmosqa"])
def test_no_training_story_is_in_dev(task: str) -> None:
    assert not {row.prompt for row in examples(task, "train")} & {row.prompt for row in examples(task, "dev")}


def sentences(line: str) -> set[str]:
    """The sentences of a paragraph: what ends in a full stop or a question mark."""
    return {found.strip() for found in re.findall(r"[^.?]+[.?]", line)}


def told_in(name: str, column: int = 0) -> set[str]:
    lines = (small_world() / "text" / name).read_text(encoding="utf-8").splitlines()
    return {sentence for line in lines for sentence in sentences(line.split("\t")[column])}


def test_what_retrieval_tests_say_is_in_no_text() -> None:
    told = {code: told_in(f"{code}.txt") for code in CODES}
    for code in FOREIGN:
        told[code] |= told_in(f"{code}-en.tsv")
        told[SOURCE] |= told_in(f"{code}-en.tsv", 1)
    assert all(len(each) > SMALL.text_lines for each in told.values())
    for code in FOREIGN:
        for task, split in (("tatoeba", "test"), ("bucc2018", "dev"), ("bucc2018", "test")):
            (bitext,) = examples(task, split, code)
            assert not {*bitext.queries, *bitext.candidates} & (told[code] | told[SOURCE])


class Rinsed:
    """Reserves, of all that can be told, everything that was rinsed."""

    def __contains__(self, said: object) -> bool:
        return isinstance(said, Scene) and said.verb == "rinse" and not said.negated

    def __iter__(self) -> Iterator[Saying]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


@pytest.mark.parametrize("reserved", [frozenset[Saying](), Rinsed()], ids=["nothing", "rinsed"])
def test_no_kind_of_paragraph_says_what_is_reserved(reserved: Collection[Saying]) -> None:
    """Sequences, single scenes, questions with their answers and translations are all drawn anew, denials are not."""
    source, near = (Speaker(tongue, 1) for tongue in POCKET.tongues[:2])
    lines = [*monolingual(source, source, Draw("text"), 4000, reserved)]
    pairs = [line.split("\t")[1] for line in bitext(near, source, Draw("pairs"), 4000, reserved)]
    for text in ("\n".join(lines), "\n".join(pairs)):
        assert ("rinsed" in text) == (not isinstance(reserved, Rinsed))
        assert "did not rinse" in text
