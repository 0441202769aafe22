"""The field ``comparison`` of a study: what is declared before anything is run."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.errors import StudyError
from xstilts.statistics.corrections import Declared
from xstilts.study import parse_study

LEAST: dict[str, Any] = {
    "name": "s",
    "models": {"m": {"path": "folder"}},
    "arms": {"none": {}, "mnli": {"intermediate": "mnli"}},
    "targets": ["xnli"],
}


def test_the_defaults_are_the_librarys() -> None:
    recorded = parse_study(LEAST).model_dump(mode="json")["comparison"]
    assert Declared(**recorded) == Declared()
    assert (Declared().level, Declared().correction, Declared().family, Declared().against) == (
        0.05, "holm", "targets", None,
    )  # fmt: skip


def test_what_is_declared_is_recorded() -> None:
    given = {"level": 0.1, "correction": "benjamini_hochberg", "family": "languages", "against": "mnli"}
    assert Declared(**parse_study({**LEAST, "comparison": given}).model_dump(mode="json")["comparison"]) == Declared(
        0.1, "benjamini_hochberg", "languages", "mnli"
    )


@pytest.mark.parametrize(
    ("field", "place", "says"),
    [
        ({"levle": 0.05}, "comparison.levle: unknown field", "'level'"),
        ({"level": 5}, "comparison.level", "less than 1"),
        ({"level": 0}, "comparison.level", "greater than 0"),
        ({"correction": "bonferroni"}, "comparison.correction", "'holm'"),
        ({"family": "arms"}, "comparison.family", "'targets'"),
        ({"against": "mnlo"}, "comparison.against: no such arm", "'mnli'"),
    ],
)
def test_mistakes_are_named_with_their_place(field: dict[str, Any], place: str, says: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study({**LEAST, "comparison": field})
    assert place in str(caught.value) and says in str(caught.value)
