"""Scores are functions of sums over rows: each row gives the same whatever stands beside it, and rows survive a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.errors import PredictionError
from xstilts.metrics.additive import Additive, Contributions
from xstilts.metrics.classification import accuracy_metric
from xstilts.metrics.kept import read_contributions, write_contributions
from xstilts.metrics.qa import mlqa_metric, squad_metric, squad_v2_metric
from xstilts.metrics.retrieval import mining_metric, nearest_metric
from xstilts.metrics.tagging import ner_metric, pos_metric
from xstilts.tasks import load, names

LABELS = st.sampled_from(["a", "b"])
WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "?"]), max_size=4).map(" ".join)
UPOS = st.lists(st.tuples(*[st.sampled_from(["NOUN", "SYM", "X", "VERB"])] * 2), min_size=1, max_size=6)
BIO = st.lists(st.tuples(*[st.sampled_from(["O", "B-PER", "I-PER", "I-LOC"])] * 2), min_size=1, max_size=6)


def tags(side: int, sentence: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(pair[side] for pair in sentence)


ROWS: list[tuple[Additive, st.SearchStrategy[tuple[Any, Any]]]] = [
    (accuracy_metric, st.tuples(LABELS, LABELS)),
    (nearest_metric, st.tuples(st.integers(0, 2), st.integers(0, 2))),
    (squad_metric, st.tuples(st.lists(WORDS, min_size=1, max_size=2).map(tuple), WORDS | st.none())),
    (mlqa_metric, st.tuples(st.lists(WORDS, min_size=1, max_size=2).map(tuple), WORDS | st.none())),
    (squad_v2_metric, st.tuples(st.lists(WORDS, max_size=2).map(tuple), WORDS)),
    (pos_metric, UPOS.map(lambda s: (tags(0, s), tags(1, s)))),
    (ner_metric, BIO.map(lambda s: (tags(0, s), tags(1, s)))),
]


@pytest.mark.parametrize(("metric", "row"), ROWS)
@given(data=st.data())
def test_a_row_gives_the_same_alone_and_among_others(
    metric: Additive, row: st.SearchStrategy[tuple[Any, Any]], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    golds, predictions = [gold for gold, _ in rows], [prediction for _, prediction in rows]
    together = metric.contributions(golds, predictions, "en")
    assert len(together) == len(rows)
    for number, (gold, prediction) in enumerate(rows):
        alone = metric.contributions([gold], [prediction], "en")
        assert {name: values[number] for name, values in together.values.items()} == {
            name: values[0] for name, values in alone.values.items()
        }


@pytest.mark.parametrize(("metric", "row"), ROWS)
@given(data=st.data())
def test_scores_of_sums_are_those_of_rows_repeated(
    metric: Additive, row: st.SearchStrategy[tuple[Any, Any]], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any))
    found = metric.contributions([g for g, _ in rows], [p for _, p in rows], "en")
    sums = {name: sum(c * v for c, v in zip(counts, of, strict=True)) for name, of in found.values.items()}
    repeated = [pair for pair, count in zip(rows, counts, strict=True) for _ in range(count)]
    expected = metric([g for g, _ in repeated], [p for _, p in repeated], "en")
    scores = metric.scores({"rows": sum(counts), **sums})
    assert scores == pytest.approx(expected)
    many = metric.scores(
        {"rows": np.array([sum(counts)] * 2), **{name: np.array([of] * 2) for name, of in sums.items()}}
    )
    assert {name: of.tolist() for name, of in many.items()} == {name: [of] * 2 for name, of in scores.items()}


def test_mined_pairs_are_counted_for_their_foreign_sentence() -> None:
    gold, mined = [("d1", "e1"), ("d2", "e2"), ("d4", "e4")], [("d1", "e1"), ("d2", "e9"), ("d3", "e3")]
    found = mining_metric.contributions(gold, mined, "de")
    assert found.units == ["d1", "d2", "d3", "d4"]
    assert found.values == {"right": [1, 0, 0, 0], "predicted": [1, 1, 1, 0], "gold": [1, 1, 0, 1]}
    assert found.sums() == {"rows": 4, "right": 1, "predicted": 3, "gold": 3}


def test_a_draw_without_any_right_or_any_tag_has_a_score() -> None:
    assert pos_metric.scores(dict.fromkeys(("right", "predicted", "gold", "tags", "right_tags"), 0.0))["f1"] == 0
    assert mining_metric.scores({"right": 0, "predicted": 0, "gold": 0})["f1"] == 0
    some_and_none = mining_metric.scores({name: np.array([2.0, 0.0]) for name in ("right", "predicted", "gold")})
    assert some_and_none["f1"].tolist() == [100, 0]


def test_every_shipped_task_can_be_drawn_again() -> None:
    assert [name for name in names() if not isinstance(load(name).metric, Additive)] == []


@pytest.mark.parametrize(
    "kept",
    [
        Contributions({"right": [1.0, 0.0, 1.0]}),
        Contributions({"exact_match": [0.0, 1.0], "f1": [2 / 3, 1.0]}),
        Contributions({"right": [1.0, 300.0], "gold": [70000.0, 0.0]}, ["de-1", "de-京"]),
    ],
)
def test_what_is_kept_is_read_back_exactly(tmp_path: Path, kept: Contributions) -> None:
    write_contributions(tmp_path / "rows" / "de.npz", kept)
    assert read_contributions(tmp_path / "rows" / "de.npz") == kept


def test_whole_numbers_are_kept_small_and_equal_rows_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_contributions(tmp_path / f"{name}.npz", Contributions({"right": [1.0, 0.0] * 5000, "f1": [0.5] * 10000}))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert (arrays["right"].dtype, arrays["f1"].dtype) == (np.uint8, np.float64)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").stat().st_size < 2000


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    for content in (b"", b"PK not a zip", b"\x93NUMPY"):
        (tmp_path / "de.npz").write_bytes(content)
        with pytest.raises(PredictionError, match=r"de\.npz"):
            read_contributions(tmp_path / "de.npz")
    np.savez_compressed(tmp_path / "de.npz", right=np.ones(3), gold=np.ones(2))
    with pytest.raises(PredictionError, match=r"columns of \[2, 3\] rows"):
        read_contributions(tmp_path / "de.npz")
