"""The second source language: rows of its own, and a machine's translation that anybody can tell from them."""

from __future__ import annotations

import json

from small_world import examples, small_world, words

from xstilts.data.translated import origin
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder

SECOND = "qab"


def test_own_rows_say_what_the_sources_say() -> None:
    source, own = examples("xnli", "train"), examples("xnli", "train", SECOND)
    assert [row.label for row in source] == [row.label for row in own]
    assert not {row.first for row in source} & {row.first for row in own}


def test_the_translation_keeps_the_order_of_the_source_and_says_who_made_it() -> None:
    source, translated = examples("mnli", "train"), examples("mnli", "train", SECOND)
    assert [row.label for row in source] == [row.label for row in translated]
    for before, after in zip(source, translated, strict=True):
        assert len(words(before.first)) == len(words(after.first)) and before.first != after.first
    (path,) = DataFolder(small_world()).files(load("mnli"), "train", SECOND)
    assert origin(path).startswith("machine-translated from en by the pocket world's word-for-word translator")
    record = json.loads(path.with_name(f"{path.name}.translation.json").read_bytes())
    assert record["rows"]["written"] == len(translated)


def test_what_is_scored_is_the_same_as_without_training_rows() -> None:
    """Training rows of the second source share no sentence with its dev and test rows."""
    trained = {tuple(row.words) for row in examples("udpos", "train", SECOND)}
    assert not trained & {tuple(r.words) for split in ("dev", "test") for r in examples("udpos", split, SECOND)}
