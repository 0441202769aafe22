"""The 40 languages."""

from __future__ import annotations

import pytest

from xstilts.errors import MissingNameError
from xstilts.languages import LANGUAGES, codes, language


def test_there_are_forty_languages_with_distinct_codes() -> None:
    assert len(LANGUAGES) == 40
    assert len({entry.iso3 for entry in LANGUAGES.values()}) == 40
    assert len({entry.name for entry in LANGUAGES.values()}) == 40


def test_twelve_families_and_two_isolates() -> None:
    families = {entry.family for entry in LANGUAGES.values()} - {"Isolate"}
    assert len(families) == 12
    assert {entry.code for entry in LANGUAGES.values() if entry.family == "Isolate"} == {"eu", "ko"}


def test_tatoeba_codes_that_are_not_obvious() -> None:
    assert [language(code).iso3 for code in ("zh", "fa", "sw")] == ["cmn", "pes", "swh"]


@pytest.mark.parametrize(("asked", "offered"), [("german", "de"), ("Swahili", "sw"), ("eng", "en")])
def test_an_unknown_code_names_the_nearest(asked: str, offered: str) -> None:
    with pytest.raises(MissingNameError, match=rf"\b{offered}\b"):
        language(asked)


def test_codes_checks_every_code() -> None:
    assert codes("en de") == ("en", "de")
    with pytest.raises(MissingNameError, match="xx"):
        codes("en xx")


def test_three_sizes_by_recalled_wikipedia_articles() -> None:
    assert [language(code).size for code in ("pt", "fa", "ta", "af", "yo")] == [
        "1M and more", "0.1M to 1M", "0.1M to 1M", "below 0.1M", "below 0.1M",
    ]  # fmt: skip
    articles = [entry.articles for entry in LANGUAGES.values()]
    assert articles == sorted(articles, reverse=True), "the table is in the order of size"
