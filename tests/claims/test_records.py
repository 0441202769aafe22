"""What a record with its study file beside it knows of how its numbers were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from made_results import made_row
from xstilts import journey
from xstilts.claims.claim import RECIPE
from xstilts.errors import DataError
from xstilts.published import own
from xstilts.published.numbers import load_published
from xstilts.study import Study, load_study

KNOWN = load_published()
PAPERS = load_study(journey.RECIPES / f"{RECIPE}.yaml")


@pytest.mark.parametrize(
    ("changes", "limited", "cut", "source"),
    [
        ({"limits": {"train_rows": {"masked_lm": 9}}}, False, False, "en"),
        ({"limits": {"train_rows": {"masked_lm": 9, "mnli": 9}}}, True, False, "en"),
        ({"limits": {"train_rows": 9}}, True, False, "en"),
        ({"limits": {"evaluation_rows": 9}}, True, False, "en"),
        ({"training": {"masked_lm": {"max_steps": 9}}}, False, False, "en"),
        ({"training": {"xnli": {"max_steps": 9}}}, False, True, "en"),
        ({"source": "de"}, False, False, "de"),
    ],
)
def test_a_record_knows_what_its_study_cut(
    tmp_path: Path, changes: dict[str, Any], limited: bool, cut: bool, source: str
) -> None:
    study = Study.model_validate(PAPERS.model_dump(mode="json", exclude_unset=True) | changes)
    file = tmp_path / "record.jsonl"
    file.write_text(json.dumps(made_row("xlm-r-large", "mnli", "xnli", "de", "dev", 1)))
    of = own.from_records(file, KNOWN, study)
    assert (of.limited, of.cut, of.source) == (limited, cut, source)


@pytest.mark.parametrize(
    ("model", "arm", "says"), [("other", "mnli", "no model 'other'"), ("xlm-r-large", "x", "no arm 'x'")]
)
def test_a_record_of_another_study_is_refused(tmp_path: Path, model: str, arm: str, says: str) -> None:
    file = tmp_path / "record.jsonl"
    file.write_text(json.dumps(made_row(model, arm, "xnli", "de", "dev", 1)))
    with pytest.raises(DataError, match=says):
        own.from_records(file, KNOWN, PAPERS)
