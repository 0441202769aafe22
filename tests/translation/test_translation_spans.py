"""Answers are found again in a translated context, at the right one of several places, or are lost."""

from __future__ import annotations

import pytest

from xstilts.task_types import Answer
from xstilts.translation.spans import find_answer

CONTEXT = "El gato negro vio al gato blanco en 1999. Gatos y Perros."


@pytest.mark.parametrize(
    ("translated", "original", "place", "text", "start", "how"),
    [
        ("gato negro", "black cat", 0.0, "gato negro", 3, "as translated"),
        ("Gato", "cat", 0.0, "gato", 3, "as translated"),  # the nearest of two; either case
        ("gato", "cat", 0.4, "gato", 21, "as translated"),
        ("en mil", "1999", 0.6, "1999", 36, "as in the source"),
        ("perros.", "dogs.", 0.9, "Perros", 50, "as translated"),  # an engine may add or drop a full stop
    ],
)
def test_found(translated: str, original: str, place: float, text: str, start: int, how: str) -> None:
    found = find_answer(CONTEXT, translated, original, place, "es")
    assert found is not None
    assert (found.answer, found.how) == (Answer(text, start), how)
    assert CONTEXT[start : start + len(text)] == text


@pytest.mark.parametrize("answer", ["gat", "ato", "perro", "", " . ", "vaca"])
def test_a_part_of_a_word_is_no_answer(answer: str) -> None:
    assert find_answer(CONTEXT, answer, answer, 0.0, "es") is None


@pytest.mark.parametrize(
    ("context", "answer", "language"),
    [
        ("वह भारतीय है।", "भारत", "hi"),  # a vowel sign goes on with the word
        ("दिल्लीवासी यहाँ हैं।", "दिल्ली", "hi"),
        ("Población 5.000", "5", "es"),
        ("1.905 casas", "905", "es"),
        ("La red es grande.", "red", "es"),  # the colour, as the source spells it, is not the Spanish net
    ],
)
def test_what_only_looks_alike_is_no_answer(context: str, answer: str, language: str) -> None:
    translated = "rojo" if answer == "red" else answer
    assert find_answer(context, translated, answer, 0.0, language) is None


@pytest.mark.parametrize(
    ("context", "answer", "language", "start"),
    [
        ("भारत में दिल्ली है।", "दिल्ली", "hi", 9),
        ("En 1905, 5.000 casas.", "5.000", "es", 9),
        ("Nació en 1905.", "1905", "es", 9),
    ],
)
def test_whole_words_and_numbers_are_found_in_any_script(context: str, answer: str, language: str, start: int) -> None:
    found = find_answer(context, answer, "x", 0.0, language)
    assert found is not None and found.answer == Answer(answer, start)


def test_scripts_without_spaces_have_no_word_boundaries() -> None:
    found = find_answer("猫は魚を食べる", "魚", "fish", 0.5, "ja")
    assert found is not None
    assert (found.answer, found.several) == (Answer("魚", 2), False)


def test_several_places_are_said() -> None:
    found = find_answer(CONTEXT, "gato", "cat", 0.0, "es")
    assert found is not None
    assert found.several
