"""Gold follows from the text alone: a reader that knows the words and nothing of how a row was made finds every label."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from small_world import SMALL, SOURCE, examples, words

from xstilts.pocket.concepts import (
    CATEGORY_OF,
    CHAINS,
    NUMERALS,
    PERSON_SCALES,
    SCALE_OF,
    SYNONYMS,
    THING_SCALES,
    TIMES,
    VERBS,
)
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker
from xstilts.pocket.tongues import TONGUES

ENGLISH = Speaker(TONGUES[0], SMALL.seed)
PAST = {ENGLISH.form(verb, inflection="past"): verb for verb in VERBS}
SINGULAR = {ENGLISH.form(noun, inflection="plural"): noun for noun in (*CATEGORY_OF, *CATEGORY_OF.values())}
CONCEPT = {second: first for first, second in SYNONYMS.items() if second != "light"}


class Told(NamedTuple):
    """What a sentence of ``who did what where when`` says."""

    details: dict[str, str]
    verb: str
    object: str
    negated: bool


def understood(text: str) -> Told:
    """Read from left to right; a detail that is not said is not there."""
    found = words(text)
    details: dict[str, str] = {}
    if found[-1] in TIMES:
        details["time"] = found.pop()
    if "in" in found:
        at = found.index("in")
        details["place"] = " ".join(found[at + 1 :]).removeprefix("the ")
        del found[at:]
    negated = "did" in found
    at = found.index("did") if negated else next(k for k, word in enumerate(found) if word in PAST)
    verb = found[at + 2] if negated else PAST[found[at]]
    rest = found[at + (3 if negated else 1) :]
    if characters := [word for word in found[:at] if word in SCALE_OF]:
        details["character"] = characters[0]
    for word in rest[:-1]:
        if word.isdecimal() or word in NUMERALS:
            details["count"] = word
        elif word != "the":
            details["quality"] = word
    return Told(details, verb, SINGULAR.get(rest[-1], rest[-1]), negated)


def label_of(premise: str, hypothesis: str) -> str:
    told = understood(premise)
    if "was" in words(hypothesis):
        quality = words(hypothesis)[-1]
        known = told.details.get("quality", "")
        if known not in SCALE_OF[quality]:
            return "neutral"
        return "entailment" if (known == quality) != ("not" in words(hypothesis)) else "contradiction"
    asked = understood(hypothesis)
    same = told.verb == asked.verb and asked.object in (told.object, CATEGORY_OF[told.object])
    if told.negated or asked.negated:
        if told.negated and asked.negated:
            return "entailment" if same else "neutral"
        assert same
        return "contradiction"
    if any(told.details.get(name, value) != value for name, value in asked.details.items()):
        return "contradiction"
    return "entailment" if asked.details.items() <= told.details.items() else "neutral"


@pytest.mark.parametrize("task", ["xnli", "mnli"])
def test_inference_labels_follow_from_the_words(task: str) -> None:
    wrong = [row for row in examples(task, "train") if label_of(row.first, row.second) != row.label]
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("task", ["pawsx", "qqp"])
def test_paraphrases_say_the_same(task: str) -> None:
    """Without the place and the time, and with one word for each concept, they are the same sentence."""

    def core(text: str) -> list[str]:
        told = [word for word in words(text) if word not in TIMES]
        following = [*told[1:], ""]
        nouns = {*CATEGORY_OF, *SYNONYMS.values()}
        kept = [  # "light" is a lamp unless it says something of a noun
            CONCEPT.get(word, word) if word != "light" or after in nouns else "lamp"
            for word, after in zip(told, following, strict=True)
        ]
        at = kept.index("in") if "in" in kept else len(kept)
        named = 3 if kept[at + 1 : at + 2] == ["the"] else 2
        return kept[:at] + kept[at + named :]

    for row in examples(task, "train"):
        assert (core(row.first) == core(row.second)) == (row.label == "1"), row


def test_endings_go_on_with_the_next_thing() -> None:
    for row in examples("hellaswag", "train"):
        who = row.choices[0].split()[1]
        story = next(s for s in row.prompt.split(".") if s.split()[0] == who)
        done = understood(story.replace(" a ", " the "))
        chain = CHAINS[CATEGORY_OF[done.object]]
        goes_on = PAST_OF[chain[chain.index(done.verb) + 1]]
        assert row.choices[row.label].endswith(f"{goes_on} the {done.object}."), row


PAST_OF = {verb: past for past, verb in PAST.items()}


def test_an_answer_is_of_the_kind_asked_for() -> None:
    """Who: a name or a role; when: a time; how many: a number; where: after an adposition."""
    kinds: Counter[str] = Counter()
    for row in examples("squad_v1", "train"):
        (answer,) = row.answers
        kind = row.question.split()[0]
        before = row.context[: answer.start].split()[-2:]
        if kind == "when":
            assert answer.text in TIMES
        elif kind == "how":
            assert answer.text in NUMERALS or answer.text.isdecimal()
        elif kind == "where":
            assert "in" in before
        kinds[kind] += 1
    assert len(kinds) == 5


def test_qualities_are_of_one_scale_each() -> None:
    listed = [word for scales in (THING_SCALES, PERSON_SCALES) for scale in scales.values() for word in scale]
    assert len(listed) == len(set(listed)) == len(SCALE_OF)


def test_chance_is_the_same_in_every_version_of_python() -> None:
    """Golden: made with Python 3.10 to 3.13."""
    draw = Draw(1, "golden", SOURCE)
    assert [draw.below(1000) for _ in range(6)] == [607, 7, 497, 102, 615, 858]
    assert draw.shuffled(range(6)) == [5, 0, 2, 4, 1, 3]
