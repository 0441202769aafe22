"""The line under a table that says how many written answers had something wrong with them."""

from __future__ import annotations

from typing import Any

from xstilts.report.flaws import FLAWS, flaw_notes
from xstilts.task_types.cast import FLAWS as COUNTED


def row(target: str, metric: str, language: str, value: float, **changed: Any) -> dict[str, Any]:
    place = {"model": "m", "split": "test", "target": target, "metric": metric, "language": language, "value": value}
    return {**place, **changed}


def test_means_by_target_and_the_language_with_most() -> None:
    rows = [
        row("panx", "f1", "en", 50.0),
        row("panx", "unparsable", "en", 0.0),
        row("panx", "unparsable", "de", 3.0),
        row("panx", "unparsable", "de", 5.0, seed=2),
        row("panx", "unfinished", "de", 0.01),
        row("xnli", "unparsable", "en", 0.0),
        row("xnli", "unparsable", "en", 9.0, split="dev"),
        row("xnli", "unparsable", "en", 9.0, model="other"),
    ]
    (note,) = flaw_notes(rows, "m", "test")
    assert note.endswith("(in brackets the language with most): panx unparsable 2.0 (de 4.0); xnli none.")


def test_a_model_that_writes_nothing_has_no_such_line() -> None:
    assert list(flaw_notes([row("xnli", "accuracy", "en", 50.0)], "m", "test")) == []


def test_every_flaw_that_is_counted_is_shown() -> None:
    assert set(FLAWS) == set(COUNTED)
